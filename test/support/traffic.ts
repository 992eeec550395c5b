/** Traffic during an operation, of which no packet may be lost. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import * as assert from 'uvu/assert';
import type { BedNode } from '../testbed/index.ts';

export interface TrafficCounts {
  /** Sent datagrams, and those that were never answered. */
  sent: number;
  lost: string[];
  /** Requests, and the number of TCP connections that carried them: one, if it never broke. */
  requests: number;
  connections: number;
  failures: string[];
}

export interface Traffic {
  /** Stops the traffic and returns its counts. */
  stop(): Promise<TrafficCounts>;
}

const program = join(import.meta.dirname, 'traffic-process.ts');
/** Timeout after which the process is killed. */
const stopMilliseconds = 60_000;

/** From a node's own network to a netexec pod. */
export function startTraffic(from: BedNode, to: { ip: string; port?: number }): Traffic {
  const child = spawn(
    'ip',
    ['netns', 'exec', from.netns, process.execPath, program, to.ip, String(to.port ?? 8080)],
    { stdio: ['pipe', 'pipe', 'pipe'] },
  );
  let output = '';
  let complaint = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text));
  child.stdin.on('error', () => undefined);
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  return {
    async stop() {
      child.stdin.end();
      const timer = setTimeout(() => child.kill('SIGKILL'), stopMilliseconds);
      await ended;
      clearTimeout(timer);
      if (output === '') throw new Error(`the traffic from ${from.name} to ${to.ip} failed: ${complaint}`);
      return JSON.parse(output) as TrafficCounts;
    },
  };
}

/** Runs `step` while traffic passes between all these ends at once, and asserts that nothing was lost. */
export async function unbroken(
  ends: readonly (readonly [from: BedNode, to: { ip: string }])[],
  what: string,
  step: () => Promise<unknown>,
  log: (line: string) => void,
): Promise<void> {
  const flows = ends.map(([from, to]) => startTraffic(from, to));
  let all: TrafficCounts[];
  try {
    await step();
    // Delayed effects count too.
    await delay(2_000);
  } finally {
    all = await Promise.all(flows.map((flow) => flow.stop()));
  }
  for (const counts of all) {
    log(`${what}: ${counts.sent} datagrams and ${counts.requests} requests, ${counts.lost.length} lost`);
    assert.equal(counts.lost, [], what);
    assert.equal(counts.failures, [], what);
    assert.is(counts.connections, 1, what);
    assert.ok(counts.sent > 10 && counts.requests > 5, what);
  }
}
