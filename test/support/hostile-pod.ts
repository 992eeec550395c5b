/** Connection attempts of a consumer's pod at its provider, by a netexec pod: each alone, with its result. */
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import type { BedCluster, BedNode } from '../testbed/index.ts';
import { run } from '../testbed/run.ts';
import { namespace } from './installation.ts';
import { addressOf, pods, type PodFacts } from './workload.ts';

export interface Attempt {
  what: string;
  host: string;
  port: number;
}

/** Seconds that a connection may take. */
const debouncer = { refused: 2, made: 10 };

/** Whether a pod opens a TCP connection. Its own node, which always has access, asks it to. */
export async function connects(
  from: { node: BedNode; ip: string },
  { host, port }: Pick<Attempt, 'host' | 'port'>,
  seconds: number,
): Promise<boolean> {
  const command = `/agnhost connect --timeout=${seconds}s ${host}:${port}`;
  const url = `http://${from.ip}:8080/shell?${new URLSearchParams({ cmd: command })}`;
  const output = await from.node.exec(['curl', '-sS', '-m', '30', url], { timeoutMilliseconds: 40_000 });
  const answer = JSON.parse(output) as { output?: string; error?: string };
  const said = `${answer.output ?? ''} ${answer.error ?? ''}`.trim();
  if (said === '') return true;
  // Connection errors that agnhost reports.
  if (/TIMEOUT|REFUSED|OTHER/.test(said)) return false;
  throw new Error(`${from.ip}: ${command}: ${said}`);
}

/** Tries all targets at once, and returns those that were reached. */
export async function through(
  from: { node: BedNode; ip: string },
  attempts: readonly Attempt[],
  expected: 'refused' | 'made',
): Promise<string[]> {
  const made = await Promise.all(
    attempts.map(async (attempt) =>
      (await connects(from, attempt, debouncer[expected])) ? [attempt.what] : [],
    ),
  );
  return made.flat();
}

/** Places of the provider that a consumer's pod must not reach, but the provider's own pods do. */
export async function forbiddenPlaces(
  provider: BedCluster,
  own: { pods: readonly PodFacts[]; serviceAddress: string },
): Promise<Attempt[]> {
  const endpoint = await provider.kubectl([
    'get',
    'endpointslice',
    '-n',
    'default',
    'kubernetes',
    '-o',
    'jsonpath={.endpoints[0].addresses[0]}:{.ports[0].port}',
  ]);
  const service = await provider.kubectl([
    'get',
    'service',
    '-n',
    'default',
    'kubernetes',
    '-o',
    'jsonpath={.spec.clusterIP}',
  ]);
  return [
    { what: 'metadata service', host: metadataAddress, port: metadataPort },
    ...provider.nodes.map(({ name, address }) => ({
      what: `kubelet of ${name}`,
      host: address,
      port: 10250,
    })),
    { what: 'API server, by its Service', host: service, port: 443 },
    { what: 'API server, where it is', host: addressOf(endpoint), port: Number(endpoint.split(':').at(-1)) },
    ...own.pods.map(({ ip, node: holder }) => ({ what: `own pod on ${holder}`, host: ip, port: 8080 })),
    { what: 'own Service', host: own.serviceAddress, port: 80 },
  ];
}

const metadataAddress = '169.254.169.254';
const metadataPort = 80;

/** Serves a cloud's metadata service on a node, at its usual address. */
export async function serveMetadata(node: BedNode): Promise<{ stop(): Promise<void> }> {
  const at = ['addr', 'replace', `${metadataAddress}/32`, 'dev', 'lo'];
  await node.exec(['ip', ...at]);
  const command = [
    'socat',
    `TCP-LISTEN:${metadataPort},bind=${metadataAddress},fork,reuseaddr`,
    'OPEN:/dev/null',
  ];
  const child = spawn('ip', ['netns', 'exec', node.netns, ...command], { detached: true, stdio: 'ignore' });
  return {
    async stop() {
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
      await node.exec(['ip', 'addr', 'del', `${metadataAddress}/32`, 'dev', 'lo']);
    },
  };
}

/** The node daemon's pod on a node. */
export async function nodeDaemonOf(cluster: BedCluster, name: string): Promise<PodFacts> {
  const all = await pods(cluster, namespace, 'app.kubernetes.io/component=node');
  const found = all.find(({ node: holder }) => holder === name);
  if (found === undefined) throw new Error(`there is no node daemon on ${name}`);
  return found;
}

/** Ends the node daemon of a node as a crash would; Kubernetes starts it again. */
export async function killNodeDaemon(node: BedNode): Promise<void> {
  const listed = (await run(['ip', 'netns', 'pids', node.netns])).trim().split('\n').map(Number);
  const daemons: number[] = [];
  for (const pid of listed) {
    // A process that has ended meanwhile has no command line.
    const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
    if (words.includes('--role=node')) daemons.push(pid);
  }
  if (daemons.length === 0) throw new Error(`no node daemon runs on ${node.name}`);
  for (const pid of daemons) process.kill(pid, 'SIGKILL');
}

export interface Refused {
  remoteCluster: string;
  reason: string;
  packets: number;
}

/** The refusals that a node reports. */
export async function refusalsOf(provider: BedCluster, node: string): Promise<Refused[]> {
  const text = await provider.kubectl(['get', 'fabricnodes.hawser.dev', node, '-o', 'json']);
  return (JSON.parse(text) as { status?: { refusals?: Refused[] } }).status?.refusals ?? [];
}
