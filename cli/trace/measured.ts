/** Adds the probes and packet counts of nodes to the computed hops. Pure. */
import type { NodeTrace } from '../../shared/api/network.ts';
import type { Hop } from './hops.ts';
import type { ProbeRequest, Route } from './route.ts';

/** The result of one probe request. */
export interface Measurement {
  /** The trace of the node that sent the probes. */
  prober: NodeTrace | undefined;
  /** The trace of the gateway node, which counted packets meanwhile; undefined if it sent the probes itself. */
  gateway: NodeTrace | undefined;
}

export interface TraceReport {
  hops: Hop[];
  /** The name of the hop where the packet is dropped; absent: it arrives, or that is unknown. */
  stopsAt?: string;
  /** `Doubtful`: the node's probes arrive, but something on the path may treat packets of pods differently. */
  outcome: 'Arrives' | 'Stops' | 'Doubtful' | 'Unknown';
  /** What was measured, and how that differs from a packet of the pod itself. */
  how: string;
}

/** A probe request with its result. */
interface ProbeResult extends Measurement {
  probe: ProbeRequest;
}

/**
 * The report. A hop whose state was unknown passes once a reply came back.
 *
 * @param measurements of the route's probes, in their order
 */
export function traceReport(route: Route, measurements: readonly Measurement[]): TraceReport {
  const all = route.probes.map((probe, index): ProbeResult => ({
    probe,
    ...(measurements[index] ?? { prober: undefined, gateway: undefined }),
  }));
  const hops = all.reduce(
    (before, result) => before.map((hop) => measuredHop(hop, route, result)),
    route.hops,
  );
  const answered = all.length > 0 && all.every(({ prober }) => (prober?.answered ?? 0) > 0);
  const stop =
    hops.find(({ verdict }) => verdict === 'Stops') ??
    all.map((result) => silentHop(hops, route, result)).find((hop) => hop !== undefined);
  const doubtful = hops.some(({ verdict }) => verdict !== 'Passes');
  return {
    hops,
    ...(stop !== undefined && { stopsAt: stop.at }),
    outcome: stop !== undefined ? 'Stops' : answered ? (doubtful ? 'Doubtful' : 'Arrives') : 'Unknown',
    how: howText(all),
  };
}

const isTranslation = ({ at }: Hop): boolean => at.startsWith('translation and admission');
/** Where a path crosses two tunnels, both end at one node, which counts each tunnel separately. */
const isLeg = ({ at, remote }: Hop): boolean => remote !== undefined && at === `tunnel to ${remote}`;

function measuredHop(hop: Hop, route: Route, { probe, prober, gateway }: ProbeResult): Hop {
  if (prober === undefined || prober.sent === 0) return hop;
  if (hop.remote !== undefined && hop.remote !== probe.remote) return hop;
  const { sent, answered, roundTripMilliseconds } = prober;
  // Rules on a node may treat packets of pods and of the node differently.
  const ofNode = hop.at.startsWith('node ') || hop.at.startsWith('gateway node ');
  const passed =
    answered > 0 && hop.verdict === 'Unknown' && !ofNode ? { ...hop, verdict: 'Passes' as const } : hop;
  const { prober: from, remote } = probe;
  if (hop.at === `node ${from}` && route.gateway !== undefined && route.gateway !== from) {
    const peer = prober.peers.find((each) => each.peer === route.gateway);
    return { ...passed, measured: counted(peer, `to and from ${route.gateway}`, sent) };
  }
  if (isTranslation(hop) || isLeg(hop)) {
    const seen = (route.gateway === from ? prober : gateway)?.peers;
    if (seen === undefined) return passed;
    const peer = seen.find((each) => each.peer === remote);
    const parts = [passed.measured, counted(peer, `to and from ${remote}`, sent)];
    return { ...passed, measured: parts.filter((each) => each !== undefined).join('; ') };
  }
  if (hop.at === probe.repliesAt)
    return {
      ...passed,
      measured:
        answered > 0
          ? `answered ${answered} of ${sent} probes, in ${roundTripMilliseconds?.toFixed(1) ?? '?'} ms`
          : `answered none of ${sent} probes`,
    };
  return passed;
}

function counted(peer: NodeTrace['peers'][number] | undefined, what: string, sent: number): string {
  const { sentPackets = 0, receivedPackets = 0, drops = {} } = peer ?? {};
  const dropped = Object.entries(drops).map(([reason, count]) => `${reason} ${count}`);
  return `${sentPackets} packets sent and ${receivedPackets} received ${what} while ${sent} probes were sent${dropped.length > 0 ? `; dropped: ${dropped.join(', ')}` : ''}`;
}

/** No reply came back, and no computed hop explains it: the last hop that was measured to be reached. */
function silentHop(
  hops: readonly Hop[],
  route: Route,
  { probe, prober, gateway }: ProbeResult,
): Hop | undefined {
  if (prober === undefined || prober.sent === 0 || prober.answered > 0) return undefined;
  const seen = route.gateway === probe.prober ? prober : gateway;
  const towards = seen?.peers.find(({ peer }) => peer === probe.remote);
  const dropped = Object.values(towards?.drops ?? {}).some((count) => count > 0);
  const left = (towards?.sentPackets ?? 0) >= prober.sent;
  const answers = hops.find(({ at }) => at === probe.repliesAt);
  if (seen !== undefined && probe.remote !== undefined && (dropped || !left))
    return hops.find((hop) => isTranslation(hop) || (isLeg(hop) && hop.remote === probe.remote)) ?? answers;
  return answers;
}

function howText(all: readonly ProbeResult[]): string {
  const computed = 'Computed from this cluster’s objects.';
  if (all.length === 0) return `${computed} No probes were sent: no node of this cluster is on the path.`;
  const unanswered = all.find(({ prober }) => prober === undefined);
  if (unanswered !== undefined)
    return `${computed} Nothing was measured: node ${unanswered.probe.prober} did not answer the probe request.`;
  const problem = all.map(({ prober }) => prober?.problem).find((each) => each !== undefined);
  if (problem !== undefined) return `${computed} No probes were sent: ${problem}.`;
  const sent = all.map(({ probe, prober }) => {
    const source = prober?.source === undefined ? '' : ` (${prober.source})`;
    return `${prober?.sent ?? 0} UDP probes from node ${probe.prober}${source} to a closed port of ${probe.target}, and the ICMP replies`;
  });
  const relayed =
    all.length > 1
      ? 'Each half was measured separately, from the node that connects them; the translation to mapped addresses is computed. '
      : '';
  return `Measured: ${sent.join('; ')}. ${relayed}Probes take the path in one direction, replies in the other. Packets of the node and of the pod take the same path, but a policy may treat them differently. Counters include all other traffic. The rest is computed.`;
}
