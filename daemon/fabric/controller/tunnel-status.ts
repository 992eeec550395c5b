/** The status of a tunnel, from the nodes' reports. Pure. */
import type { FabricNode, NodeSession, Tunnel } from '../../../shared/api/network.ts';
import type { Finding } from '../../../shared/conditions.ts';
import { waitingText, type RemapCollision, type WaitingRange } from '../../../shared/net/remapping.ts';
import { stableText } from '../../kube/index.ts';

/** Reasons of a Tunnel's conditions. */
export const tunnelReasons = {
  handshakeDone: 'HandshakeDone',
  waitingForHandshake: 'WaitingForHandshake',
  /** No node holds a tunnel endpoint. */
  noGateway: 'NoGateway',
  /** The remote declares no usable tunnel endpoint. */
  noRemoteEndpoint: 'NoRemoteEndpoint',
  /** One side's salt, from which the pre-shared key is derived, is missing. */
  waitingForKey: 'WaitingForPresharedKey',
  pathVerified: 'PathVerified',
  noAnswer: 'NoAnswer',
  /** The gateway node has not reported for a while. */
  reportStale: 'ReportStale',
  ready: 'TunnelReady',
  /** The remote's network document cannot be used. */
  documentInvalid: 'RemoteDocumentInvalid',
  /** Each declared range is mapped to a range here. */
  rangesKnown: 'RangesKnown',
  /** A declared range needs approval before it has one. */
  rangeNeedsApproval: 'RangeNeedsApproval',
  /** A declared range has no free range here. */
  rangeUnplaced: 'RangeUnplaced',
  /** A range that was accepted unchanged is still remapped. */
  rangeNotAsAccepted: 'RangeNotAsAccepted',
  remapsFree: 'RemapsFree',
  /** A remap in use overlaps a range that this cluster has come to use. */
  remapCollides: 'RemapCollides',
} as const;

/** A session expires after 180 s (WireGuard's REJECT_AFTER_TIME); the rest is the interval of reports. */
const handshakeMilliseconds = 180_000 + 30_000;
/** Nodes report on a verified path at least every 10 s. */
export const staleMilliseconds = 30_000;

/**
 * Remotes whose tunnels may have another status after a node's report; undefined means all. Every node reports often on
 * every remote, and for most of them only counters have changed.
 */
export function remotesConcerned(
  node: FabricNode | undefined,
  previous: FabricNode | undefined,
): string[] | undefined {
  if (node === undefined || previous === undefined) return undefined;
  if (
    node.spec.tunnelEndpoint !== previous.spec.tunnelEndpoint ||
    node.status?.heldTunnelEndpoint !== previous.status?.heldTunnelEndpoint
  )
    return undefined;
  const before = Map.groupBy(previous.status?.sessions ?? [], ({ remoteCluster }) => remoteCluster);
  const after = Map.groupBy(node.status?.sessions ?? [], ({ remoteCluster }) => remoteCluster);
  return [...new Set([...before.keys(), ...after.keys()])].filter((remote) => {
    const [was, is] = [before.get(remote) ?? [], after.get(remote) ?? []];
    if (stableText(was.map(comparedPart)) !== stableText(is.map(comparedPart))) return true;
    // The previous report was too old to be used, or soon would have been.
    const latest = (sessions: readonly NodeSession[]) =>
      Math.max(0, ...sessions.map(({ probedAt }) => Date.parse(probedAt ?? '') || 0));
    return latest(is) - latest(was) > staleMilliseconds / 2;
  });
}

/** The fields of a session that are not counters. */
function comparedPart(session: NodeSession): unknown {
  const {
    probedAt: _probedAt,
    roundTripMilliseconds: _roundTrip,
    probes: _probes,
    receivedBytes: _received,
    sentBytes: _sent,
    drops: _drops,
    ...telling
  } = session;
  return telling;
}

export interface TunnelReport {
  findings: Finding[];
  fields: Omit<NonNullable<Tunnel['status']>, 'conditions' | 'observedGeneration'>;
  /** When the status must be computed again without a new report; milliseconds. */
  againAfter: number;
}

/** Results for a remote's document and its ranges. */
export interface FoundProblems {
  problems: readonly string[];
  collisions: readonly RemapCollision[];
  waiting?: readonly WaitingRange[];
}

/** @param found problems of the remote's document, and remaps that overlap this cluster's ranges */
export function reportTunnel(
  tunnel: Tunnel,
  nodes: readonly FabricNode[],
  { problems, collisions, waiting = [] }: FoundProblems,
  now: number,
): TunnelReport {
  const id = tunnel.spec.remoteCluster;
  const gateways = nodes.filter(
    (node) =>
      node.spec.tunnelEndpoint !== undefined && node.status?.heldTunnelEndpoint === node.spec.tunnelEndpoint,
  );
  const reported = gateways.flatMap((node) =>
    (node.status?.sessions ?? [])
      .filter((session) => session.remoteCluster === id)
      .map((session) => ({ node: node.metadata.name, session })),
  );
  const best = reported.toSorted((one, other) => rank(other.session, now) - rank(one.session, now))[0];
  const established = findEstablished(tunnel, nodes, gateways.length, best?.session, now);
  const path = findPath(id, best?.session, established, now);
  const problem = problems[0];
  const ready: Finding =
    problem !== undefined
      ? no('Ready', tunnelReasons.documentInvalid, problems.join('; '))
      : path.status === 'True'
        ? {
            type: 'Ready',
            status: 'True',
            reason: tunnelReasons.ready,
            message: `probes reach ${id} and return`,
          }
        : no('Ready', path.reason, path.message);
  return {
    findings: [established, path, findCollisions(id, collisions), findWaiting(id, waiting), ready],
    fields:
      best === undefined
        ? {}
        : {
            gatewayNode: best.node,
            ...(best.session.endpoint !== undefined && { endpoint: best.session.endpoint }),
            ...(best.session.latestHandshake !== undefined && {
              latestHandshake: best.session.latestHandshake,
            }),
            ...(best.session.roundTripMilliseconds !== undefined && {
              roundTripMilliseconds: best.session.roundTripMilliseconds,
            }),
            ...(best.session.probes !== undefined && { probes: best.session.probes }),
            ...(best.session.pathMTU !== undefined && { pathMTU: best.session.pathMTU }),
            traffic: { receivedBytes: best.session.receivedBytes, sentBytes: best.session.sentBytes },
          },
    againAfter: path.status === 'True' ? staleMilliseconds / 2 : 60_000,
  };
}

