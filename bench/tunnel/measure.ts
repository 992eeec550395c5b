/** What is measured, by iperf3 and ping from one namespace to another. */
import { readFile } from 'node:fs/promises';

import type { Contestant } from './contestants.ts';
import { quantile } from './statistics.ts';

/** Clock ticks a second that the kernel counts processor time in (USER_HZ, the same on every Linux of today). */
const TICKS = 100;

/** Processor seconds that processes have used so far. */
export async function processorSeconds(pids: readonly number[]): Promise<number> {
  let ticks = 0;
  for (const pid of pids) {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8');
    // Behind the name, which may hold anything in parentheses: fields 14 and 15 are user and system time.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / TICKS;
}

/** Bytes of memory that are resident. */
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
    sum?: { packets: number; lost_percent: number; seconds: number };
  };
}

async function iperf(
  contestant: Contestant,
  parameters: readonly string[],
  seconds: number,
): Promise<IperfResult> {
  const all = ['-c', contestant.address, '-J', '-t', String(seconds), ...parameters];
  let last = '';
  // The server of the run before may still be closing.
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

/**
 * Most packets a second that arrive with less than 0.5 % lost. What arrives when more is sent than anyone can take says where
 * to look; then by halving.
 */
export async function packets(contestant: Contestant, size: number): Promise<Figures> {
  const lossAt = async (rate: number): Promise<{ lost: number; rate: number }> => {
    const { end } = await iperf(
      contestant,
      ['-u', '-l', String(size), '-b', String(rate * size * 8), '-w', '2M'],
      1,
    );
    const sum = end?.sum;
    return { lost: sum?.lost_percent ?? 100, rate: (sum?.packets ?? 0) / (sum?.seconds ?? 1) };
  };
  const flood = await lossAt(640_000);
  const arrived = flood.rate * (1 - flood.lost / 100);
  let [low, high, best] = [arrived * 0.25, Math.min(arrived * 1.25, flood.rate), 0];
  for (let step = 0; step < 4; step++) {
    const rate = Math.round((low + high) / 2);
    const { lost, rate: reached } = await lossAt(rate);
    if (lost < 0.5) {
      best = Math.max(best, reached);
      low = rate;
      // The sender itself can't do more.
      if (reached < rate * 0.95) break;
    } else high = rate;
  }
  return { [`UDP ${size} packets/s`]: best };
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

/** The first packet after both sides forgot each other. */
export async function coldStart(contestant: Contestant): Promise<Figures> {
  if (contestant.forget === undefined) return {};
  await contestant.forget();
  const [first] = await ping(contestant, 1);
  return { 'first packet ms': first ?? Number.NaN };
}
