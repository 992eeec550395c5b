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
  /** Something of this cluster's own has come to lie on it since it was chosen, and it goes on all the same. */
  held?: boolean | undefined;
}

export interface RemapInput {
  /** Ranges that the remote declares now: its pods and its external CIDR. Valid ones (`validateDeclaredRanges`). */
  declared: readonly Range[];
  /** What was chosen before for this remote, in the order of choice. */
  stored: readonly Remap[];
  /** All that this cluster uses or reserves: pods, Services, nodes, external CIDR, reserved. A choice never overlaps it. */
  ownRanges: readonly Range[];
  /** What this cluster cannot do without: API server, resolvers. A choice that comes to meet it is given up at once. */
  protectedRanges?: readonly Range[];
  /** Ranges of this remote that the owner of this cluster takes as they are, and all inside them. */
  accepted?: readonly Range[];
  /**
   * By the owner of this cluster: mapped ranges that may be given up for another choice, and declared ranges that are
   * mapped though they are more than a remote's share.
   */
  approved?: readonly Range[];
  /**
   * What a new choice avoids: the other tunnels' remaps, draining ones too, and their endpoints. A choice that was made
   * stays, or any remote could push the others from their ranges by what it declares.
   */
  otherRanges: readonly Range[];
  /** Where free ranges are taken from, in order of preference. */
  pools: readonly Range[];
}

export interface RemapCollision {
  real: string;
  mapped: string;
  /** What it meets. */
  own: string;
}

/** A declared range without the intended range here. */
export interface WaitingRange {
  real: string;
  /**
   * - `NeedsApproval`: with it, the remote would have more addresses than its share; it cannot be reached until approved
   * - `NoFreeRange`: no pool has room; it cannot be reached until one has
   * - `InUseOtherwise`: accepted as it is, but in use under another name until that one may move
   * - `NotFree`: accepted as it is, but it meets something of this cluster's
   */
  reason: 'NeedsApproval' | 'NoFreeRange' | 'InUseOtherwise' | 'NotFree';
  /** By which it is known meanwhile. */
  mapped?: string | undefined;
  /** What it meets. */
  meets?: string | undefined;
}

export interface RemapDecision {
  /** Append-only: every stored record is there, in its order; new ones follow. */
  remaps: Remap[];
  /** Choices in use that now overlap a range of this cluster, and whose reassignment is not approved. */
  collisions: RemapCollision[];
  waiting: WaitingRange[];
}

/**
 * Where this cluster knows the ranges of others. Shared address space (RFC 6598) comes first: no organisation numbers its
 * own network by it, so that nothing lies there behind a default route. The private ranges (RFC 1918) are for when it is
 * exhausted. Each cluster chooses for itself, so two clusters may choose the same range for each other. What else is in
 * use around the nodes and cannot be seen from inside the cluster belongs in LocalCluster.spec.reservedCIDRs.
 */
export const defaultRemapPools: readonly string[] = [
  '100.64.0.0/10',
  '10.128.0.0/9',
  '172.16.0.0/12',
  '10.0.0.0/9',
];

/**
 * The pool for IPv6: a /40 of unique local addresses (RFC 4193) by hash of the cluster ID, so that clusters differ. Not
 * random, as section 3.2 wants it, since it must be the same after everything was restored from nothing but the ID. 256
 * ranges of the size of a cluster's (/48) are in it, and none is seen outside of this cluster.
 */
export function uniqueLocalPool(clusterID: string): string {
  const digits = [spreadHash(clusterID), spreadHash(`${clusterID} remap pool`)]
    .map((hash) => hash.toString(16).padStart(8, '0'))
    .join('');
  return parseRange(`fd${digits.slice(0, 2)}:${digits.slice(2, 6)}:${digits.slice(6, 8)}00::/40`).text;
}

/** Records of a tunnel that the API holds at most. */
export const maximumRemaps = 64;

/**
 * A remote is mapped to as many addresses as such a prefix has, sixteen times a cluster's usual pod range (/16, /48), and to
 * more with approval: or one remote that declares enough takes the pools from the others.
 */
export const sharePrefix = { 4: 12, 6: 44 } as const;
/** So small a range, as an external CIDR is, never waits: as many as a tunnel has records are a part of a share. */
const smallPrefix = { 4: 20, 6: 52 } as const;
const shareSize = { 4: 1n << BigInt(32 - sharePrefix[4]), 6: 1n << BigInt(128 - sharePrefix[6]) } as const;

/**
 * Chooses under which range this cluster knows each range of a remote.
 *
 * What a remote declares does not decide where traffic of this cluster goes: its range is mapped into a pool of this
 * cluster's, and is used as it is only where the owner of this cluster accepted that. A stored choice stays while it meets
 * nothing of this cluster's own, so that addresses never change under running connections. One on which something of this
 * cluster's own has come to lie stays too until somebody approves that it moves, unless that is what the cluster cannot do
 * without. What is no longer declared or accepted, or was given up, drains. A range that is declared again gets its old
 * name back.
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
    // Mapped to itself by chance, a range could not be told from one that was accepted.
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

/** The stored records as they stay, and which of them is in use for each declared range. */
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
  // The name in use comes before one that it took the place of.
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

/** Addresses that a remote has been given of this cluster's pools; what drains keeps its place. */
function sizeMapped(remaps: readonly Remap[], family: 4 | 6): bigint {
  return readRanges(remaps.flatMap(({ real, mapped }) => (real === mapped ? [] : [mapped])))
    .filter((range) => range.family === family)
    .reduce((sum, range) => sum + rangeSize(range), 0n);
}

/** A sentence for a person: what waits, why, and what ends it. */
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
 * Why a remote cannot be used at all, a sentence each: none of its pod ranges, or not its external CIDR, has a range here.
 * One range more that waits disturbs nothing of what is there.
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
