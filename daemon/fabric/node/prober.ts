/** The sockets of path probes: sends probes for the state machines, and answers those of remotes. */
import { randomBytes } from 'node:crypto';
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { ports } from '../../../shared/ports.ts';
import { type Log } from '../../kube/index.ts';
import { systemClock, type Clock } from '../../../shared/time.ts';
import type { ProbePlan, ProbeTarget } from '../plan/node-plan.ts';
import { PathProbe, type ProbeVerdict } from './path-probe.ts';
import { decodeProbe, encodeProbe } from './probe-messages.ts';

export interface Prober {
  /** Takes the current plan; probes that continue keep their state. */
  update(plan: ProbePlan): void;
  verdict(remoteCluster: string): ProbeVerdict | undefined;
  /** Runs until the signal is aborted. */
  run(signal: AbortSignal): Promise<void>;
  /** Probes answered, and probes dropped by the rate limit. */
  readonly counters: { answered: number; refused: number };
}

export interface ProberOptions {
  /** Called when a path becomes verified or stops being so. */
  onChange: (remoteCluster: string) => void;
  log: Log;
  clock?: Clock;
  random?: () => number;
  port?: number;
}

/** Answers a second at most, for all remotes together. */
const answersPerSecond = 500;
const rebindMilliseconds = 500;

export function createProber(options: ProberOptions): Prober {
  const { onChange, log, clock = systemClock, random = Math.random, port = ports.probe } = options;
  const probes = new Map<string, PathProbe>();
  /** Sockets by the local address that they are bound to; `port` 0 sends probes, `ports.probe` answers them. */
  const askers = new Map<string, Socket>();
  let answerer: { address: string; socket: Socket } | undefined;
  let plan: ProbePlan = { targets: [] };
  let running = false;
  let cancelTimer = () => {};
  /** Set while a reopening is scheduled. */
  let cancelRebind: (() => void) | undefined;
  const counters = { answered: 0, refused: 0 };
  let budget = { second: 0, left: answersPerSecond };

  function open(address: string, at: number, onMessage: (bytes: Buffer, from: RemoteInfo) => void): Socket {
    const socket = createSocket({ type: isIPv6(address) ? 'udp6' : 'udp4' });
    socket.on('message', onMessage);
    // The address may not exist yet, or no longer: closed sockets are reopened while the plan contains them.
    socket.on('error', (error) => {
      log.debug('a probe socket failed', { address, error: error.message });
      forget(socket);
    });
    socket.bind(at, address);
    return socket;
  }

  function forget(socket: Socket): void {
    for (const [address, asker] of askers) if (asker === socket) askers.delete(address);
    if (answerer?.socket === socket) answerer = undefined;
    try {
      socket.close();
    } catch {
      // closed already
    }
    rebind();
  }

  /** One timer for all sockets: with one each, every timer would reopen all sockets, and their number would double each time. */
  function rebind(): void {
    if (!running) return;
    cancelRebind ??= clock.after(rebindMilliseconds, () => {
      cancelRebind = undefined;
      bindAll();
    });
  }

  function bindAll(): void {
    const sources = new Set(plan.targets.map((target) => target.source));
    for (const [address, socket] of askers) {
      if (sources.has(address)) continue;
      askers.delete(address);
      socket.close();
    }
    for (const address of sources) {
      if (askers.has(address)) continue;
      askers.set(
        address,
        open(address, 0, (bytes, from) => takeAnswer(bytes, from)),
      );
    }
    if (answerer !== undefined && answerer.address !== plan.answerAt) {
      answerer.socket.close();
      answerer = undefined;
    }
    if (answerer === undefined && plan.answerAt !== undefined) {
      const address = plan.answerAt;
      const socket = open(address, port, (bytes, from) => takeQuestion(bytes, from, socket));
      answerer = { address, socket };
    }
  }

  function takeQuestion(bytes: Buffer, from: RemoteInfo, socket: Socket): void {
    const message = decodeProbe(bytes);
    if (message?.type !== 'question') return;
    const second = Math.floor(clock.monotonic() / 1000);
    if (budget.second !== second) budget = { second, left: answersPerSecond };
    if (budget.left <= 0) {
      counters.refused++;
      return;
    }
    budget.left--;
    counters.answered++;
    const answer = encodeProbe({ type: 'answer', stamp: message.stamp, source: from.address });
    socket.send(answer, from.port, from.address, () => undefined);
  }

  function takeAnswer(bytes: Buffer, from: RemoteInfo): void {
    const message = decodeProbe(bytes);
    if (message?.type !== 'answer') return;
    for (const probe of probes.values()) {
      // Only the probed address may answer.
      if (probe.target.address !== from.address || from.port !== port) continue;
      observeChange(probe, () => probe.answer(message.stamp, message.source, clock.monotonic(), clock.now()));
    }
    schedule();
  }

  function observeChange(probe: PathProbe, step: () => void): void {
    const before = probe.verdict.verified;
    step();
    if (probe.verdict.verified === before) return;
    log.info('the state of a path changed', {
      remote: probe.target.remoteCluster,
      said: probe.verdict.message,
    });
    onChange(probe.target.remoteCluster);
  }

  function ask(probe: PathProbe): void {
    observeChange(probe, () => {
      const stamp = probe.poll(clock.monotonic(), () => randomBytes(16).toString('hex'), random);
      if (stamp === undefined) return;
      // A probe that cannot be sent counts as lost.
      askers
        .get(probe.target.source)
        ?.send(encodeProbe({ type: 'question', stamp }), port, probe.target.address, () => undefined);
    });
  }

  function schedule(): void {
    cancelTimer();
    if (!running || probes.size === 0) return;
    const due = Math.min(...[...probes.values()].map((probe) => probe.due));
    cancelTimer = clock.after(Math.max(10, due - clock.monotonic()), () => {
      for (const probe of probes.values()) if (probe.due <= clock.monotonic()) ask(probe);
      schedule();
    });
  }

  return {
    counters,
    update(next) {
      plan = next;
      const wanted = new Map(next.targets.map((target) => [target.remoteCluster, target]));
      for (const [remoteCluster, probe] of probes) {
        const target = wanted.get(remoteCluster);
        if (target === undefined || !sameWay(probe.target, target)) probes.delete(remoteCluster);
        else observeChange(probe, () => probe.expect(target.expected));
      }
      for (const [remoteCluster, target] of wanted) {
        if (!probes.has(remoteCluster)) probes.set(remoteCluster, new PathProbe(target, clock.monotonic()));
      }
      if (!running) return;
      bindAll();
      schedule();
    },
    verdict: (remoteCluster) => probes.get(remoteCluster)?.verdict,
    async run(signal) {
      if (signal.aborted) return;
      running = true;
      bindAll();
      schedule();
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
      running = false;
      cancelTimer();
      cancelRebind?.();
      cancelRebind = undefined;
      for (const socket of askers.values()) socket.close();
      askers.clear();
      answerer?.socket.close();
      answerer = undefined;
    },
  };
}

function sameWay(one: ProbeTarget, other: ProbeTarget): boolean {
  return one.address === other.address && one.source === other.source;
}
