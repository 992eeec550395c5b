import {
  addressAt,
  contains,
  formatAddress,
  hostAt,
  offsetOf,
  overlaps,
  parseRange,
  rangeSize,
  tryParseRange,
  type Host,
  type Range,
} from './cidr.ts';
import { spreadHash } from './hash.ts';
import { externalOffsets } from '../ports.ts';

/** Shared address space (RFC 6598): rarely used for pods, Services or nodes. */
export const externalPool = '100.64.0.0/10';
/** 4,096 addresses: enough for nodes and mapped addresses; 1,024 such ranges in the pool. */
const externalLength = 20;

/**
 * Chooses the external CIDR of a cluster: a /20 of 100.64.0.0/10 by hash of the cluster ID, so that two clusters rarely have
 * the same one, or the next one that overlaps nothing in `avoid`.
 *
 * @param avoid ranges that this cluster uses or reserves; unreadable ones are ignored
 * @throws Error if nothing is free: then an administrator must set LocalCluster.spec.externalCIDR
 */
export function chooseExternalCIDR(clusterID: string, avoid: readonly string[]): string {
  const pool = parseRange(externalPool);
  const used = avoid.flatMap((text) => tryParseRange(text) ?? []);
  const size = 1n << BigInt(32 - externalLength);
  const count = Number(rangeSize(pool) / size);
  const first = spreadHash(clusterID) % count;
  for (let step = 0; step < count; step++) {
    const start = pool.start + BigInt((first + step) % count) * size;
    const candidate = parseRange(`${formatAddress(start, 4)}/${externalLength}`);
    if (!used.some((range) => overlaps(range, candidate))) return candidate.text;
  }
  throw new Error(
    `no /${externalLength} of ${externalPool} is free for the external CIDR: set LocalCluster.spec.externalCIDR to an unused range`,
  );
}

/** The address by which a cluster answers path probes. */
export function probeAddress(externalCIDR: Range): Host {
  return hostAt(externalCIDR, externalOffsets.probe);
}

/** The address of a cluster's API gateway inside the tunnel. */
export function gatewayAddress(externalCIDR: Range): Host {
  return hostAt(externalCIDR, externalOffsets.gateway);
}

/** The address of a cluster's API server inside the tunnel. */
export function apiServerAddress(externalCIDR: Range): Host {
  return hostAt(externalCIDR, externalOffsets.apiServer);
}

/**
 * Assigns an address of the external CIDR to every node: the first free one from offset 16, outside of the half for mappings. A
 * node keeps its address.
 *
 * @param nodes names of the nodes that need one, in any order
 * @param stored previous assignments; an address outside the CIDR or assigned twice is replaced
 * @returns addresses by node; nodes beyond the range are left out
 */
export function allocateNodeAddresses(
  externalCIDR: string,
  nodes: readonly string[],
  stored: ReadonlyMap<string, string>,
): Map<string, string> {
  const range = parseRange(externalCIDR);
  const taken = new Set<bigint>();
  const result = new Map<string, string>();
  const sorted = [...new Set(nodes)].sort();
  for (const node of sorted) {
    const address = stored.get(node);
    const offset = address === undefined ? undefined : offsetOf(range, address);
    if (offset === undefined || offset < BigInt(externalOffsets.firstNode) || taken.has(offset)) continue;
    if (offset >= firstMappedOffset(range)) continue;
    taken.add(offset);
    result.set(node, addressAt(range, offset));
  }
  const end = min(firstMappedOffset(range), endOf(range));
  let next = BigInt(externalOffsets.firstNode);
  for (const node of sorted) {
    if (result.has(node)) continue;
    while (taken.has(next)) next++;
    if (next >= end) break;
    taken.add(next);
    result.set(node, addressAt(range, next));
  }
  return result;
}

/**
 * Assigns a mapped address to every key: the first free one of the external CIDR's upper half. A key keeps its address.
 *
 * @param wanted keys that need an address, older ones first
 * @param stored previous assignments, including obsolete ones; an address outside the range is replaced
 * @returns addresses by key of `wanted`; keys beyond the range are left out
 */
export function allocateMappedAddresses(
  externalCIDR: string,
  wanted: readonly string[],
  stored: ReadonlyMap<string, string>,
): Map<string, string> {
  const range = parseRange(externalCIDR);
  const [first, end] = [firstMappedOffset(range), endOf(range)];
  const taken = new Set<bigint>();
  const held = new Map<string, bigint>();
  for (const [key, address] of stored) {
    const offset = offsetOf(range, address);
    if (offset === undefined || offset < first || offset >= end || taken.has(offset)) continue;
    taken.add(offset);
    held.set(key, offset);
  }
  const result = new Map<string, string>();
  let next = first;
  for (const key of new Set(wanted)) {
    let offset = held.get(key);
    if (offset === undefined) {
      while (taken.has(next)) next++;
      if (next >= end) continue;
      offset = next;
      taken.add(offset);
    }
    result.set(key, addressAt(range, offset));
  }
  return result;
}

/** Whether an address lies in the half for address mappings. */
export function isMappedAddress(externalCIDR: Range, address: Host): boolean {
  const offset = address.start - externalCIDR.start;
  return (
    contains(externalCIDR, address) &&
    offset >= firstMappedOffset(externalCIDR) &&
    offset < endOf(externalCIDR)
  );
}

/** The upper half is for address mappings; a range that is barely large enough for nodes has none. */
function firstMappedOffset(range: Range): bigint {
  const size = rangeSize(range);
  return size >= 64n ? size / 2n : size;
}

/** The last address of an IPv4 range is left out: some systems treat it as a broadcast address. */
function endOf(range: Range): bigint {
  return rangeSize(range) - (range.family === 4 ? 1n : 0n);
}

const min = (one: bigint, other: bigint) => (one < other ? one : other);
