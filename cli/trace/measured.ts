/** What nodes counted and were answered, laid over the computed hops. Pure. */
import type { NodeTrace } from '../../shared/api/network.ts';
import type { Hop, Route } from './route.ts';

export interface Measurement {
  /** By the node of the pod, which asked. */
  asker: NodeTrace | undefined;
  /** By the gateway node, which counted meanwhile; the same when the pod's node is the gateway. */
  gateway: NodeTrace | undefined;
}

export interface TraceReport {
  hops: Hop[];
  /** Where it stops: the hop's name; absent: it arrives, or that is not known. */
  stopsAt?: string;
  /** `Doubtful`: the node's probes arrive, and something on the way may treat pods otherwise. */
  outcome: 'Arrives' | 'Stops' | 'Doubtful' | 'Unknown';
  /** What was measured, and how that differs from a packet of the pod itself. */
  how: string;
}

/** The report. What was only not known is known once an answer came back. */
export function traceReport(route: Route, { asker, gateway }: Measurement): TraceReport {
  const hops = route.hops.map((hop) => measuredHop(hop, route, asker, gateway));
  const answered = (asker?.answered ?? 0) > 0;
  const stop = hops.find(({ verdict }) => verdict === 'Stops') ?? silentHop(hops, route, asker, gateway);
  const doubtful = hops.some(({ verdict }) => verdict !== 'Passes');
  return {
    hops,
    ...(stop !== undefined && { stopsAt: stop.at }),
    outcome: stop !== undefined ? 'Stops' : answered ? (doubtful ? 'Doubtful' : 'Arrives') : 'Unknown',
    how: howText(route, asker),
  };
}

function measuredHop(
  hop: Hop,
  route: Route,
  asker: NodeTrace | undefined,
  gateway: NodeTrace | undefined,
): Hop {
  if (asker === undefined || asker.asked === 0) return hop;
  const { asked, answered, roundTripMilliseconds } = asker;
  // Rules on a node may tell pods' packets from its own.
  const ofNode = hop.at.startsWith('node ') || hop.at.startsWith('gateway node ');
  const passed =
    answered > 0 && hop.verdict === 'Unknown' && !ofNode ? { ...hop, verdict: 'Passes' as const } : hop;
  if (hop.at === `node ${route.asker}` && route.gateway !== undefined && route.gateway !== route.asker) {
    const peer = asker.peers.find((each) => each.peer === route.gateway);
    return { ...passed, measured: counted(peer, `to and from ${route.gateway}`, asked) };
  }
  if (hop.at.startsWith('translation and admission')) {
    const seen = (route.gateway === route.asker ? asker : gateway)?.peers;
    const peer = seen?.find((each) => each.peer === route.remote);
    return seen === undefined
      ? passed
      : { ...passed, measured: counted(peer, `to and from ${route.remote}`, asked) };
  }
  if (hop === route.hops.at(-1))
    return {
      ...passed,
      measured:
        answered > 0
          ? `answered ${answered} of ${asked} probes, in ${roundTripMilliseconds?.toFixed(1) ?? '?'} ms`
          : `answered none of ${asked} probes`,
    };
  return passed;
}

function counted(peer: NodeTrace['peers'][number] | undefined, what: string, asked: number): string {
  const { sentPackets = 0, receivedPackets = 0, drops = {} } = peer ?? {};
  const dropped = Object.entries(drops).map(([reason, count]) => `${reason} ${count}`);
  return `${sentPackets} packets sent and ${receivedPackets} received ${what} while ${asked} were asked${dropped.length > 0 ? `; dropped: ${dropped.join(', ')}` : ''}`;
}

/** Nothing came back, and nothing computed says why: the last hop that was seen to be reached. */
function silentHop(
  hops: readonly Hop[],
  route: Route,
  asker: NodeTrace | undefined,
  gateway: NodeTrace | undefined,
): Hop | undefined {
  if (asker === undefined || asker.asked === 0 || asker.answered > 0) return undefined;
  const seen = route.gateway === route.asker ? asker : gateway;
  const towards = seen?.peers.find(({ peer }) => peer === route.remote);
  const dropped = Object.values(towards?.drops ?? {}).some((count) => count > 0);
  const left = (towards?.sentPackets ?? 0) >= asker.asked;
  if (seen !== undefined && route.remote !== undefined && (dropped || !left))
    return hops.find(({ at }) => at.startsWith('translation and admission'));
  return hops.at(-1);
}

function howText(route: Route, asker: NodeTrace | undefined): string {
  if (route.asked === undefined)
    return 'Computed from what this cluster’s objects say. Nothing was sent: only a node here can ask, and this packet begins elsewhere.';
  if (asker === undefined)
    return `Computed from what this cluster’s objects say. Nothing was measured: node ${route.asker ?? '?'} did not answer the wish to ask.`;
  if (asker.problem !== undefined) return `Computed; nothing was sent: ${asker.problem}.`;
  return `Measured: ${asker.asked} stamped datagrams from node ${route.asker}${asker.source === undefined ? '' : ` (${asker.source})`} to ${route.asked}, a closed port, and the host’s answer. Node and pod take the same way, but a policy may let the one through and not the other. Counters count whatever passed meanwhile. The rest is computed.`;
}