function findCollisions(id: string, collisions: readonly RemapCollision[]): Finding {
  const type = 'RemapsFree';
  if (collisions.length === 0) {
    const message = 'no remapped CIDR of the remote overlaps a range of this cluster';
    return { type, status: 'True', reason: tunnelReasons.remapsFree, message };
  }
  const met = collisions
    .slice(0, 5)
    .map(
      ({ real, mapped, own }) =>
        `${mapped}, the remapped CIDR of ${real} of ${id}, overlaps ${own} of this cluster`,
    );
  return no(
    type,
    tunnelReasons.remapCollides,
    `${met.join('; ')}; it stays in use until its reassignment is approved: hawser remap approve ${id}`,
  );
}

const waitingReasons = [
  ['NeedsApproval', tunnelReasons.rangeNeedsApproval],
  ['NoFreeRange', tunnelReasons.rangeUnplaced],
] as const;

/** Whether each range that the remote declares has a range here, the one that was accepted. */
function findWaiting(id: string, waiting: readonly WaitingRange[]): Finding {
  const type = 'RangesKnown';
  if (waiting.length === 0) {
    const message = 'each range that the remote declares has a range here';
    return { type, status: 'True', reason: tunnelReasons.rangesKnown, message };
  }
  const [, reason] = waitingReasons.find(([why]) => waiting.some((each) => each.reason === why)) ?? [];
  const texts = waiting.slice(0, 5).map((each) => waitingText(id, each));
  const more = waiting.length > 5 ? [`and ${waiting.length - 5} more`] : [];
  return no(type, reason ?? tunnelReasons.rangeNotAsAccepted, [...texts, ...more].join('; '));
}

const age = (time: string | undefined, now: number): number =>
  time === undefined ? Infinity : now - Date.parse(time);

/** Verified sessions first, then those with the latest handshake. */
function rank(session: NodeSession, now: number): number {
  return (
    (session.pathVerified ? 1e15 : 0) - Math.min(1e14, age(session.probedAt ?? session.latestHandshake, now))
  );
}

function no(type: string, reason: string, message: string): Finding {
  return { type, status: 'False', reason, message };
}

function findEstablished(
  tunnel: Tunnel,
  nodes: readonly FabricNode[],
  gateways: number,
  session: NodeSession | undefined,
  now: number,
): Finding {
  const type = 'Established';
  const id = tunnel.spec.remoteCluster;
  if (tunnel.spec.remoteTunnelEndpoints.length === 0) {
    return no(
      type,
      tunnelReasons.noRemoteEndpoint,
      `waiting for ${id} to declare a tunnel endpoint in its network document`,
    );
  }
  if (tunnel.spec.presharedKeyRevision === '') {
    return no(
      type,
      tunnelReasons.waitingForKey,
      `waiting for the salts of both sides, from which the pre-shared key with ${id} is derived`,
    );
  }
  if (gateways === 0) {
    const assigned = nodes.find((node) => node.spec.tunnelEndpoint !== undefined)?.metadata.name;
    const message =
      assigned === undefined
        ? 'no node holds a tunnel endpoint: label a node hawser.dev/gateway=true, and check that it is Ready'
        : `waiting for node ${assigned} to take over the tunnel endpoint: check the hawser-node pod there`;
    return no(type, tunnelReasons.noGateway, message);
  }
  if (age(session?.latestHandshake, now) > handshakeMilliseconds) {
    const endpoints =
      tunnel.spec.remoteTunnelEndpoints.flatMap((tunnelEndpoint) => tunnelEndpoint.addresses).join(', ') ||
      'none declared';
    const last = session?.latestHandshake;
    const message = `no handshake with ${id}${last === undefined ? ' yet' : ` since ${last}`}; its endpoints: ${endpoints}. Check that UDP traffic passes in at least one direction`;
    return no(type, tunnelReasons.waitingForHandshake, message);
  }
  return { type, status: 'True', reason: tunnelReasons.handshakeDone, message: `the tunnel to ${id} is up` };
}

function findPath(id: string, session: NodeSession | undefined, established: Finding, now: number): Finding {
  const type = 'PathVerified';
  if (session === undefined) return no(type, established.reason, established.message);
  if (session.pathVerified) {
    if (age(session.probedAt, now) <= staleMilliseconds) {
      return { type, status: 'True', reason: tunnelReasons.pathVerified, message: session.pathMessage ?? '' };
    }
    return {
      type,
      status: 'Unknown',
      reason: tunnelReasons.reportStale,
      message: `the gateway node has not reported on the path to ${id} since ${session.probedAt ?? 'its start'}; check its hawser-node pod`,
    };
  }
  if (established.status !== 'True') return no(type, established.reason, established.message);
  return no(type, tunnelReasons.noAnswer, session.pathMessage ?? `waiting for the first answer from ${id}`);
}
