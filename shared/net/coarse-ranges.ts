/**
 * Merges ranges into fewer ones that cover at least the same addresses: a limit must not omit ranges that have to be avoided.
 */
import { contains, formatAddress, parseRange, readRanges, type Range } from './cidr.ts';

/** Canonical texts of readable ranges, each once, without those inside others; sorted. */
export function tidy(texts: readonly string[]): string[] {
  return outermost(readRanges(texts.map((text) => text.trim())))
    .map((range) => range.text)
    .sort();
}

/**
 * At most `limit` ranges that cover all given ones. While there are too many, the two neighbours with the smallest common range
 * are merged into it. Unreadable texts are skipped.
 */
export function coarsen(texts: readonly string[], limit: number): string[] {
  const ranges = outermost(readRanges(texts));
  const around = (index: number) => {
    const [one, other] = [ranges[index], ranges[index + 1]];
    return one === undefined || other === undefined ? undefined : common(one, other);
  };
  /** The common range of each range and the next one. */
  const wider = ranges.map((_, index) => around(index));
  while (ranges.length > limit) {
    let best = -1;
    wider.forEach((range, index) => {
      if (range !== undefined && (best < 0 || size(range) < size(wider[best] as Range))) best = index;
    });
    const chosen = wider[best];
    // One range of each family is the minimum.
    if (chosen === undefined) break;
    let [first, end] = [best, best + 2];
    while (first > 0 && contains(chosen, ranges[first - 1] as Range)) first--;
    while (end < ranges.length && contains(chosen, ranges[end] as Range)) end++;
    ranges.splice(first, end - first, chosen);
    wider.splice(first, end - first, around(first));
    if (first > 0) wider[first - 1] = around(first - 1);
  }
  return ranges.map(({ text }) => text);
}

const bitsOf = (range: Range): number => (range.family === 4 ? 32 : 128);
/** Bits of the host part. */
const size = (range: Range): number => bitsOf(range) - range.length;

/** The smallest range that contains both; undefined for different families. */
function common(one: Range, other: Range): Range | undefined {
  if (one.family !== other.family) return undefined;
  const bits = bitsOf(one);
  const differing = (one.start ^ other.start).toString(2);
  const same = differing === '0' ? bits : bits - differing.length;
  const length = Math.min(one.length, other.length, same);
  const shift = BigInt(bits - length);
  return parseRange(`${formatAddress((one.start >> shift) << shift, one.family)}/${length}`);
}

/** In the order of their addresses, IPv4 first, without those inside others. */
export function outermost(ranges: readonly Range[]): Range[] {
  const sorted = ranges.toSorted(
    (one, other) =>
      one.family - other.family ||
      (one.start < other.start ? -1 : one.start > other.start ? 1 : one.length - other.length),
  );
  const kept: Range[] = [];
  for (const range of sorted) {
    const last = kept.at(-1);
    if (last === undefined || !contains(last, range)) kept.push(range);
  }
  return kept;
}
