/** The serving certificate as files that somebody else writes and renews: read until they are there, then looked at again. */
import { describeError, type Log } from './log.ts';
import { sleep } from './sleep.ts';

const MISSING_MILLISECONDS = 500;
/** The kubelet brings a changed Secret within a minute or so; ten seconds more don't matter. */
const LOOK_MILLISECONDS = 10_000;

export interface CertificatePair {
  cert: string;
  key: string;
}

export interface CertificateFilesOptions {
  /** Holds `tls.crt` and `tls.key`. */
  directory: string;
  readText: (path: string) => Promise<string>;
  /** Throws when the two don't belong together, as while they are being written. */
  check: (pair: CertificatePair) => void;
  log: Log;
  /** Between two looks; default 10 s. */
  lookMilliseconds?: number;
}

export class CertificateFiles {
  readonly #options: CertificateFilesOptions;
  #current: CertificatePair | undefined;
  #complaint = '';

  constructor(options: CertificateFilesOptions) {
    this.#options = options;
  }

  /** What is waited for, for the readiness probe. */
  get waitingFor(): string | undefined {
    return this.#current === undefined
      ? `no certificate in ${this.#options.directory} yet: the controller makes the Secret hawser-gateway-tls`
      : undefined;
  }

  /** Waits for the first pair; undefined when `signal` comes first. */
  async first(signal: AbortSignal): Promise<CertificatePair | undefined> {
    while (!signal.aborted) {
      const pair = await this.#read();
      if (pair !== undefined) return (this.#current = pair);
      await sleep(MISSING_MILLISECONDS, signal);
    }
    return undefined;
  }

  /** Calls `renew` with every other pair that comes, until `signal`. */
  async watch(renew: (pair: CertificatePair) => void | Promise<void>, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await sleep(this.#options.lookMilliseconds ?? LOOK_MILLISECONDS, signal);
      const pair = await this.#read();
      if (pair === undefined || signal.aborted) continue;
      if (pair.cert === this.#current?.cert && pair.key === this.#current.key) continue;
      this.#current = pair;
      await renew(pair);
      this.#options.log('info', 'the certificate was renewed');
    }
  }

  async #read(): Promise<CertificatePair | undefined> {
    const { directory, readText, check, log } = this.#options;
    try {
      const [cert, key] = await Promise.all([
        readText(`${directory}/tls.crt`),
        readText(`${directory}/tls.key`),
      ]);
      const pair = { cert, key };
      check(pair);
      this.#complaint = '';
      return pair;
    } catch (error) {
      // Said once, not every half second.
      const complaint = describeError(error);
      if (complaint !== this.#complaint)
        log('warn', 'no usable certificate', { directory, error: complaint });
      this.#complaint = complaint;
      return undefined;
    }
  }
}
