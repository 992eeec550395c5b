import { addressFamily, addressNumber, formatAddress, parseRange, type Range } from './cidr.ts';

/** A range under two names of equal length: the owner's and another cluster's. Tunnel.spec.remaps has this shape. */
export interface RangeMapping {
  real: string;
  mapped: string;
  /** Only `InUse` (or none) gives addresses out; `Draining` ones are still understood. */
  state?: 'InUse' | 'Draining';
}

function mapOne(
  mappings: readonly RangeMapping[],
  address: string,
  from: 'real' | 'mapped',
): string | undefined {
  if (addressFamily(address) === undefined) return undefined;
  const { family, number } = addressNumber(address);
  let best: { source: Range; target: Range } | undefined;
  for (const mapping of mappings) {
    if (from === 'real' && mapping.state === 'Draining') continue;
    const source = parseRange(mapping[from]);
    if (source.family !== family || number < source.start || number > source.end) continue;
    if (best !== undefined && best.source.length >= source.length) continue;
    best = { source, target: parseRange(mapping[from === 'real' ? 'mapped' : 'real']) };
  }
  if (best === undefined) return undefined;
  return formatAddress(best.target.start + (number - best.source.start), best.target.family);
}

/**
 * The owner's address → the address by which the cluster that chose the mappings knows it; the longest match wins.
 * Undefined when no mapping covers it: such an address cannot be reached, and must not be handed out.
 *
 * @example toMapped([{ real: '10.1.0.0/16', mapped: '10.128.0.0/16' }], '10.1.2.3') // '10.128.2.3'
 */
export function toMapped(mappings: readonly RangeMapping[], realAddress: string): string | undefined {
  return mapOne(mappings, realAddress, 'real');
}

/** The way back: an address as the choosing cluster knows it → the owner's. Undefined when no mapping covers it. */
export function toReal(mappings: readonly RangeMapping[], mappedAddress: string): string | undefined {
  return mapOne(mappings, mappedAddress, 'mapped');
}
