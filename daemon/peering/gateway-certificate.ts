/** The gateway's certificate: made here, renewed in time with the same key, so that the pin in tokens stays. */
import { X509Certificate } from 'node:crypto';
import { gatewayService, labels, secrets } from '../../shared/names.ts';
import { certificatePin } from '../../shared/trust/certificate-pin.ts';
import type { KubeClient } from '../../shared/kube/client.ts';
import { isAlreadyExists, isConflict } from '../../shared/kube/errors.ts';
import { kind } from '../../shared/kube/refs.ts';
import type { Secret } from '../../shared/kube/types.ts';
import { fieldManager } from './names.ts';

const days = 365;
/** A third of its life before the end: certificates that are renewed late are found out too late. */
const renewMilliseconds = 120 * 24 * 3_600_000;

const decode = (secret: Secret | undefined, name: string): string =>
  Buffer.from(secret?.data?.[name] ?? '', 'base64').toString('utf8');

/** Why a certificate has to be made; undefined: the one that is there will do. `hosts`: names that it must have. */
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

/** The pin of the certificate that the gateway shows; undefined: there is none. */
export function pinOf(secret: Secret | undefined): string | undefined {
  const pem = decode(secret, 'tls.crt');
  if (pem === '') return undefined;
  try {
    return certificatePin(pem);
  } catch {
    return undefined;
  }
}

/** Since when a pin is in force: later than any that was, also when the clock was put back. */
export function pinSince(
  pin: string,
  before: { gatewayPin?: string | undefined; gatewayPinSince?: string | undefined } | undefined,
  now: number,
): string {
  const since = Date.parse(before?.gatewayPinSince ?? '');
  if (before?.gatewayPin === pin && before.gatewayPinSince !== undefined) return before.gatewayPinSince;
  return new Date(Number.isFinite(since) ? Math.max(now, since + 1) : now).toISOString();
}

/** Names by which the gateway is called: its addresses outside, and its Service. */
export function gatewayHosts(
  namespace: string,
  addresses: readonly string[],
  url: string | undefined,
): string[] {
  const fromURL = url === undefined ? [] : [new URL(url).hostname.replace(/^\[|\]$/g, '')];
  return [...new Set([`${gatewayService}.${namespace}.svc`, gatewayService, ...fromURL, ...addresses])];
}

/** Makes or renews the certificate if need be. `present` as the cache has it. Conflicts are left to the next look. */
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
