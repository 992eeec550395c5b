import { spreadHash } from './hash.ts';
import {
  contains,
  firstFreeRange,
  overlaps,
  parseRange,
  rangeSize,
  readRanges,
  tryParseRange,
  type Range,
} from './cidr.ts';
import { metadataRanges } from './metadata.ts';

/** Same shape as in Tunnel.spec.remaps. */
export interface Remap {
  real: string;
  mapped: string;
  state: 'InUse' | 'Draining';
  /** It overlaps a range that appeared in this cluster since it was chosen, and stays in use. */
  held?: boolean | undefined;
}

export interface RemapInput {
  /** Ranges that the remote declares now: its pods and its external CIDR. Valid ones (`validateDeclaredRanges`). */
  declared: readonly Range[];
  /** Earlier choices for this remote, in the order of choice. */
  stored: readonly Remap[];
  /**
   * All ranges that this cluster uses or reserves: pods, Services, nodes, external CIDR, reserved. A choice never overlaps
   * them.
   */
  ownRanges: readonly Range[];
  /** Ranges that this cluster depends on: API server, resolvers. A choice that overlaps one is replaced at once. */
  protectedRanges?: readonly Range[];
  /** Ranges of this remote that the owner of this cluster uses without remapping, including all ranges inside them. */
  accepted?: readonly Range[];
  /**
   * Approved by the owner of this cluster: mapped ranges that may be replaced by another choice, and declared ranges that are
   * mapped although they exceed a remote's share.
   */
  approved?: readonly Range[];
  /**
   * Ranges that a new choice avoids: the other tunnels' remaps, including draining ones, and their endpoints. An existing
   * choice stays; otherwise any remote could displace the others by its declarations.
   */
  otherRanges: readonly Range[];
  /** Pools of free ranges, in order of preference. */
  pools: readonly Range[];
}

export interface RemapCollision {
  real: string;
  mapped: string;
  /** The overlapped range of this cluster. */
  own: string;
}

/** A declared range that does not have its intended range here. */
export interface WaitingRange {
  real: string;
  /**
   * - `NeedsApproval`: with it, the remote would exceed its share of addresses; it cannot be reached until approved
   * - `NoFreeRange`: no pool has room; it cannot be reached until one has
   * - `InUseOtherwise`: accepted without remapping, but in use under another range until that one may move
   * - `NotFree`: accepted without remapping, but it overlaps a range of this cluster
   */
  reason: 'NeedsApproval' | 'NoFreeRange' | 'InUseOtherwise' | 'NotFree';
  /** The range by which it is known meanwhile. */
  mapped?: string | undefined;
  /** The overlapped range. */
  meets?: string | undefined;
}

export interface RemapDecision {
  /** Append-only: all stored records in their order, followed by new ones. */
  remaps: Remap[];
  /** Choices in use that now overlap a range of this cluster, and whose reassignment is not approved. */
  collisions: RemapCollision[];
  waiting: WaitingRange[];
}

/**
 * Pools of the ranges by which this cluster knows others. Shared address space (RFC 6598) comes first: organisations do not use
 * it for their own networks, so there is nothing behind a default route. The private ranges (RFC 1918) follow when it is
 * exhausted. Each cluster chooses independently, so two clusters may choose the same range for each other. Ranges in use around
 * the nodes that cannot be seen from inside the cluster belong in LocalCluster.spec.reservedCIDRs.
 */
export const defaultRemapPools: readonly string[] = [
  '100.64.0.0/10',
  '10.128.0.0/9',
  '172.16.0.0/12',
  '10.0.0.0/9',
];

/**
 * The pool for IPv6: a /40 of unique local addresses (RFC 4193) by hash of the cluster ID, so that clusters differ. Section 3.2
 * requires a random one, but this one must be the same after a restore from the ID alone. It contains 256 ranges of a cluster's
 * size (/48), and none is visible outside of this cluster.
 */
export function uniqueLocalPool(clusterID: string): string {
  const digits = [spreadHash(clusterID), spreadHash(`${clusterID} remap pool`)]
    .map((hash) => hash.toString(16).padStart(8, '0'))
    .join('');
  return parseRange(`fd${digits.slice(0, 2)}:${digits.slice(2, 6)}:${digits.slice(6, 8)}00::/40`).text;
}

