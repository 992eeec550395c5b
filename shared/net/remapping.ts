import { spreadHash } from './hash.ts';
import { contains, firstFreeRange, overlaps, parseRange, tryParseRange, type Range } from './cidr.ts';

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
  declared: readonly string[];
  /** What was chosen before for this remote, in the order of choice. */
  stored: readonly Remap[];
  /** All that this cluster uses or reserves: pods, Services, nodes, external CIDR, reserved. A choice never overlaps it. */
  ownRanges: readonly string[];
  /** Mapped ranges that may be given up, if something of this cluster's own has come to lie on them. */
  approved?: readonly string[];
  /**
   * What a new choice avoids: the other tunnels' remaps, draining ones too, and their endpoints. A choice that was made
   * stays, or any remote could push the others from their ranges by what it declares.
   */
  otherRanges: readonly string[];
  /** Where free ranges are taken from, in order of preference. */
  pools: readonly string[];
}

export interface RemapCollision {
  real: string;
  mapped: string;
  /** What it meets. */
  own: string;
}

export interface RemapDecision {
  /** Append-only: every stored record is there, in its order; new ones follow. */
  remaps: Remap[];
  /** Choices in use that now overlap a range of this cluster, and whose reassignment is not approved. */
  collisions: RemapCollision[];
  /** Declared ranges for which no free range was found: they cannot be reached until a pool is added. */
  unplaced: string[];
}

/**
 * Private ranges in which few networks of nodes lie (RFC 1918, section 3; RFC 6598). Each cluster chooses for itself,
 * so two clusters may choose the same one for each other. What else is in use around the nodes and cannot be seen
 * from inside the cluster belongs in LocalCluster.spec.reservedCIDRs.
 */
export const defaultRemapPools: readonly string[] = [
  '10.128.0.0/9',
  '172.16.0.0/12',
  '10.0.0.0/9',
  '100.64.0.0/10',
];

/**
 * The pool for IPv6: a /48 of unique local addresses (RFC 4193) by hash of the cluster ID, so that clusters differ. Not
 * random, as section 3.2 wants it, since it must be the same after everything was restored from nothing but the ID.
 */
export function uniqueLocalPool(clusterID: string): string {
  const digits = [spreadHash(clusterID), spreadHash(`${clusterID} remap pool`)]
    .map((hash) => hash.toString(16).padStart(8, '0'))
    .join('');
  return parseRange(`fd${digits.slice(0, 2)}:${digits.slice(2, 6)}:${digits.slice(6, 10)}::/48`).text;
}

/** RFC 1918, RFC 6598, RFC 4193. */
const privateRanges = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', 'fc00::/7'].map(
  (text) => parseRange(text),
);

/** Records of a tunnel that the API holds at most. */
export const maximumRemaps = 64;

/**
 * Chooses under which range this cluster knows each range of a remote.
 *
 * A private range that is free here is used as it is; a public one never, since it may be somebody's whom this cluster's
 * pods talk to, and a remote could draw that traffic to itself by declaring it. A stored choice stays while it meets nothing of this cluster's own, so
 * that addresses never change under running connections. One on which something of this cluster's own has come to lie
 * stays as well until somebody approves that it moves. What is no longer declared, or was given up, drains. A range that is declared again gets its old name back.
 */
export function planRemaps(input: RemapInput): RemapDecision {
  const own = parseAll(input.ownRanges);
  const others = parseAll(input.otherRanges);
  const blocked = [...own, ...others];
  const pools = parseAll(input.pools);
  const declared = [...new Set(input.declared.map((text) => parseRange(text).text))];

  // A record's place is kept even while it drains: connections may still use it, so nobody else gets it.
  const remaps = input.stored.map((record): Remap => {
    const { held: _held, ...rest } = record;
    const mapped = tryParseRange(record.mapped);
    const meets = mapped !== undefined && own.some((range) => overlaps(range, mapped));
    const held = meets && (record.state === 'InUse' || record.held === true);
    return { ...rest, state: 'Draining', ...(held && { held }) };
  });
  const wasInUse = new Set(input.stored.filter(({ state }) => state === 'InUse').map(({ mapped }) => mapped));
  const placed = new Set<string>();
  const approved = new Set(parseAll(input.approved ?? []).map(({ text }) => text));
  const collisions: RemapCollision[] = [];
  for (const record of remaps) {
    const mapped = tryParseRange(record.mapped);
    if (mapped === undefined || placed.has(record.real) || !declared.includes(record.real)) continue;
    const met = own.find((range) => overlaps(range, mapped));
    if (met !== undefined) {
      if (!wasInUse.has(record.mapped) || approved.has(mapped.text)) continue;
      collisions.push({ real: record.real, mapped: mapped.text, own: met.text });
    }
    record.state = 'InUse';
    placed.add(record.real);
  }

  const unplaced: string[] = [];
  for (const real of declared) {
    if (placed.has(real)) continue;
    const range = parseRange(real);
    const used = [...blocked, ...parseAll(remaps.map((record) => record.mapped))];
    const usableAsIs =
      privateRanges.some((each) => contains(each, range)) && !used.some((other) => overlaps(other, range));
    const sameFamily = pools.filter((pool) => pool.family === range.family);
    const mapped = usableAsIs ? range : firstFreeRange(range.length, sameFamily, used);
    if (mapped === undefined || remaps.length >= maximumRemaps) {
      unplaced.push(real);
    } else {
      remaps.push({ real, mapped: mapped.text, state: 'InUse' });
    }
  }
  return { remaps, collisions, unplaced };
}

/** What cannot be read is skipped: one bad entry of a person's must not stop the tunnels of everybody. */
function parseAll(texts: readonly string[]): Range[] {
  return texts.flatMap((text) => tryParseRange(text) ?? []);
}
