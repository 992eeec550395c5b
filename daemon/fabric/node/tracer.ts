/** A node's part of `hawser trace`: probes an address on request, and reports how its own counters changed. */
import type { NodeTrace } from '../../../shared/api/network.ts';
import { anyContains, readRanges } from '../../../shared/net/cidr.ts';
import { messageOf, type Log } from '../../kube/index.ts';
import { sleep, type Clock } from '../../../shared/time.ts';
import type { EchoResult } from './echo.ts';
import type { NodePlan } from '../plan/node-plan.ts';
import type { DeviceStatus } from '../ports.ts';

export interface TraceRequest {
  id: string;
  address?: string;
}

/** How long a node counts that does not send probes itself, while the command lets another node send them. */
const countMilliseconds = 4_000;
/** The interval at which the device's counters are read anyway. */
const settleMilliseconds = 1_200;
const requestLength = 256;
const peerLimit = 64;

/** The request in the annotation; undefined if there is no valid one. Pure. */
export function parseTraceRequest(text: string | undefined): TraceRequest | undefined {
  if (text === undefined || text.length > requestLength) return undefined;
  try {
    const { id, address } = JSON.parse(text) as Record<string, unknown>;
    if (typeof id !== 'string' || !/^[-A-Za-z0-9]{1,64}$/.test(id)) return undefined;
    if (address === undefined) return { id };
    return typeof address === 'string' && address.length <= 45 ? { id, address } : undefined;
  } catch {
    return undefined;
  }
}

/** Only pods of this cluster and addresses behind a tunnel are probed: a trace must not scan other hosts from a node. Pure. */
export function mayAsk(plan: NodePlan['host'], address: string): boolean {
  return anyContains(readRanges([...plan.packets.podRanges, ...plan.packets.remoteRanges]), address);
}

/** Increases of counters, by name, of those peers where any counter changed. Pure. */
export function countersBetween(
  before: DeviceStatus | null,
  after: DeviceStatus | null,
  nameOf: (publicKey: string) => string | undefined,
): NodeTrace['peers'] {
  const known = new Map(before?.peers.map((peer) => [peer.publicKey, peer]));
  return (after?.peers ?? [])
    .flatMap((peer) => {
      const was = known.get(peer.publicKey);
      const name = nameOf(peer.publicKey);
      const grown = (now = 0, then = 0) => Math.max(0, now - then);
      const sentPackets = grown(peer.sentPackets, was?.sentPackets);
      const receivedPackets = grown(peer.receivedPackets, was?.receivedPackets);
      const drops = Object.fromEntries(
        Object.entries(peer.drops)
          .map(([reason, count]): [string, number] => [reason, grown(count, was?.drops[reason])])
          .filter(([, count]) => count > 0),
      );
      const dropped = Object.keys(drops).length > 0;
      if (name === undefined || sentPackets + receivedPackets + (dropped ? 1 : 0) === 0) return [];
      return [{ peer: name, sentPackets, receivedPackets, ...(dropped && { drops }) }];
    })
    .slice(0, peerLimit);
}

export interface TracerOptions {
  plan: () => NodePlan | undefined;
  deviceStatus: () => DeviceStatus | null;
  /** Name of a node of this cluster or of a remote, by its tunnel key. */
  nameOf: (publicKey: string) => string | undefined;
  /** Own address of the external CIDR. */
  source: () => string | undefined;
  echo: (address: string, source: string | undefined, signal: AbortSignal) => Promise<EchoResult>;
  onDone: (trace: NodeTrace) => void;
  clock: Clock;
  log: Log;
}

/** One trace at a time; the next request is handled when it is done. */
export class Tracer {
  readonly #options: TracerOptions;
  #seen: string | undefined;
  #busy = false;

  constructor(options: TracerOptions) {
    this.#options = options;
  }

  /** Reads the annotation. A request that was answered before this process started is not answered again. */
  look(annotation: string | undefined, answered: string | undefined, signal: AbortSignal): void {
    const request = parseTraceRequest(annotation);
    if (request === undefined || this.#busy || request.id === this.#seen || request.id === answered) return;
    this.#seen = request.id;
    this.#busy = true;
    void this.#run(request, signal)
      .then((trace) => this.#options.onDone(trace))
      .catch((error: unknown) => {
        if (!signal.aborted) this.#options.log.warn('a trace failed', { error: messageOf(error) });
      })
      .finally(() => {
        this.#busy = false;
      });
  }

  async #run(request: TraceRequest, signal: AbortSignal): Promise<NodeTrace> {
    const { plan, deviceStatus, nameOf, source, echo, clock } = this.#options;
    const trace = { id: request.id, at: new Date(clock.now()).toISOString(), sent: 0, answered: 0 };
    const before = deviceStatus();
    const host = plan()?.host;
    if (request.address === undefined) {
      await sleep(countMilliseconds, signal, clock);
      return { ...trace, peers: countersBetween(before, deviceStatus(), nameOf) };
    }
    const { address } = request;
    if (host === undefined || !mayAsk(host, address))
      return {
        ...trace,
        address: address.slice(0, 45),
        problem: `${address} is neither in this cluster’s pod ranges nor behind a tunnel of this node`,
        peers: [],
      };
    const remote = anyContains(readRanges(host.packets.remoteRanges), address);
    const from = remote ? source() : undefined;
    const result = await echo(address, from, signal);
    await sleep(settleMilliseconds, signal, clock);
    const peers = countersBetween(before, deviceStatus(), nameOf);
    return { ...trace, address, ...(from !== undefined && { source: from }), ...result, peers };
  }
}