/** Maximum of a tunnel's records in the API. */
export const maximumRemaps = 64;

/**
 * A remote gets at most as many addresses as such a prefix has, sixteen times a cluster's usual pod range (/16, /48), and more
 * with approval: otherwise one remote with large declarations could exhaust the pools.
 */
export const sharePrefix = { 4: 12, 6: 44 } as const;
/** Ranges this small, like an external CIDR, never wait: even the maximum of a tunnel's records is a fraction of a share. */
const smallPrefix = { 4: 20, 6: 52 } as const;
const shareSize = { 4: 1n << BigInt(32 - sharePrefix[4]), 6: 1n << BigInt(128 - sharePrefix[6]) } as const;

/**
 * Chooses the range by which this cluster knows each range of a remote.
 *
 * A remote's declarations do not determine where this cluster's traffic goes: its range is mapped into a pool of this cluster,
 * and is used without remapping only if the owner of this cluster accepted that. A stored choice stays while it overlaps no
 * range of this cluster, so that addresses never change during connections. If a range of this cluster appears in it later, it
 * stays until an administrator approves its move, except for ranges that the cluster depends on. Ranges that are no longer
 * declared or accepted, or were replaced, drain. A range that is declared again gets its former mapped range.
 */
export function planRemaps(input: RemapInput): RemapDecision {
  const { ownRanges: own, otherRanges, pools, accepted = [] } = input;
  const protectedRanges = [...metadataRanges, ...(input.protectedRanges ?? [])];
  const blocked = [...own, ...protectedRanges, ...otherRanges];
  const approved = new Set((input.approved ?? []).map(({ text }) => text));
  const declared = new Map(input.declared.map((range) => [range.text, range]));
  const isAccepted = (range: Range) => accepted.some((each) => contains(each, range));

  const { remaps, placed, collisions } = keepStored(input.stored, {
    declared,
    own,
    protectedRanges,
    approved,
    isAccepted,
  });
  const waiting: WaitingRange[] = [];
  for (const [real, range] of declared) {
    const present = placed.get(real);
    if (present?.mapped === real) continue;
    const itself = remaps.find((each) => each.real === real && each.mapped === real);
    const others = [
      ...blocked,
      ...readRanges(remaps.flatMap((each) => (each === itself ? [] : [each.mapped]))),
    ];
    const wantsAsIs = isAccepted(range);
    const met = wantsAsIs ? others.find((other) => overlaps(other, range)) : undefined;
    const room = remaps.length < maximumRemaps;
    if (wantsAsIs && met === undefined && (room || itself !== undefined)) {
      if (present === undefined || approved.has(present.mapped)) {
        if (present !== undefined) present.state = 'Draining';
        if (itself !== undefined) itself.state = 'InUse';
        else remaps.push({ real, mapped: real, state: 'InUse' });
        continue;
      }
    }
    if (present !== undefined) {
      const reason = met === undefined ? 'InUseOtherwise' : 'NotFree';
      if (wantsAsIs) waiting.push({ real, reason, mapped: present.mapped, meets: met?.text });
      continue;
    }
    const share = sizeMapped(remaps, range.family) + rangeSize(range);
    const small = range.length >= smallPrefix[range.family];
    const fits = wantsAsIs || approved.has(real) || small || share <= shareSize[range.family];
    const sameFamily = pools.filter((pool) => pool.family === range.family);
    // If it were mapped to itself by chance, it would look like an accepted range.
    const free = fits && room ? firstFreeRange(range.length, sameFamily, [...others, range]) : undefined;
    if (free !== undefined) remaps.push({ real, mapped: free.text, state: 'InUse' });
    if (free === undefined || met !== undefined) {
      const reason = free !== undefined ? 'NotFree' : fits ? 'NoFreeRange' : 'NeedsApproval';
      waiting.push({ real, reason, mapped: free?.text, meets: met?.text });
    }
  }
  return { remaps, collisions, waiting };
}

