/** Shared parts of the demo's steps: the clusters, and requests to them. */
import { join } from 'node:path';
import type { Bed, BedCluster } from '../testbed/index.ts';
import { runAnyway, waitFor } from '../testbed/run.ts';
import type { Inventory } from '../support/inventory.ts';
import type { Narrator, StepContext } from './steps.ts';

const root = join(import.meta.dirname, '..', '..');
export const app = 'shop';

export interface Demo {
  bed: Bed;
  home: BedCluster;
  away: BedCluster;
  /** Only reachable in-band. */
  far: BedCluster;
  signal: AbortSignal;
  tell: Narrator;
  /** Inventory before the installation of Hawser, by cluster. */
  bare: Map<string, Inventory>;
}

/** Runs hawser against a cluster as its administrator, and shows it; throws unless it exits with 0. */
export async function show(
  demo: Demo,
  cluster: BedCluster,
  args: string[],
  more: { input?: string; quiet?: boolean; kubeconfig?: string } = {},
): Promise<string> {
  const result = await runAnyway([process.execPath, join(root, 'cli', 'main.ts'), ...args], {
    env: { KUBECONFIG: more.kubeconfig ?? cluster.kubeconfig, NO_COLOR: '1' },
    timeoutMilliseconds: 180_000,
    signal: demo.signal,
    ...(more.input !== undefined && { input: more.input }),
  });
  const shown = `hawser ${args.join(' ')}`;
  const said = `${result.stderr}${result.stdout}`;
  if (!more.quiet) demo.tell.show(`${cluster.name}: ${shown}`, said);
  if (result.exitCode !== 0) throw new Error(`${shown} ended with ${result.exitCode}: ${said}`);
  return result.stdout;
}

export const apply = (demo: Demo, cluster: BedCluster, file: string) =>
  cluster.kubectl(['apply', '-n', app, '-f', join(import.meta.dirname, file)], { signal: demo.signal });

export interface PodFacts {
  metadata: { name: string; labels?: Record<string, string> };
  spec: { nodeName?: string };
  status: { podIP?: string; phase?: string; conditions?: { type: string; status: string }[] };
}

export async function podsOf(demo: Demo, selector: string): Promise<PodFacts[]> {
  const text = await demo.home.kubectl(['get', 'pods', '-n', app, '-l', selector, '-o', 'json'], {
    signal: demo.signal,
  });
  return (JSON.parse(text) as { items: PodFacts[] }).items;
}

export const isReady = (pod: PodFacts) =>
  pod.status.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;

/** Waits for the rollout of Deployments; a timeout's error contains the cluster's own messages. */
export async function rolledOut(demo: Demo, step: StepContext, deployments: string[]): Promise<void> {
  for (const deployment of deployments) {
    step.progress(`waiting for ${deployment}`);
    try {
      await demo.home.kubectl(['rollout', 'status', '-n', app, `deployment/${deployment}`, '--timeout=90s'], {
        signal: demo.signal,
        timeoutMilliseconds: 100_000,
      });
    } catch (error) {
      const pods = await demo.home.kubectl(['describe', 'pods', '-n', app]).catch(() => '');
      throw new Error(`${deployment} is not rolled out; its pods:\n${pods.slice(-6000)}`, { cause: error });
    }
  }
}

/** Sends a request to a Service from the client pod, with Kubernetes' own test program. */
export async function askFromClient(demo: Demo, host: string, request: string): Promise<string> {
  const query = new URLSearchParams({ host, port: '80', protocol: 'http', request, tries: '1' });
  const path = `/api/v1/namespaces/${app}/pods/client:8080/proxy/dial?${query.toString()}`;
  const answer = JSON.parse(await demo.home.kubectl(['get', '--raw', path], { signal: demo.signal })) as {
    responses?: string[];
    errors?: string[];
  };
  const [response] = answer.responses ?? [];
  if (response === undefined || response === '') throw new Error((answer.errors ?? ['no answer']).join('; '));
  return response;
}

/** Waits until the LocalCluster is Ready, which includes an address of the API gateway. */
export async function ready(cluster: BedCluster, signal: AbortSignal): Promise<void> {
  await waitFor(
    `LocalCluster self of ${cluster.name} to be Ready with an address of its gateway`,
    async () => {
      const { status } = JSON.parse(
        await cluster.kubectl(['get', 'localcluster', 'self', '-o', 'json'], { signal }),
      ) as {
        status?: { gatewayURL?: string; conditions?: { type: string; status: string; message: string }[] };
      };
      const condition = status?.conditions?.find(({ type }) => type === 'Ready');
      if (condition?.status !== 'True') throw new Error(condition?.message ?? 'no condition Ready yet');
      return status?.gatewayURL !== undefined;
    },
    { timeoutMilliseconds: 60_000, intervalMilliseconds: 200, signal },
  );
}
