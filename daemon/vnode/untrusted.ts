/** Readers of a provider's values: of the expected type and bounded size, otherwise undefined. Pure. */
import { toSeconds } from '../../shared/conditions.ts';
import { plainText } from '../../shared/plain-text.ts';

/** Longer messages, which core/v1 allows, are truncated. */
export const longestMessage = 1024;
/** The kubelet's limit of a termination message, in which tools pass results. */
export const longestTermination = 4096;
/** Limit over all containers of a pod. */
export const podTermination = 12_288;
export const longestReason = 128;

/** An object, if it is one. */
export const record = (value: unknown): Record<string, unknown> | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;

/** At most 64 entries, more than any real list of containers or conditions. */
export const list = (value: unknown): Record<string, unknown>[] =>
  Array.isArray(value)
    ? (value as unknown[])
        .slice(0, 64)
        .map(record)
        .filter((each) => each !== undefined)
    : [];

/** Text without control characters, of at most this length in UTF-16 units; undefined if it is not text. */
export const text = (value: unknown, longest: number): string | undefined =>
  typeof value === 'string' && value !== ''
    ? // Cut before, so that a long text costs no more, and after, since an escape is longer than what it stands for. Half a
      // character at the end would be stored as another one, and always differ from the desired text.
      plainText(value.slice(0, longest)).slice(0, longest).toWellFormed()
    : undefined;

/** A non-negative int32. */
export const count = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0x7fffffff
    ? value
    : undefined;

/** Maximum lead of the provider's clock. */
const mostAheadMilliseconds = 24 * 3600 * 1000;

/**
 * RFC 3339 in whole seconds; undefined for an invalid time, or one in the far future. A future time is not replaced by the
 * present, which changes: the same input must always give the same status.
 */
export function time(value: unknown, now: number): string | undefined {
  if (typeof value !== 'string' || value.length > 40) return undefined;
  const milliseconds = Date.parse(value);
  if (!(milliseconds >= 0) || milliseconds > now + mostAheadMilliseconds) return undefined;
  return toSeconds(milliseconds);
}
