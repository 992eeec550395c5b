/** The serving certificate, which the controller makes and renews in a Secret: followed in the files that it is mounted as. */
import { describeError, type Log } from './log.ts';
import { sleep } from './sleep.ts';

const MISSING_MILLISECONDS = 500;
/** The kubelet brings a changed Secret within a minute or so; five seconds more don't matter. */
const LOOK_MILLISECONDS = 5_000;

export interface CertificatePair {
  cert: string;
  key: string;
}

export interface CertificateOptions {
  /** Holds `tls.crt` and `tls.key`. */
  directory: string;
  readText: (path: string) => Promise<string>;
  /** Throws when the two don't belong together, as while they are being written. */
  check: (pair: CertificatePair) => void;
  log: Log;
}

/**
 * Calls `use` with the first usable pair, and with every other one that follows, until `signal`. The files are looked at
 * again and again: mounts of Secrets change by links that no watch of files follows well.
 */
export async function followCertificate(
  options: CertificateOptions,
  use: (pair: CertificatePair) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const { directory, readText, check, log } = options;
  let used: CertificatePair | undefined;
  let complaint = '';
  while (!signal.aborted) {
    try {
      const [cert, key] = await Promise.all([
        readText(`${directory}/tls.crt`),
        readText(`${directory}/tls.key`),
      ]);
      if (cert !== used?.cert || key !== used.key) {
        check({ cert, key });
        used = { cert, key };
        complaint = '';
        await use(used);
      }
    } catch (error) {
      // Said once, not at every look.
      const said = describeError(error);
      if (said !== complaint) log('warn', 'no usable certificate', { directory, error: said });
      complaint = said;
    }
    await sleep(used === undefined ? MISSING_MILLISECONDS : LOOK_MILLISECONDS, signal);
  }
}
