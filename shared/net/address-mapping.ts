import { hostAt, parseRange, rangeSize, tryParseHost, type Host, type Range } from './cidr.ts';

/** A range and its mapped range of equal length: the owner's, and another cluster's. Tunnel.spec.remaps has this shape. */
export interface RangeMapping {
  real: string;
  mapped: string;
  /** New addresses come only from `InUse` (or absent); `Draining` ones are still translated. */
  state?: 'InUse' | 'Draining';
}

/** The same with parsed ranges. */
export interface ParsedMapping {
  real: Range;
  mapped: Range;
  state?: 'InUse' | 'Draining';
}

/** @throws InvalidRange */
export function parseMappings(mappings: readonly RangeMapping[]): ParsedMapping[] {
  return mappings.map(({ real, mapped, state }) => ({
    real: parseRange(real),
    mapped: parseRange(mapped),
    ...(state !== undefined && { state }),
  }));
}

function mapOne(
  mappings: readonly ParsedMapping[],
  { family, start }: Host,
  from: 'real' | 'mapped',
): Host | undefined {
  let best: ParsedMapping | undefined;
  for (const mapping of mappings) {
    if (from === 'real' && mapping.state === 'Draining') continue;
    const source = mapping[from];
    if (source.family !== family || start < source.start || start > source.end) continue;
    if (best !== undefined && best[from].length >= source.length) continue;
    best = mapping;
  }
  if (best === undefined) return undefined;
  const target = best[from === 'real' ? 'mapped' : 'real'];
  const offset = start - best[from].start;
  // Mappings of unequal length cover only the shorter one.
  return offset < rangeSize(target) ? hostAt(target, offset) : undefined;
}

/**
 * Maps the owner's address to the address by which the cluster that chose the mappings knows it; the longest match wins.
 * Undefined if no mapping covers it: such an address cannot be reached, and must not be published.
 */
export const mappedHost = (mappings: readonly ParsedMapping[], real: Host): Host | undefined =>
  mapOne(mappings, real, 'real');

/** The reverse: maps an address of the choosing cluster to the owner's. Undefined if no mapping covers it. */
export const realHost = (mappings: readonly ParsedMapping[], mapped: Host): Host | undefined =>
  mapOne(mappings, mapped, 'mapped');

/**
 * Like `mappedHost`, in text; also undefined for an invalid address.
 *
 * @example toMapped([{ real: '10.1.0.0/16', mapped: '10.128.0.0/16' }], '10.1.2.3') // '10.128.2.3'
 */
export function toMapped(mappings: readonly RangeMapping[], realAddress: string): string | undefined {
  const host = tryParseHost(realAddress);
  return host && mappedHost(parseMappings(mappings), host)?.address;
}

/** Like `realHost`, in text; also undefined for an invalid address. */
export function toReal(mappings: readonly RangeMapping[], mappedAddress: string): string | undefined {
  const host = tryParseHost(mappedAddress);
  return host && realHost(parseMappings(mappings), host)?.address;
}
