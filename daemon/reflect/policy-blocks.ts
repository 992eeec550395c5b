/** Translates the ranges of a policy's ipBlock for a provider. Pure. */
import type { Tunnel } from '../../shared/api/network.ts';
import { mostExceptions, type PolicyPeer } from '../../shared/api/policies.ts';
import type { RangeMapping } from '../../shared/net/address-mapping.ts';
import {
  anyContains,
  contains,
  formatAddress,
  parseRange,
  readRanges,
  tryParseRange,
  type Range,
} from '../../shared/net/cidr.ts';

interface Block {
  cidr: string;
  except?: string[];
}

/** The meaning of ranges on either side. */
export interface RangesInView {
  /** Ranges of this cluster: real, and as the provider knows them. */
  own: readonly RangeMapping[];
  /** Ranges of the provider's pods, as known here. */
  there: readonly string[];
  /** Ranges of pods at third clusters, as known here. */
  elsewhere: readonly string[];
  /** Ranges of Services and nodes of this cluster, which have no meaning at the provider. */
  local: readonly string[];
  /** Whether an address lies in the block and belongs to a third cluster. */
  inElsewhere(block: Block): (address: string) => boolean;
}

/** From the tunnel to the provider, the tunnels to others, and this cluster's own ranges. */
export function rangesInView(
  tunnel: Tunnel,
  others: readonly Tunnel[],
  local: {
    serviceCIDRs?: readonly string[] | undefined;
    nodeCIDRs?: readonly string[] | undefined;
  } = {},
): RangesInView {
  const { remaps, remoteRemaps, remotePodCIDRs } = tunnel.spec;
  const pods = new Set(remotePodCIDRs);
  const elsewhere = others.flatMap((other) => other.spec.remaps.map(({ mapped }) => mapped));
  const ranges = readRanges(elsewhere);
  return {
    own: remoteRemaps.filter((remap) => (remap as RangeMapping).state !== 'Draining'),
    there: remaps.filter(({ real }) => pods.has(real)).map(({ mapped }) => mapped),
    elsewhere,
    local: [
      ...(local.serviceCIDRs ?? []),
      ...(local.nodeCIDRs ?? []),
      ...remaps.filter(({ real }) => !pods.has(real)).map(({ mapped }) => mapped),
    ],
    inElsewhere({ cidr, except = [] }) {
      const within = readRanges([cidr]);
      const not = readRanges(except);
      return (address) =>
        anyContains(ranges, address) && anyContains(within, address) && !anyContains(not, address);
    },
  };
}

/** Peers of the block at the provider, without pods at third clusters. */
export function blocksThere(
  { cidr, except = [] }: Block,
  direction: 'ingress' | 'egress',
  ranges: RangesInView,
): PolicyPeer[] {
  const block = tryParseRange(cidr);
  const excepted = readRanges(except);
  if (block === undefined || excepted.length < except.length) return [];
  const within = (range: Range) =>
    contains(block, range) && !excepted.some((each) => contains(range, each) || contains(each, range));
  const peers: PolicyPeer[] = ranges.own.flatMap((mapping) => {
    const real = parseRange(mapping.real);
    const piece = contains(block, real) ? real : contains(real, block) ? block : undefined;
    if (piece === undefined || excepted.some((each) => contains(each, piece))) return [];
    const inner = excepted.filter((each) => contains(piece, each)).map((each) => moved(each, mapping));
    return [{ block: { cidr: moved(piece, mapping), ...(inner.length > 0 && { except: inner.sort() }) } }];
  });
  // A block that covers a part of the provider's pods cannot be expressed by labels; only all of them can be selected.
  if (ranges.there.length > 0 && ranges.there.every((each) => within(parseRange(each)))) {
    peers.push({ pods: { selector: {} } });
  }
  // Pods at a provider receive no connections from the internet.
  if (direction === 'ingress') return peers;
  const known = readRanges([
    ...ranges.own.map(({ real }) => real),
    ...ranges.there,
    ...ranges.elsewhere,
    ...ranges.local,
  ]);
  if (known.some((each) => contains(each, block))) return peers;
  const closed = [...excepted, ...known.filter((each) => contains(block, each))].map(({ text }) => text);
  const left = [...new Set(closed)].sort();
  // Allows less than requested, never more.
  if (left.length > mostExceptions) return peers;
  const caches = { cidr: block.text, ...(left.length > 0 && { except: left }) };
  return [...peers, { block: caches }];
}

/** Translates a range by the mapping, keeping the host part. */
function moved(range: Range, mapping: RangeMapping): string {
  const offset = range.start - parseRange(mapping.real).start;
  return `${formatAddress(parseRange(mapping.mapped).start + offset, range.family)}/${range.length}`;
}
