/** The scene of the attacks: one provider with two consumers, of which one is hostile and the other must not be affected. */
import * as assert from 'uvu/assert';
import type { Condition } from '../../shared/api/meta.ts';
import { findCondition } from '../../shared/conditions.ts';
import { ports } from '../../shared/ports.ts';
import { listed } from '../support/api-objects.ts';
import { hawser, namespace } from '../support/installation.ts';
import { clusterIDOf, installedClusters, peer } from '../support/peered.ts';
import { apply, eventually, netexec, pods, readyPods, type PodFacts } from '../support/workload.ts';
import type { Bed, BedCluster, BedNode } from '../testbed/index.ts';
import { partyOf, story, type Party } from './party.ts';

export const apiVersion = 'hawser.dev/v1alpha1';
export const grant = { cpu: '2', memory: '1Gi', pods: 20 };

/** The means of an attack. It may use access to the provider beyond the hostile party's rights only to observe. */
export interface AttackBed {
  bed: Bed;
  provider: BedCluster;
  hostile: Party;
  neighbour: Party;
  /** A pod that the hostile consumer offloaded, and one of the neighbour, as the provider sees them. */
  mole: PodFacts;
  victim: PodFacts;
  signal: AbortSignal;
}

/** The answer of an API server or an API gateway. */
export interface Answer {
  status: number;
  message: string;
}

const names = ['provider', 'hostile', 'neighbour'] as const;

/** Brings up the clusters, peers both consumers with the provider, and has each offload a pod. */
export async function attackBed(
  name: string,
  signal: AbortSignal,
  log: (line: string) => void,
): Promise<AttackBed> {
  const bed = await installedClusters(name, names, log, { nodes: 1 });
  log('both consumers peer with the provider, and offload a pod each');
  return sceneOf(bed, signal);
}

/** The same, with running clusters that have Hawser. */
export async function sceneOf(bed: Bed, signal: AbortSignal): Promise<AttackBed> {
  const provider = bed.cluster('provider');
  const consumers = [bed.cluster('hostile'), bed.cluster('neighbour')];
  for (const consumer of consumers) {
    if ((await listed(consumer, 'outgoingpeerings')).length > 0) continue;
    await peer({ consumer, provider }, { grant }, ['--timeout', '120']);
    await consumer.kubectl(['create', 'namespace', story]);
    await hawser(consumer, ['offload', 'namespace', story, '--timeout', '120']);
    await apply(consumer, story, offloaded('far', await clusterIDOf(provider)));
    await readyPods(consumer, story, 'far', 1, 120);
  }
  const [hostile, neighbour] = await Promise.all(consumers.map((each) => partyOf(each)));
  assert.ok(hostile && neighbour);
  const [mole] = await readyPods(provider, hostile.twin, 'far', 1, 60);
  const [victim] = await readyPods(provider, neighbour.twin, 'far', 1, 60);
  assert.ok(mole && victim);
  // The attacks act in its name: its own controller would repair changed objects and answer requests.
  await hostile.cluster.kubectl(['scale', 'deployment/hawser-controller', '-n', namespace, '--replicas=0']);
  await eventually('the hostile consumer’s controller to be gone', 60, async () => {
    const left = await pods(hostile.cluster, namespace, 'app.kubernetes.io/component=controller');
    return left.length === 0;
  });
  return { bed, provider, hostile, neighbour, mole, victim, signal };
}

/** A Deployment of one pod at the provider of that ID. */
export const offloaded = (name: string, provider: string): object =>
  netexec(name, { nodeSelector: { 'hawser.dev/remote-cluster': provider } });

/** One field of an object, by kubectl's JSONPath. */
export const fieldOf = (cluster: BedCluster, object: readonly string[], path: string): Promise<string> =>
  cluster.kubectl(['get', ...object, '-o', `jsonpath={${path}}`]);

/** The provider's only node. */
export function providerNode({ provider }: AttackBed): BedNode {
  const [node] = provider.nodes;
  assert.ok(node);
  return node;
}

/** The only node of a party. */
export function nodeOf(party: Party): BedNode {
  const [node] = party.cluster.nodes;
  assert.ok(node);
  return node;
}

/** Sends one request to the provider's API server as a consumer. */
export async function ask(
  { kube }: Pick<Party, 'kube'>,
  signal: AbortSignal,
  method: string,
  path: string,
  body?: object,
  contentType?: string,
): Promise<Answer & { text: string }> {
  const { status, text } = await kube.text(
    method,
    path,
    {
      maximumBytes: 4 << 20,
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(contentType !== undefined && { contentType }),
    },
    signal,
  );
  let message = text.slice(0, 300);
  try {
    message = (JSON.parse(text) as { message?: string }).message ?? '';
  } catch {
    // Not every answer is JSON.
  }
  return { status, message, text };
}

export const mergePatch = 'application/merge-patch+json';
export const core = (of: string, resource: string): string => `/api/v1/namespaces/${of}/${resource}`;
export const group = (name: string, of: string, resource: string): string =>
  `/apis/${name}/namespaces/${of}/${resource}`;
export const slices = (of: string, name = ''): string =>
  group('discovery.k8s.io/v1', of, `endpointslices${name === '' ? '' : `/${name}`}`);
export const reflected = { 'hawser.dev/reflected': 'true' };

/** A condition of a consumer's peering at the provider. */
export async function peeringCondition(
  { provider }: Pick<AttackBed, 'provider'>,
  party: Party,
  type: string,
): Promise<Condition | undefined> {
  const found = (await listed(provider, 'incomingpeerings')).find(
    ({ spec }) => spec.remoteCluster === party.id,
  );
  return findCondition(found?.status?.conditions, type);
}

/** The sum of matching lines in an API gateway's or a controller's metrics; the pattern's last group is the value. */
export async function metricOf(
  { provider }: Pick<AttackBed, 'provider'>,
  workload: 'hawser-gateway' | 'hawser-controller',
  pattern: RegExp,
): Promise<number> {
  const port = workload === 'hawser-gateway' ? ports.gatewayMetrics : ports.controllerMetrics;
  const script = `fetch('http://127.0.0.1:${port}/metrics').then((a) => a.text()).then((t) => console.log(t))`;
  const node = ['--', '/usr/local/bin/node', '-e', script];
  return sumOf(await provider.kubectl(['exec', '-n', namespace, `deploy/${workload}`, ...node]), pattern);
}

/** How many requests the provider's API server has denied because of one of Hawser's policies. */
export async function deniedBy({ provider }: Pick<AttackBed, 'provider'>, policy: string): Promise<number> {
  const name = `policy="${policy}"`;
  const line = `apiserver_validating_admission_policy_check_total\\{[^}]*"deny"[^}]*${name}[^}]*\\}`;
  return sumOf(await provider.kubectl(['get', '--raw', '/metrics']), new RegExp(`^${line} (\\d+)$`, 'gm'));
}

const sumOf = (text: string, pattern: RegExp): number =>
  [...text.matchAll(pattern)].reduce((sum, match) => sum + Number(match.at(-1)), 0);
