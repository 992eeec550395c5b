/** Hawser on clusters of the test bed as users install it: image, chart, one labelled node. For demo and end-to-end tests. */
import { join } from 'node:path';
import { build } from '../../deploy/build/build.ts';
import { buildHawserImage } from '../../deploy/image/build.ts';
import type { Bed, BedCluster } from '../testbed/index.ts';
import { run, runAnyway, waitFor } from '../testbed/run.ts';
import type { RunResult } from '../testbed/run.ts';

const root = join(import.meta.dirname, '..', '..');
export const namespace = 'hawser-system';

/** Builds the image from the sources as they are, and returns the archive's path. */
export async function makeImage(log: (line: string) => void): Promise<string> {
  await build(log);
  log('image');
  const { path } = await buildHawserImage();
  return path;
}

export interface InstallOptions {
  signal?: AbortSignal | undefined;
  /** Values of the chart beyond the cluster's name and API server. */
  values?: readonly string[];
  /** Node that holds the gateway slot. Default: the first. */
  gatewayNode?: string;
}

/** Installs the chart in one cluster and waits until it is Ready. The image is there already. */
export async function install(bed: Bed, cluster: BedCluster, options: InstallOptions = {}): Promise<void> {
  const more = options.signal === undefined ? {} : { signal: options.signal };
  const gatewayNode = options.gatewayNode ?? cluster.nodes[0]?.name ?? '';
  await cluster.kubectl(['create', 'namespace', namespace], more);
  await cluster.kubectl(
    ['label', 'namespace', namespace, 'pod-security.kubernetes.io/enforce=privileged'],
    more,
  );
  await cluster.kubectl(['label', 'node', gatewayNode, 'hawser.dev/gateway=true'], more);
  const values = [
    `cluster.name=${cluster.name}`,
    `cluster.apiServerURL=${cluster.apiServerUrl}`,
    ...(options.values ?? []),
  ];
  await run(
    [
      bed.programs.helm,
      'install',
      'hawser',
      join(root, 'deploy', 'chart'),
      `--namespace=${namespace}`,
      '--wait',
      '--timeout=120s',
      ...values.map((value) => `--set-string=${value}`),
    ],
    { env: { KUBECONFIG: cluster.kubeconfig }, timeoutMilliseconds: 150_000, ...more },
  );
  await waitFor(
    `LocalCluster self of ${cluster.name} to be Ready with an address of its gateway`,
    async () => {
      const text = await cluster.kubectl(['get', 'localcluster', 'self', '-o', 'json'], more);
      const { status } = JSON.parse(text) as {
        status?: { gatewayURL?: string; conditions?: { type: string; status: string; message: string }[] };
      };
      const ready = status?.conditions?.find(({ type }) => type === 'Ready');
      if (ready?.status !== 'True') throw new Error(ready?.message ?? 'no condition Ready yet');
      return status?.gatewayURL !== undefined;
    },
    { timeoutMilliseconds: 60_000, intervalMilliseconds: 200, signal: options.signal },
  );
}

/** Removes the chart and all that the user made for it. */
export async function uninstall(bed: Bed, cluster: BedCluster, signal?: AbortSignal): Promise<void> {
  const more = signal === undefined ? {} : { signal };
  await run(
    [bed.programs.helm, 'uninstall', 'hawser', '--namespace', namespace, '--wait', '--timeout', '60s'],
    {
      env: { KUBECONFIG: cluster.kubeconfig },
      timeoutMilliseconds: 90_000,
      ...more,
    },
  );
  await cluster.kubectl(['delete', 'namespace', namespace, '--timeout=60s'], {
    timeoutMilliseconds: 70_000,
    ...more,
  });
  await cluster.kubectl(['delete', 'crd', '-l', 'app.kubernetes.io/part-of=hawser', '--timeout=60s'], {
    timeoutMilliseconds: 70_000,
    ...more,
  });
}

/** Runs the hawser command against a cluster, as its administrator, and returns what came out of it. */
export function hawser(
  cluster: BedCluster,
  args: readonly string[],
  options: {
    input?: string;
    signal?: AbortSignal | undefined;
    timeoutMilliseconds?: number;
    onLine?: (line: string) => void;
  } = {},
): Promise<RunResult> {
  return runAnyway([process.execPath, join(root, 'cli', 'main.ts'), ...args], {
    env: { KUBECONFIG: cluster.kubeconfig, NO_COLOR: '1' },
    timeoutMilliseconds: options.timeoutMilliseconds ?? 180_000,
    ...(options.input !== undefined && { input: options.input }),
    ...(options.signal !== undefined && { signal: options.signal }),
    ...(options.onLine !== undefined && { onLine: options.onLine }),
  });
}
