/**
 * Debounces status messages: each write is an event for every watcher. A changed status is written at once; a changed
 * message of the same status waits up to a second for the last one.
 */
import type { Condition } from '../../shared/api/meta.ts';
import { findCondition, type Finding } from '../../shared/conditions.ts';

const waitMilliseconds = 1_000;

export class StatusDebouncer {
  /** Since when the message differs from the written one. */
  readonly #since = new Map<string, number>();

  /** How long to wait before this object's findings are written, milliseconds; 0 if at once, or if nothing changed. */
  left(
    key: string,
    present: readonly Condition[] | undefined,
    findings: readonly Finding[],
    now: number,
  ): number {
    const before = findings.map(({ type }) => findCondition(present, type));
    const transitioned = findings.some(({ status }, index) => before[index]?.status !== status);
    const same = findings.every(
      ({ reason, message }, index) => before[index]?.reason === reason && before[index]?.message === message,
    );
    if (transitioned || same) {
      this.#since.delete(key);
      return 0;
    }
    const since = this.#since.get(key) ?? now;
    const left = since + waitMilliseconds - now;
    if (left > 0) this.#since.set(key, since);
    else this.#since.delete(key);
    return Math.max(0, left);
  }

  /** Drops the state of a deleted object. */
  forget(key: string): void {
    this.#since.delete(key);
  }
}
