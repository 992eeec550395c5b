/** Measurements with iperf3, ping and a sender of packets from one namespace to another. */
import { readFile } from 'node:fs/promises';

import type { Contestant } from './contestants.ts';
import { FLOOD_PORT, udpFlood } from './udp-flood.ts';
import { quantile } from './statistics.ts';

/** Clock ticks per second of the kernel's CPU times (USER_HZ, the same on every current Linux). */
const TICKS = 100;

/** CPU seconds that processes have used so far. */
export async function processorSeconds(pids: readonly number[]): Promise<number> {
  let ticks = 0;
  for (const pid of pids) {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8');
    // After the name, which may contain anything in parentheses: fields 14 and 15 are user and system time.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / TICKS;
}

/** Resident memory in bytes. */
export async function resident(pids: readonly number[]): Promise<number> {
  let kilobytes = 0;
  for (const pid of pids) {
    const text = await readFile(`/proc/${pid}/status`, 'utf8');
    kilobytes = Math.max(kilobytes, Number(/VmRSS:\s*(\d+)/.exec(text)?.[1] ?? 0));
  }
  return kilobytes * 1024;
}

interface IperfResult {
  error?: string;
  end?: {
    sum_received?: { bits_per_second: number; bytes: number };
    sum_received_bidir_reverse?: { bits_per_second: number; bytes: number };
  };
}

async function iperf(
  contestant: Contestant,
  parameters: readonly string[],
  seconds: number,
): Promise<IperfResult> {
  const all = ['-c', contestant.address, '-J', '-t', String(seconds), ...parameters];
  let last = '';
  // The server of the previous run may still be closing.
  for (let attempt = 0; attempt < 5; attempt++) {
    const output = await contestant.run('iperf3', all, seconds + 15).catch((error: unknown) => {
      last = String(error);
      return '';
    });
    if (output !== '') {
      const result = JSON.parse(output) as IperfResult;
      if (result.error === undefined) return result;
      last = result.error;
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(`${contestant.name}: iperf3 ${all.join(' ')} failed: ${last}`);
}

export type Figures = Record<string, number>;

export async function stream(
  contestant: Contestant,
  name: string,
  parameters: string[],
  seconds: number,
): Promise<Figures> {
  const before = await processorSeconds(contestant.pids);
  const { end } = await iperf(contestant, parameters, seconds);
  const used = (await processorSeconds(contestant.pids)) - before;
  const received = end?.sum_received;
  const reverse = end?.sum_received_bidir_reverse;
  const bytes = (received?.bytes ?? 0) + (reverse?.bytes ?? 0);
  return {
    [`${name} Gbit/s`]: ((received?.bits_per_second ?? 0) + (reverse?.bits_per_second ?? 0)) / 1e9,
    [`${name} CPU s/GB`]: contestant.pids.length === 0 ? Number.NaN : used / (bytes / 1e9),
  };
}

interface Flood {
  sent: number;
  lost: number;
  seconds: number;
}

async function flood(contestant: Contestant, size: number, rate: number): Promise<Flood> {
  const program = await udpFlood();
  const parameters = ['send', contestant.address, FLOOD_PORT, String(size), String(Math.round(rate)), '600'];
  const output = await contestant.run(program, parameters, 30);
  const [sent = 0, received = 0, seconds = 1] = output.trim().split(' ').map(Number);
  return { sent, lost: sent === 0 ? 1 : Math.max(0, 1 - received / sent), seconds };
}

/**
 * Maximum of packets per second that arrive with less than 0.5 % loss. The rate that arrives under overload is the starting
 * point of a bisection.
 */
export async function packets(contestant: Contestant, size: number): Promise<Figures> {
  const before = await processorSeconds(contestant.pids);
  const most = await flood(contestant, size, 1_500_000);
  let came = most.sent * (1 - most.lost);
  const arrived = came / most.seconds;
  let [low, high, best] = [arrived * 0.2, Math.min(arrived * 1.2, most.sent / most.seconds), 0];
  for (let step = 0; step < 6; step++) {
    const rate = (low + high) / 2;
    const { sent, lost, seconds } = await flood(contestant, size, rate);
    came += sent * (1 - lost);
    if (lost < 0.005) {
      best = Math.max(best, sent / seconds);
      low = rate;
    } else high = rate;
  }
  const used = (await processorSeconds(contestant.pids)) - before;
  return {
    [`UDP ${size} packets/s`]: best,
    // Of both ends together, over all attempts: more meaningful than the rate on a busy machine.
    [`UDP ${size} CPU µs/packet`]: contestant.pids.length === 0 ? Number.NaN : (used / came) * 1e6,
  };
}

async function ping(contestant: Contestant, count: number): Promise<number[]> {
  const output = await contestant.run(
    'busybox',
    ['ping', '-c', String(count), '-i', '0.01', '-W', '1', contestant.address],
    count * 0.02 + 15,
  );
  return [...output.matchAll(/time=([\d.]+) ms/g)].map(([, time]) => Number(time));
}

export async function latency(contestant: Contestant): Promise<Figures> {
  const idle = await ping(contestant, 200);
  const load = iperf(contestant, [], 4);
  await new Promise((resolve) => setTimeout(resolve, 700));
  const loaded = await ping(contestant, 200);
  await load;
  return {
    'ping idle p50 ms': quantile(idle, 0.5),
    'ping idle p99 ms': quantile(idle, 0.99),
    'ping loaded p50 ms': quantile(loaded, 0.5),
    'ping loaded p99 ms': quantile(loaded, 0.99),
  };
}

/** The first packet after both sides dropped their session. */
export async function coldStart(contestant: Contestant): Promise<Figures> {
  if (contestant.forget === undefined) return {};
  await contestant.forget();
  const [first] = await ping(contestant, 1);
  return { 'first packet ms': first ?? Number.NaN };
}
