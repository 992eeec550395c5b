/** Reading what a provider says: of the right type, of bounded size, or not at all. Pure. */
import { toSeconds } from '../../shared/conditions.ts';
import { plainText } from '../../shared/plain-text.ts';

/** core/v1 allows longer messages; they are cut. */
export const longestMessage = 1024;
/** What the kubelet takes of a termination message; tools pass results in it. */
export const longestTermination = 4096;
/** Of all containers of a pod together. */
export const podTermination = 12_288;
export const longestReason = 128;

/** An object, if it is one. */
export const record = (value: unknown): Record<string, unknown> | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;

/** At most 64 entries: more containers or conditions than that are nobody's. */
export const list = (value: unknown): Record<string, unknown>[] =>
  Array.isArray(value)
    ? (value as unknown[])
        .slice(0, 64)
        .map(record)
        .filter((each) => each !== undefined)
    : [];

/** Text that is harmless on a terminal, not longer than that in UTF-16 units; undefined for what is none. */
export const text = (value: unknown, longest: number): string | undefined =>
  typeof value === 'string' && value !== ''
    ? // Cut before, so that a long text costs no more, and after, since an escape is longer than what it stands for. Half a
      // character at the end would be stored as another one, and differ from what is wanted each time.
      plainText(value.slice(0, longest)).slice(0, longest).toWellFormed()
    : undefined;

/** A whole number that fits an int32, not negative. */
export const count = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0x7fffffff
    ? value
    : undefined;

/** The provider's clock may be ahead of this one by so much. */
const mostAheadMilliseconds = 24 * 3600 * 1000;

/**
 * RFC 3339 in whole seconds; undefined for what is no time, or one in a far future. Not cut to the present, which moves:
 * the same word is to give the same status each time.
 */
export function time(value: unknown, now: number): string | undefined {
  if (typeof value !== 'string' || value.length > 40) return undefined;
  const milliseconds = Date.parse(value);
  if (!(milliseconds >= 0) || milliseconds > now + mostAheadMilliseconds) return undefined;
  return toSeconds(milliseconds);
}
