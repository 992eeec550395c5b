/** What nodes counted and were answered, laid over the computed hops. Pure. */
import type { NodeTrace } from '../../shared/api/network.ts';
import type { Hop } from './hops.ts';
import type { Question, Route } from './route.ts';

/** What came of one question. */
export interface Measurement {
  /** By the node that asked. */
  asker: NodeTrace | undefined;
  /** By the gateway node, which counted meanwhile; absent where it is the one that asked. */
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

/** One question with what came of it. */
interface Asked extends Measurement {
  question: Question;
}

/**
 * The report. What was only not known is known once an answer came back.
 *
 * @param measurements of the route's questions, in their order
 */
export function traceReport(route: Route, measurements: readonly Measurement[]): TraceReport {
  const all = route.questions.map((question, index): Asked => ({
    question,
    ...(measurements[index] ?? { asker: undefined, gateway: undefined }),
  }));
  const hops = all.reduce((before, asked) => before.map((hop) => measuredHop(hop, route, asked)), route.hops);
  const answered = all.length > 0 && all.every(({ asker }) => (asker?.answered ?? 0) > 0);
  const stop =
    hops.find(({ verdict }) => verdict === 'Stops') ??
    all.map((asked) => silentHop(hops, route, asked)).find((hop) => hop !== undefined);
  const doubtful = hops.some(({ verdict }) => verdict !== 'Passes');
  return {
    hops,
    ...(stop !== undefined && { stopsAt: stop.at }),
    outcome: stop !== undefined ? 'Stops' : answered ? (doubtful ? 'Doubtful' : 'Arrives') : 'Unknown',
    how: howText(all),
  };
}

const isTranslation = ({ at }: Hop): boolean => at.startsWith('translation and admission');
/** Where a packet passes two tunnels, both end at one node, and what each carried is counted apart. */
const isLeg = ({ at, remote }: Hop): boolean => remote !== undefined && at === `tunnel to ${remote}`;

function measuredHop(hop: Hop, route: Route, { question, asker, gateway }: Asked): Hop {
  if (asker === undefined || asker.asked === 0) return hop;
  if (hop.remote !== undefined && hop.remote !== question.remote) return hop;
  const { asked, answered, roundTripMilliseconds } = asker;
  // Rules on a node may tell pods' packets from its own.
  const ofNode = hop.at.startsWith('node ') || hop.at.startsWith('gateway node ');
  const passed =
    answered > 0 && hop.verdict === 'Unknown' && !ofNode ? { ...hop, verdict: 'Passes' as const } : hop;
  const { asker: from, remote } = question;
  if (hop.at === `node ${from}` && route.gateway !== undefined && route.gateway !== from) {
    const peer = asker.peers.find((each) => each.peer === route.gateway);
    return { ...passed, measured: counted(peer, `to and from ${route.gateway}`, asked) };
  }
  if (isTranslation(hop) || isLeg(hop)) {
    const seen = (route.gateway === from ? asker : gateway)?.peers;
    if (seen === undefined) return passed;
    const peer = seen.find((each) => each.peer === remote);
    const said = [passed.measured, counted(peer, `to and from ${remote}`, asked)];
    return { ...passed, measured: said.filter((each) => each !== undefined).join('; ') };
  }
  if (hop.at === question.answers)
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
function silentHop(hops: readonly Hop[], route: Route, { question, asker, gateway }: Asked): Hop | undefined {
  if (asker === undefined || asker.asked === 0 || asker.answered > 0) return undefined;
  const seen = route.gateway === question.asker ? asker : gateway;
  const towards = seen?.peers.find(({ peer }) => peer === question.remote);
  const dropped = Object.values(towards?.drops ?? {}).some((count) => count > 0);
  const left = (towards?.sentPackets ?? 0) >= asker.asked;
  const answers = hops.find(({ at }) => at === question.answers);
  if (seen !== undefined && question.remote !== undefined && (dropped || !left))
    return (
      hops.find((hop) => isTranslation(hop) || (isLeg(hop) && hop.remote === question.remote)) ?? answers
    );
  return answers;
}

function howText(all: readonly Asked[]): string {
  const computed = 'Computed from what this cluster’s objects say.';
  if (all.length === 0) return `${computed} Nothing was sent: no node here is on the way.`;
  const unanswered = all.find(({ asker }) => asker === undefined);
  if (unanswered !== undefined)
    return `${computed} Nothing was measured: node ${unanswered.question.asker} did not answer the wish to ask.`;
  const problem = all.map(({ asker }) => asker?.problem).find((each) => each !== undefined);
  if (problem !== undefined) return `Computed; nothing was sent: ${problem}.`;
  const sent = all.map(({ question, asker }) => {
    const source = asker?.source === undefined ? '' : ` (${asker.source})`;
    return `${asker?.asked ?? 0} stamped datagrams from node ${question.asker}${source} to ${question.asked}, a closed port, and the host’s answer`;
  });
  const relayed =
    all.length > 1
      ? 'Each half was asked by itself, from the node where they meet; that mapped addresses take the place of its own is computed. '
      : '';
  return `Measured: ${sent.join('; ')}. ${relayed}The question takes the way in one direction, the answer in the other. Node and pod take the same way, but a policy may let the one through and not the other. Counters count whatever passed meanwhile. The rest is computed.`;
}
