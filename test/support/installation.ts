/** Installs Hawser on a cluster of the testbed from its image and its chart, as users do. */
import { join } from 'node:path';
import { buildHawserImage } from '../../deploy/image/build.ts';
import { build } from '../../deploy/build/build.ts';
import { ensureNeeds } from '../../deploy/needs/ensure.ts';
import type { Bed, BedCluster } from '../testbed/index.ts';
import { run } from '../testbed/run.ts';

const root = join(import.meta.dirname, '..', '..');
const chart = join(root, 'deploy', 'chart');

export const namespace = 'hawser-system';

export interface InstallationOptions {
  signal?: AbortSignal | undefined;
  log?: ((line: string) => void) | undefined;
  /** Name of the node that holds the tunnel endpoint; default: the cluster's first. */
  gatewayNode?: string;
  /** Further values of the chart, `a.b.c` → value. */
  values?: Record<string, string>;
}

/** Builds sources, addon and image, quickly if nothing changed. Returns the archive's path. */
export async function makeImage(log: (line: string) => void = () => undefined): Promise<string> {
  await ensureNeeds(['image'], { log });
  await build(log);
  return (await buildHawserImage()).path;
}

/** Installs the chart, and waits until all its pods are ready. The nodes must have the image. */
export async function install(
  bed: Bed,
  cluster: BedCluster,
  options: InstallationOptions = {},
): Promise<void> {
  const gatewayNode = options.gatewayNode ?? cluster.nodes[0]?.name ?? '';
  await cluster.kubectl(['label', '--overwrite', 'node', gatewayNode, 'hawser.dev/gateway=true']);
  const values: Record<string, string> = {
    'cluster.name': cluster.name,
    'cluster.apiServerURL': cluster.apiServerUrl,
    'cluster.podCIDRs[0]': cluster.podCIDR,
    'cluster.serviceCIDRs[0]': cluster.serviceCIDR,
    'cluster.nodeCIDRs[0]': cluster.nodeCIDR,
    ...options.values,
  };
  const settings = Object.entries(values).flatMap(([name, value]) => ['--set', `${name}=${value}`]);
  await helm(
    bed,
    cluster,
    ['upgrade', '--install', 'hawser', chart, '--create-namespace', ...settings],
    options.signal,
  );
  await rolledOut(cluster, options.signal);
}

export async function rolledOut(cluster: BedCluster, signal?: AbortSignal): Promise<void> {
  for (const workload of [
    'deployment/hawser-controller',
    'deployment/hawser-gateway',
    'daemonset/hawser-node',
  ]) {
    // On a very busy machine starts take minutes instead of seconds.
    await cluster.kubectl(['rollout', 'status', '-n', namespace, '--timeout=300s', workload], {
      timeoutMilliseconds: 310_000,
      ...(signal && { signal }),
    });
  }
}

export async function uninstall(bed: Bed, cluster: BedCluster, signal?: AbortSignal): Promise<void> {
  await helm(bed, cluster, ['uninstall', 'hawser', '--wait', '--timeout=60s'], signal);
}

async function helm(bed: Bed, cluster: BedCluster, args: string[], signal?: AbortSignal): Promise<string> {
  return run([bed.programs.helm, ...args, '--namespace', namespace, '--kubeconfig', cluster.kubeconfig], {
    timeoutMilliseconds: 120_000,
    ...(signal && { signal }),
  });
}

/** Runs `hawser` as an administrator of the cluster; returns its output. */
export async function hawser(
  cluster: BedCluster,
  args: readonly string[],
  options: { signal?: AbortSignal; input?: string } = {},
): Promise<string> {
  return run(
    [process.execPath, join(root, 'cli', 'main.ts'), ...args, '--kubeconfig', cluster.kubeconfig],
    // Longer than the command's own timeout, whose error names what it waited for.
    { timeoutMilliseconds: 150_000, ...options },
  );
}
