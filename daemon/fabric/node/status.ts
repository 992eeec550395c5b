/** Status of a FabricNode, as its node reports it. Pure. */
import type { FabricNode, NodeSession } from '../../../shared/api/network.ts';
import type { Finding } from '../../../shared/conditions.ts';
import type { RefusedRoute } from '../../host/index.ts';
import type { NodePlan } from '../plan/node-plan.ts';
import type { ProbeVerdict } from './path-probe.ts';
import type { DeviceStatus } from '../ports.ts';

/** Reasons of FabricNode's condition Programmed. */
export const programmedReasons = {
  /** Device and kernel match the plan. */
  programmed: 'Programmed',
  /** The controller has not assigned the node an address of the external CIDR yet. */
  waitingForAddress: 'WaitingForAddress',
  /** The node is assigned a tunnel endpoint whose key it cannot read yet, or which may be another node's by now. */
  waitingForEndpointKey: 'WaitingForEndpointKey',
  /** The tunnel device is not running; the message says why. */
  deviceFailed: 'DeviceFailed',
  /** The kernel could not be programmed; the message says what failed. */
  hostRefused: 'HostRefused',
} as const;

/** The node's progress with its plan. */
export interface Progress {
  /** Why the device is not running. */
  deviceFailure?: string;
  /** Why the kernel does not match the plan. */
  hostFailure?: string;
  /** Routes that were not programmed, since they would cover ranges that the node needs. */
  refused?: readonly RefusedRoute[];
  /** Ranges to which the node has routes that are not Hawser's. */
  networks?: readonly string[];
  /** Why an assigned tunnel endpoint is not held. */
  endpointWaiting?: string;
}

export function programmedFinding(
  node: FabricNode,
  progress: Progress,
  warnings: readonly string[],
): Finding {
  const type = 'Programmed';
  const { deviceFailure, hostFailure, endpointWaiting } = progress;
  const no = (reason: string, message: string): Finding => ({ type, status: 'False', reason, message });
  if (deviceFailure !== undefined) {
    return no(programmedReasons.deviceFailed, `the tunnel device stopped; restarting it: ${deviceFailure}`);
  }
  if (hostFailure !== undefined) {
    return no(programmedReasons.hostRefused, `failed to program the kernel; retrying: ${hostFailure}`);
  }
  if (node.spec.externalAddress === undefined) {
    return no(
      programmedReasons.waitingForAddress,
      'waiting for the controller to assign this node an address of the external CIDR',
    );
  }
  if (endpointWaiting !== undefined) {
    return no(
      programmedReasons.waitingForEndpointKey,
      `tunnel endpoint ${node.spec.tunnelEndpoint ?? ''} is not held: ${endpointWaiting}`,
    );
  }
  const refused = (progress.refused ?? []).map(
    ({ prefix, needed }) =>
      `the route to ${prefix} is refused, since it would cover ${needed.range}, ${needed.what}`,
  );
  const message = ['tunnel device and kernel are programmed as planned', ...refused, ...warnings]
    .join('; ')
    .slice(0, 2000);
  return { type, status: 'True', reason: programmedReasons.programmed, message };
}

/** One session per tunnel endpoint of a remote, with its measurements, in the order of the plan. */
export function readSessions(
  plan: NodePlan,
  device: DeviceStatus | null,
  verdict: (remoteCluster: string) => ProbeVerdict | undefined,
): NodeSession[] {
  const peers = new Map(device?.peers.map((peer) => [peer.publicKey, peer]));
  const time = (milliseconds: number) => `${new Date(milliseconds).toISOString().slice(0, 19)}Z`;
  return [...plan.remotePeers].map(([publicKey, { remoteCluster, tunnelEndpoint }]) => {
    const peer = peers.get(publicKey);
    const path = verdict(remoteCluster);
    const drops = Object.fromEntries(
      Object.entries(peer?.drops ?? {}).filter((entry): entry is [string, number] => entry[1] !== undefined),
    );
    return {
      remoteCluster,
      tunnelEndpoint,
      ...(peer?.endpoint !== undefined && { endpoint: peer.endpoint }),
      ...(peer !== undefined && peer.latestHandshake > 0 && { latestHandshake: time(peer.latestHandshake) }),
      pathVerified: path?.verified ?? false,
      ...(path !== undefined && { pathMessage: path.message }),
      ...(path?.answeredAt !== undefined && { probedAt: time(path.answeredAt) }),
      ...(path?.roundTripMilliseconds !== undefined && { roundTripMilliseconds: path.roundTripMilliseconds }),
      ...(path !== undefined && path.questions.sent > 0 && { probes: path.questions }),
      ...(peer?.pathMTU !== undefined && { pathMTU: peer.pathMTU }),
      receivedBytes: peer?.receivedBytes ?? 0,
      sentBytes: peer?.sentBytes ?? 0,
      ...(Object.keys(drops).length > 0 && { drops }),
    };
  });
}

/** The fields of a session that others wait for; the rest are counters, which may lag. */
export function urgentPart(sessions: readonly NodeSession[]): unknown {
  return sessions.map(
    ({ remoteCluster, tunnelEndpoint, endpoint, latestHandshake, pathVerified, pathMessage, pathMTU }) => [
      remoteCluster,
      tunnelEndpoint,
      endpoint,
      latestHandshake === undefined,
      pathVerified,
      pathMTU,
      // Messages such as "no answer since" change only with the verdict.
      pathVerified ? undefined : pathMessage,
    ],
  );
}
