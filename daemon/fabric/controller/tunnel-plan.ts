/** The desired Tunnel to a remote cluster: from its network document, this cluster, and earlier choices. */
import type { LocalCluster, RemoteCluster } from '../../../shared/api/clusters.ts';
import type { Remap, Tunnel } from '../../../shared/api/network.ts';
import { acceptRemoteRemaps, validateDeclaredRanges } from '../../../shared/net/declared-ranges.ts';
import { annotations } from '../../../shared/names.ts';
import { anyContains, parseRange, readRanges } from '../../../shared/net/cidr.ts';
import {
  hindrances,
  maximumRemaps,
  planRemaps,
  type RemapCollision,
  type WaitingRange,
} from '../../../shared/net/remapping.ts';
import { remapSurroundings, type NodeNetwork } from '../../../shared/remap-surroundings.ts';
import type { NetworkDocument } from '../../../shared/wire/network-document.ts';
import { isTunnelKey } from '../wire-text.ts';

export interface TunnelInput {
  local: LocalCluster;
  remoteCluster: string;
  /** Verified, and addressed to this cluster. */
  document: NetworkDocument;
  /** The current Tunnel. */
  present: Tunnel | undefined;
  /** All other Tunnels. */
  others: readonly Tunnel[];
  /** Addresses of this cluster's nodes. */
  nodeAddresses: readonly string[];
  /** Ranges that the nodes report to use. */
  networks?: readonly NodeNetwork[];
  consumer: boolean;
  provider: boolean;
  /** From the RemoteCluster: whose control plane is reached through the tunnel, and addresses of its tunnel endpoints. */
  remote: Pick<RemoteCluster['spec'], 'controlPlane' | 'servesInBand' | 'tunnelAddresses'>;
  /** A peering in either direction is about to be created. */
  opening?: boolean;
  /** Hash of the pre-shared key; empty while it cannot be derived. */
  presharedKeyRevision: string;
  /** Addresses, as this cluster knows them, of own pods that run at the remote. */
  offloaded: readonly string[];
  /** The remote has confirmed the document that declares the remaps of its ranges. */
  remapsKnown: boolean;
}

export interface TunnelDecision {
  /** Undefined if the document cannot be used; the existing Tunnel then stays. */
  spec: Tunnel['spec'] | undefined;
  problems: string[];
  /** Remaps in use that overlap ranges of this cluster; their reassignment waits for approval. */
  collisions: RemapCollision[];
  /** Declared ranges that have no range here, or another one than was accepted. */
  waiting: WaitingRange[];
}

/** Largest inner packet of the usual path: 1,500 bytes minus WireGuard's overhead over IPv6. */
export const defaultMTU = 1420;
/** At most this many tunnel endpoints of one remote are used. */
const endpointLimit = 16;

/** Pure. Problems are sentences for a person, and may accompany a spec. */
export function planTunnel(input: TunnelInput): TunnelDecision {
  const { local, document, present, remoteCluster, opening = false } = input;
  const problems = validateDeclaredRanges(document);
  if (problems.length > 0) return { spec: undefined, problems, collisions: [], waiting: [] };

  const declared = [...document.podCIDRs, document.externalCIDR].map((text) => parseRange(text));
  const podCIDRs = declared.slice(0, -1).map(({ text }) => text);
  const externalCIDR = declared.at(-1)?.text ?? document.externalCIDR;
  const serviceCIDRs = usableServiceCIDRs(document.serviceCIDRs ?? []);
  const { remaps, collisions, waiting } = planRemaps({
    declared,
    stored: present?.spec.remaps ?? [],
    ...remapSurroundings({
      local,
      remoteCluster,
      nodeAddresses: input.nodeAddresses,
      networks: input.networks ?? [],
      endpoints: endpointsOf(input).flatMap(({ addresses }) => addresses),
      others: input.others,
    }),
    approved: readRanges(approvedRemaps(present)),
  });
  problems.push(...hindrances(remoteCluster, { podCIDRs, externalCIDR }, { remaps, waiting }));
  const { tunnelEndpoints, claimed } = withoutClaimed(input);
  problems.push(...claimed);
  const unused = (document.serviceCIDRs?.length ?? 0) - serviceCIDRs.length;
  if (unused > 0)
    problems.push(
      `${unused} of the Service ranges that ${remoteCluster} declares are no ranges or wider than /8 (IPv6: /32) and are left out`,
    );
  if (tunnelEndpoints.length === 0 && claimed.length === 0)
    problems.push(`${remoteCluster} declares no tunnel endpoint yet`);
  return {
    spec: {
      remoteCluster,
      consumer: input.consumer,
      provider: input.provider,
      ...(local.spec.dataPath === 'Open' && { dataPath: 'Open' as const }),
      // A direction that no peering needs any more is closed, even while a peering in the other direction continues.
      ...(input.remote.controlPlane === 'InBand' && (input.consumer || opening) && { dialsInBand: true }),
      ...(input.remote.servesInBand === true && (input.provider || opening) && { servesInBand: true }),
      remotePodCIDRs: podCIDRs,
      remoteExternalCIDR: externalCIDR,
      ...(serviceCIDRs.length > 0 && { remoteServiceCIDRs: serviceCIDRs }),
      remoteTunnelEndpoints: tunnelEndpoints,
      remaps: withoutDrained(remaps, input),
      remoteRemaps: acceptRemoteRemaps(document.remaps, [
        ...(local.status?.podCIDRs ?? []),
        ...(local.status?.externalCIDR === undefined ? [] : [local.status.externalCIDR]),
      ]),
      mtu: Math.min(local.status?.mtu ?? defaultMTU, document.mtu),
      presharedKeyRevision: input.presharedKeyRevision,
    },
    problems,
    collisions,
    waiting,
  };
}

