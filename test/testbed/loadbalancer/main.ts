/** The load balancers of a testbed: one process, one controller per cluster. Started by `up` with the testbed's name. */
import { readFile } from 'node:fs/promises';
import type { Agent } from 'node:https';
import { join } from 'node:path';
import { agentFor, askApi } from '../https.ts';
import type { ApiAccess } from '../https.ts';
import type { ClusterPlan } from '../plan.ts';
import { run, runAnyway, sleep } from '../run.ts';
import { inNamespace } from '../places.ts';
import { readState } from '../state.ts';
import { loadBalancerRules, planLoadBalancers, staleFlows } from './plan.ts';
import type { EndpointSliceObject, Listener, LoadBalancerPlan, NodeObject, ServiceObject } from './plan.ts';
import { follow } from './watch.ts';
import type { Collection } from './watch.ts';

/** Changes within this time are handled together. */
const gatherMilliseconds = 20;
const retryMilliseconds = 1_000;

async function balance(cluster: ClusterPlan, signal: AbortSignal): Promise<void> {
  const log = (line: string) =>
    process.stdout.write(`${new Date().toISOString()} ${cluster.name}: ${line}\n`);
  const access = JSON.parse(await readFile(join(cluster.directory, 'access.json'), 'utf8')) as ApiAccess;
  const agent = agentFor(access);
  const services: Collection<ServiceObject> = { listed: false, objects: new Map() };
  const endpointSlices: Collection<EndpointSliceObject> = { listed: false, objects: new Map() };
  const nodes: Collection<NodeObject> = { listed: false, objects: new Map() };
  const machines = new Map(cluster.nodes.map((node) => [node.name, node.address]));
  let wake: () => void = () => undefined;
  let dirty = false;
  const changed = () => {
    dirty = true;
    wake();
  };
  const followers = Promise.all([
    follow(access, agent, '/api/v1/services', services, changed, log, signal),
    follow(access, agent, '/apis/discovery.k8s.io/v1/endpointslices', endpointSlices, changed, log, signal),
    follow(access, agent, '/api/v1/nodes', nodes, changed, log, signal),
  ]);
  const edge = new Edge(cluster, log);
  while (!signal.aborted) {
    if (!dirty) {
      await new Promise<void>((resolve) => {
        wake = resolve;
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
    }
    await sleep(gatherMilliseconds, signal).catch(() => undefined);
    if (signal.aborted || !services.listed || !endpointSlices.listed || !nodes.listed) {
      dirty = false;
      continue;
    }
    dirty = false;
    const plan = planLoadBalancers({
      services: [...services.objects.values()],
      endpointSlices: [...endpointSlices.objects.values()],
      nodes: [...nodes.objects.values()],
      machines,
      pool: cluster.loadBalancerPool,
    });
    try {
      // Rules first, so that a published address works.
      await edge.apply(plan);
      await showAddresses(access, agent, plan, log);
    } catch (error) {
      log(`${(error as Error).message}; trying again`);
      await sleep(retryMilliseconds, signal).catch(() => undefined);
      dirty = true;
    }
  }
  await followers;
  agent.destroy();
}

/** The edge's addresses and rules, changed only where they differ. */
class Edge {
  readonly #cluster: ClusterPlan;
  readonly #log: (line: string) => void;
  #rules = '';
  #listeners: readonly Listener[] = [];
  #waiting = '';

  constructor(cluster: ClusterPlan, log: (line: string) => void) {
    this.#cluster = cluster;
    this.#log = log;
  }

  async apply(plan: LoadBalancerPlan): Promise<void> {
    const waiting = plan.waiting.join('; ');
    if (waiting !== this.#waiting && waiting !== '') this.#log(waiting);
    this.#waiting = waiting;
    const rules = loadBalancerRules(plan.listeners);
    const wanted = `${plan.addresses.toSorted().join(' ')}\n${rules}`;
    if (wanted === this.#rules) return;
    const { edgeNetns } = this.#cluster;
    const shown = await run(['ip', '-n', edgeNetns, '-o', '-4', 'addr', 'show', 'dev', 'wan']);
    const present = this.#cluster.loadBalancerPool.filter((address) => shown.includes(` ${address}/32 `));
    const changes = [
      ...plan.addresses
        .filter((each) => !present.includes(each))
        .map((each) => `addr add ${each}/32 dev wan`),
      ...present
        .filter((each) => !plan.addresses.includes(each))
        .map((each) => `addr del ${each}/32 dev wan`),
    ];
    if (changes.length > 0) await run(['ip', '-n', edgeNetns, '-batch', '-'], { input: changes.join('\n') });
    await run(inNamespace(edgeNetns, ['nft', '-f', '-']), { input: rules });
    for (const flow of staleFlows(this.#listeners, plan.listeners)) {
      const where = [
        '--orig-dst',
        flow.address,
        '--orig-port-dst',
        String(flow.port),
        '--reply-src',
        flow.replySource,
      ];
      // Exit code 1 means that there was no such flow.
      await runAnyway(inNamespace(edgeNetns, ['conntrack', '-D', '-p', 'udp', ...where]));
    }
    this.#rules = wanted;
    this.#listeners = plan.listeners;
    const live = plan.listeners.filter(({ backends }) => backends.length > 0).length;
    this.#log(
      `${plan.addresses.length} addresses, ${live} of ${plan.listeners.length} ports have a node behind them`,
    );
  }
}

async function showAddresses(
  access: ApiAccess,
  agent: Agent,
  plan: LoadBalancerPlan,
  log: (line: string) => void,
): Promise<void> {
  for (const { namespace, name, address } of plan.statusChanges) {
    const ingress = address === undefined ? null : [{ ip: address, ipMode: 'VIP' }];
    const answer = await askApi(access, 'PATCH', `/api/v1/namespaces/${namespace}/services/${name}/status`, {
      agent,
      contentType: 'application/merge-patch+json',
      body: { status: { loadBalancer: { ingress } } },
    });
    // A Service may be gone by now; retry after any other error.
    if (answer.status !== 200 && answer.status !== 404) {
      throw new Error(
        `status of ${namespace}/${name} was answered with ${answer.status}: ${answer.body.slice(0, 300)}`,
      );
    }
    log(`${namespace}/${name}: ${address ?? 'address taken back'}`);
  }
}

const name = process.argv[2];
const state = name === undefined ? undefined : await readState(name);
if (state === undefined) {
  process.stderr.write('usage: node loadbalancer/main.ts NAME, where NAME is a bed\n');
  process.exitCode = 2;
} else {
  const ended = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => ended.abort());
  await Promise.all(state.plan.clusters.map((cluster) => balance(cluster, ended.signal)));
}
