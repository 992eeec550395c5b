/**
 * The neighbour's continuous activity, from its own node: datagrams and requests to its offloaded pod through the tunnel, and
 * requests to the provider's API server and API gateway with its own credentials. The first line of standard input contains the
 * targets; each further line requests a line of JSON with the results since the one before. Ends at the end of standard input.
 */
import { createSocket } from 'node:dgram';
import { Agent, get } from 'node:http';
import { createInterface } from 'node:readline';
import { createGatewayClient, createRequestSigner } from '../../daemon/clients/gateway/index.ts';
import { connectKube } from '../../daemon/clients/kubernetes/index.ts';
import { kind } from '../../daemon/kube/index.ts';
import { ClusterKey } from '../../shared/trust/cluster-key.ts';
import type { NeighbourTask } from './neighbour.ts';
import type { Calls, Noticed } from './noticed.ts';

const intervalMilliseconds = { datagrams: 25, requests: 50, api: 200, gateway: 500 };
/** A later answer counts as lost. */
const datagramMilliseconds = 2_000;
const callMilliseconds = 20_000;
const mostErrors = 20;

const noCalls = (): Calls => ({ calls: 0, failed: 0, errors: [], worstMilliseconds: 0 });
const nothing = (): Noticed => ({
  datagrams: noCalls(),
  requests: noCalls(),
  api: noCalls(),
  gateway: noCalls(),
});
let now = nothing();
const stop = new AbortController();
const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function count(calls: Calls, since: number, error?: unknown): void {
  calls.calls += 1;
  calls.worstMilliseconds = Math.max(calls.worstMilliseconds, Math.round(performance.now() - since));
  if (error === undefined) return;
  calls.failed += 1;
  if (calls.errors.length < mostErrors)
    calls.errors.push(error instanceof Error ? error.message.slice(0, 200) : 'unknown error');
}

/** Repeats an operation; each counts in the window in which it began. */
async function repeat(
  what: keyof Noticed,
  call: () => Promise<unknown>,
  milliseconds = intervalMilliseconds[what],
): Promise<void> {
  while (!stop.signal.aborted) {
    const { [what]: calls } = now;
    const since = performance.now();
    await call().then(
      () => count(calls, since),
      (error: unknown) => count(calls, since, error),
    );
    await pause(milliseconds);
  }
}

async function datagrams(host: string): Promise<void> {
  const socket = createSocket('udp4');
  const waiting = new Map<string, { since: number; calls: Calls }>();
  socket.on('message', (message) => {
    const text = message.toString().trim();
    const asked = waiting.get(text);
    if (asked === undefined) return;
    waiting.delete(text);
    count(asked.calls, asked.since);
  });
  socket.on('error', (error) => count(now.datagrams, performance.now(), error));
  for (let sent = 0; !stop.signal.aborted; sent++) {
    waiting.set(`n${sent}`, { since: performance.now(), calls: now.datagrams });
    socket.send(`echo n${sent}`, 8080, host);
    await pause(intervalMilliseconds.datagrams);
    for (const [text, { since, calls }] of waiting) {
      if (performance.now() - since < datagramMilliseconds) break;
      waiting.delete(text);
      count(calls, since, new Error('no answer'));
    }
  }
  socket.close();
}

async function requests(host: string): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const request = () =>
    new Promise<void>((resolve, reject) => {
      const asked = get({ host, port: 8080, path: '/echo?msg=n', agent, timeout: callMilliseconds });
      asked.on('timeout', () => asked.destroy(new Error('no answer')));
      asked.on('error', reject);
      asked.on('response', (response) => response.resume().once('close', resolve));
    });
  await repeat('requests', request);
  agent.destroy();
}

async function run(task: NeighbourTask): Promise<void> {
  const kube = connectKube({ url: task.apiServerURL, ca: task.caBundle, token: () => task.token });
  const key = ClusterKey.fromPrivateKey(task.privateKey);
  const sign = createRequestSigner({ key, clusterID: task.clusterID, recipient: task.recipient });
  const gateway = createGatewayClient({ url: task.gatewayURL, pin: task.gatewayPin, sign });
  const within = () => AbortSignal.any([stop.signal, AbortSignal.timeout(callMilliseconds)]);
  await Promise.all([
    datagrams(task.pod),
    requests(task.pod),
    repeat('api', () => kube.list(kind.shadowPod, { namespace: task.twin }, within())),
    repeat('gateway', () => gateway.getPeering('default', { signal: within() })),
  ]);
  kube.close();
  gateway.close();
}

let running: Promise<void> | undefined;
const lines = createInterface(process.stdin);
lines.on('line', (line) => {
  if (running === undefined) {
    running = run(JSON.parse(line) as NeighbourTask);
    return;
  }
  const window = now;
  now = nothing();
  // By then, all recent operations are answered or lost.
  setTimeout(() => console.log(JSON.stringify(window)), datagramMilliseconds + 200);
});
lines.once('close', () => stop.abort(new Error('ended')));