/**
 * No cluster has wider Service ranges. A NetworkPolicy cannot exclude all addresses, and a declaration must not block half of
 * them.
 */
const shortestServicePrefix = { 4: 8, 6: 32 } as const;

const usableServiceCIDRs = (declared: readonly string[]): string[] =>
  readRanges(declared)
    .filter(({ family, length }) => length >= shortestServicePrefix[family])
    .map(({ text }) => text);

/** Remaps whose reassignment is approved, by the Tunnel's annotation. */
function approvedRemaps(tunnel: Tunnel | undefined): string[] {
  const text = tunnel?.metadata.annotations?.[annotations.approvedRemaps] ?? '';
  return text
    .split(',')
    .map((each) => each.trim())
    .slice(0, maximumRemaps);
}

/**
 * A replaced remap is dropped once no pod of this cluster at the remote has an address in it and the remote has confirmed
 * the new one. A remap that drains because the remote no longer declares its range stays, so that the range can return
 * under the same remap.
 */
function withoutDrained(remaps: readonly Remap[], { offloaded, remapsKnown }: TunnelInput): Remap[] {
  const inUse = remaps.filter(({ state }) => state === 'InUse');
  return remaps.filter(
    ({ real, mapped, state }) =>
      state === 'InUse' ||
      !inUse.some((other) => other.real === real) ||
      !remapsKnown ||
      offloaded.some((address) => anyContains(readRanges([mapped]), address)),
  );
}

/**
 * Drops keys that another remote's tunnel had first: a key identifies one peer, and a remote may declare any public key it has
 * learned. Keys that this tunnel had before stay; if two got one at the same moment, the nodes use the older tunnel's.
 */
function withoutClaimed(input: TunnelInput): {
  tunnelEndpoints: Tunnel['spec']['remoteTunnelEndpoints'];
  claimed: string[];
} {
  const own = new Set(input.present?.spec.remoteTunnelEndpoints.map(({ publicKey }) => publicKey));
  const holders = new Map(
    input.others.flatMap(({ spec }) =>
      spec.remoteTunnelEndpoints.map(({ publicKey }) => [publicKey, spec.remoteCluster] as const),
    ),
  );
  const isClaimed = ({ publicKey }: { publicKey: string }) => holders.has(publicKey) && !own.has(publicKey);
  const all = endpointsOf(input);
  return {
    tunnelEndpoints: all.filter((each) => !isClaimed(each)),
    claimed: all
      .filter(isClaimed)
      .map(
        ({ name, publicKey }) =>
          `tunnel endpoint ${name} of ${input.remoteCluster} has the tunnel key of ${holders.get(publicKey)} and is not used`,
      ),
  };
}

/** The remote's tunnel endpoints; addresses set on the RemoteCluster take precedence over those it declares. */
function endpointsOf({ document, remote }: TunnelInput): Tunnel['spec']['remoteTunnelEndpoints'] {
  return document.tunnelEndpoints
    .filter((tunnelEndpoint) => isTunnelKey(tunnelEndpoint.publicKey))
    .slice(0, endpointLimit)
    .map(({ name, publicKey, addresses }) => ({
      name,
      publicKey,
      addresses: remote.tunnelAddresses ?? addresses,
    }));
}
