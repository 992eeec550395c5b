/** The API gateway's certificate: created here, and renewed with the same key, so that the pin in tokens stays valid. */
import { X509Certificate } from 'node:crypto';
import { gatewayService, labels, secrets } from '../../shared/names.ts';
import { certificatePin } from '../../shared/trust/certificate-pin.ts';
import type { KubeClient } from '../../shared/kube/client.ts';
import { isAlreadyExists, isConflict } from '../../shared/kube/errors.ts';
import { kind } from '../../shared/kube/refs.ts';
import type { Secret } from '../../shared/kube/types.ts';
import { fieldManager } from './names.ts';

const days = 365;
/** Renewal at two thirds of its lifetime, early enough to notice failures. */
const renewMilliseconds = 120 * 24 * 3_600_000;

const decode = (secret: Secret | undefined, name: string): string =>
  Buffer.from(secret?.data?.[name] ?? '', 'base64').toString('utf8');

/** Why a new certificate is needed; undefined if the current one is good. `hosts`: names that it must contain. */
export function certificateNeed(
  secret: Secret | undefined,
  hosts: readonly string[],
  now: number,
): 'Missing' | 'Unreadable' | 'Expiring' | 'OtherHosts' | undefined {
  const pem = decode(secret, 'tls.crt');
  if (pem === '' || decode(secret, 'tls.key') === '') return 'Missing';
  try {
    const certificate = new X509Certificate(pem);
    if (Date.parse(certificate.validTo) - now < renewMilliseconds) return 'Expiring';
    const names = certificate.subjectAltName ?? '';
    const has = (host: string) =>
      host.includes(':')
        ? certificate.checkIP(host) !== undefined
        : names.split(', ').some((each) => each.endsWith(`:${host}`));
    return hosts.every(has) ? undefined : 'OtherHosts';
  } catch {
    return 'Unreadable';
  }
}

/** The pin of the gateway's certificate; undefined if there is none. */
export function pinOf(secret: Secret | undefined): string | undefined {
  const pem = decode(secret, 'tls.crt');
  if (pem === '') return undefined;
  try {
    return certificatePin(pem);
  } catch {
    return undefined;
  }
}

/** Since when a pin is valid: later than any previous one, even if the clock was set back. */
export function pinSince(
  pin: string,
  before: { gatewayPin?: string | undefined; gatewayPinSince?: string | undefined } | undefined,
  now: number,
): string {
  const since = Date.parse(before?.gatewayPinSince ?? '');
  if (before?.gatewayPin === pin && before.gatewayPinSince !== undefined) return before.gatewayPinSince;
  return new Date(Number.isFinite(since) ? Math.max(now, since + 1) : now).toISOString();
}

/** Names by which the gateway is reached: its external addresses, and its Service. */
export function gatewayHosts(
  namespace: string,
  addresses: readonly string[],
  url: string | undefined,
): string[] {
  const fromURL = url === undefined ? [] : [new URL(url).hostname.replace(/^\[|\]$/g, '')];
  return [...new Set([`${gatewayService}.${namespace}.svc`, gatewayService, ...fromURL, ...addresses])];
}

/** Creates or renews the certificate if needed. `present`: the cached Secret. A conflict is resolved by the next reconcile. */
export async function ensureCertificate(
  kube: Pick<KubeClient, 'create' | 'replace'>,
  namespace: string,
  present: Secret | undefined,
  hosts: readonly string[],
  now: number,
  signal: AbortSignal,
): Promise<Secret | undefined> {
  const need = certificateNeed(present, hosts, now);
  if (need === undefined) return present;
  // A certificate that was not created here is not renewed here.
  if (present !== undefined && present.metadata.labels?.[labels.managedBy] !== 'hawser') return present;
  const { issueSelfSignedCertificate } = await import('../../shared/trust/self-signed-certificate.ts');
  const key = need === 'Unreadable' ? '' : decode(present, 'tls.key');
  const issued = await issueSelfSignedCertificate({
    hosts,
    days,
    now,
    ...(key !== '' && { privateKey: key }),
  });
  const next: Secret = {
    apiVersion: kind.secret.apiVersion,
    kind: kind.secret.kind,
    metadata: {
      ...present?.metadata,
      name: secrets.gatewayCertificate,
      namespace,
      labels: { ...present?.metadata.labels, [labels.managedBy]: 'hawser' },
    },
    type: 'kubernetes.io/tls',
    data: {
      'tls.crt': Buffer.from(issued.certificate).toString('base64'),
      'tls.key': Buffer.from(issued.privateKey).toString('base64'),
    },
  };
  try {
    return present === undefined
      ? await kube.create(next, signal, { fieldManager })
      : await kube.replace(next, { fieldManager }, signal);
  } catch (error) {
    if (isAlreadyExists(error) || isConflict(error)) return present;
    throw error;
  }
}
