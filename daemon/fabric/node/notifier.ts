import type { Clock } from '../../../shared/time.ts';

/** Wakes one waiting loop; a notification while none waits is remembered. */
export class Notifier {
  #rung = false;
  #wake: () => void = () => {};

  notify(): void {
    this.#rung = true;
    this.#wake();
  }

  /** Waits for a notification, the timeout or the signal's abort; returns whether a notification came. */
  async wait(milliseconds: number, signal: AbortSignal, clock: Clock): Promise<boolean> {
    if (!this.#rung && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const cancel = clock.after(milliseconds, resolve);
        this.#wake = () => {
          cancel();
          resolve();
        };
        signal.addEventListener('abort', this.#wake, { once: true });
      });
      signal.removeEventListener('abort', this.#wake);
      this.#wake = () => {};
    }
    const rung = this.#rung;
    this.#rung = false;
    return rung;
  }
}