interface Judges {
  declared: ReadonlyMap<string, Range>;
  own: readonly Range[];
  protectedRanges: readonly Range[];
  approved: ReadonlySet<string>;
  isAccepted: (range: Range) => boolean;
}

/** The stored records that stay, and the one in use for each declared range. */
function keepStored(
  stored: readonly Remap[],
  { declared, own, protectedRanges, approved, isAccepted }: Judges,
): { remaps: Remap[]; placed: Map<string, Remap>; collisions: RemapCollision[] } {
  // A draining record keeps its range, since connections may still use it.
  const remaps = stored.map((record): Remap => {
    const { held: _held, ...rest } = record;
    const mapped = tryParseRange(record.mapped);
    const meets = mapped !== undefined && own.some((range) => overlaps(range, mapped));
    const held = meets && (record.state === 'InUse' || record.held === true);
    return { ...rest, state: 'Draining', ...(held && { held }) };
  });
  const wasInUse = new Set(stored.filter(({ state }) => state === 'InUse').map(({ mapped }) => mapped));
  const placed = new Map<string, Remap>();
  const collisions: RemapCollision[] = [];
  // The record in use comes before a replaced one.
  const inOrder = [true, false].flatMap((used) =>
    remaps.filter(({ mapped }) => wasInUse.has(mapped) === used),
  );
  for (const record of inOrder) {
    const mapped = tryParseRange(record.mapped);
    if (mapped === undefined || placed.has(record.real) || !declared.has(record.real)) continue;
    if (record.real === mapped.text && !isAccepted(mapped)) continue;
    if (protectedRanges.some((range) => overlaps(range, mapped))) continue;
    const met = own.find((range) => overlaps(range, mapped));
    if (met !== undefined) {
      if (!wasInUse.has(record.mapped) || approved.has(mapped.text)) continue;
      collisions.push({ real: record.real, mapped: mapped.text, own: met.text });
    }
    record.state = 'InUse';
    placed.set(record.real, record);
  }
  return { remaps, placed, collisions };
}

/** Addresses of this cluster's pools that a remote has; draining records count too. */
function sizeMapped(remaps: readonly Remap[], family: 4 | 6): bigint {
  return readRanges(remaps.flatMap(({ real, mapped }) => (real === mapped ? [] : [mapped])))
    .filter((range) => range.family === family)
    .reduce((sum, range) => sum + rangeSize(range), 0n);
}

/** A message for administrators: what waits, why, and how to resolve it. */
export function waitingText(remote: string, { real, reason, mapped, meets }: WaitingRange): string {
  const approve = `hawser remap approve ${remote} ${real}`;
  const family = tryParseRange(real)?.family ?? 4;
  const texts: Record<WaitingRange['reason'], string> = {
    NeedsApproval: `${real} of ${remote} is not remapped: with it, ${remote} would have more addresses than a /${sharePrefix[family]}, the share of a remote; to approve it: ${approve}`,
    NoFreeRange: `no free range to remap ${real} of ${remote}; to add one: LocalCluster.spec.remapPools`,
    InUseOtherwise: `${real} of ${remote} is accepted without remapping, but is in use as ${mapped}; to approve the change: ${approve}`,
    NotFree: `${real} of ${remote} is accepted without remapping, but overlaps ${meets}${mapped === undefined ? '' : `; it is remapped to ${mapped}`}`,
  };
  return texts[reason];
}

/**
 * Why a remote cannot be used at all, one sentence each: none of its pod ranges, or not its external CIDR, has a range here. A
 * further waiting range does not affect the existing ones.
 */
export function hindrances(
  remote: string,
  declared: { podCIDRs: readonly string[]; externalCIDR: string },
  { remaps, waiting }: Pick<RemapDecision, 'remaps' | 'waiting'>,
): string[] {
  const inUse = new Set(remaps.flatMap(({ real, state }) => (state === 'InUse' ? [real] : [])));
  if (declared.podCIDRs.some((range) => inUse.has(range)) && inUse.has(declared.externalCIDR)) return [];
  return waiting
    .filter(({ real }) => !inUse.has(real))
    .slice(0, 5)
    .map((each) => waitingText(remote, each));
}
