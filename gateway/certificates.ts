/** Follows the serving certificate, which the controller creates and renews in a Secret, by the API or in mounted files. */
import { secrets } from '../shared/names.ts';
import type { KubeClient } from '../shared/kube/client.ts';
import { kind } from '../shared/kube/refs.ts';
import { describeError, type Log } from '../shared/log.ts';
import { sleep } from '../shared/time.ts';

const MISSING_MILLISECONDS = 500;
/** A certificate is renewed long before it ends: five seconds don't matter. */
const LOOK_MILLISECONDS = 5_000;

export interface CertificatePair {
  cert: string;
  key: string;
}

export interface CertificateOptions {
  /** Where it is, for the log. */
  place: string;
  read: () => Promise<CertificatePair>;
  /** Throws when key and certificate don't match, as while they are being written. */
  check: (pair: CertificatePair) => void;
  log: Log;
}

/**
 * Calls `use` with the first usable pair, and with every other one that follows, until `signal`. It is read again and
 * again: mounts of Secrets change by links that no watch of files follows well, and one small GET costs next to nothing.
 */
export async function followCertificate(
  options: CertificateOptions,
  use: (pair: CertificatePair) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const { place, read, check, log } = options;
  let used: CertificatePair | undefined;
  let complaint = '';
  while (!signal.aborted) {
    try {
      const { cert, key } = await read();
      if (cert !== used?.cert || key !== used.key) {
        check({ cert, key });
        used = { cert, key };
        complaint = '';
        await use(used);
      }
    } catch (error) {
      // Logged once, not at every poll.
      const said = describeError(error);
      if (said !== complaint) log.warn('cannot use the certificate', { place, error: said });
      complaint = said;
    }
    await sleep(used === undefined ? MISSING_MILLISECONDS : LOOK_MILLISECONDS, signal);
  }
}

/** From `tls.crt` and `tls.key` in a directory, as Secrets are mounted. */
export async function readCertificateFiles(
  directory: string,
  readText: (path: string) => Promise<string>,
): Promise<CertificatePair> {
  const [cert, key] = await Promise.all([readText(`${directory}/tls.crt`), readText(`${directory}/tls.key`)]);
  return { cert, key };
}

/**
 * From the Secret itself. A mount of a Secret that is not there yet is tried by kubelets at intervals that grow to two
 * minutes, and a new installation would wait that long for its gateway.
 */
export async function readCertificateSecret(
  kube: KubeClient,
  namespace: string,
  signal: AbortSignal,
): Promise<CertificatePair> {
  const found = await kube.get({ kind: kind.secret, namespace, name: secrets.gatewayCertificate }, signal);
  const decode = (name: string): string => {
    const text = found?.data?.[name];
    if (text === undefined) throw new Error(`Secret ${secrets.gatewayCertificate} holds no ${name} yet`);
    return atob(text);
  };
  return { cert: decode('tls.crt'), key: decode('tls.key') };
}
