/** Runs processes of Hawser with another clock or another version. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BedCluster } from '../testbed/index.ts';
import { namespace } from './installation.ts';

/** Undoes the change, and waits until this has taken effect. */
type Undo = () => Promise<void>;

/**
 * Moves a process's clock that many seconds ahead, or behind if negative. The kernel has one wall clock (time namespaces cover
 * only the monotonic clocks), so it is changed where the process reads it.
 */
export function plantClock(cluster: BedCluster, deployment: string, seconds: number): Promise<Undo> {
  const module = `const Real = Date;
const now = () => Real.now() + ${seconds * 1000};
globalThis.Date = class extends Real {
  constructor(...parts) {
    super(...(parts.length === 0 ? [now()] : parts));
  }
  static now = now;
};
`;
  const path = '/planted/clock.mjs';
  return plant(cluster, deployment, { path, content: module, options: `--import=${path}` });
}

/** Makes the process find another version in its package. */
export async function plantVersion(cluster: BedCluster, deployment: string, version: string): Promise<Undo> {
  const file = join(import.meta.dirname, '..', '..', 'package.json');
  const manifest = JSON.parse(await readFile(file, 'utf8')) as object;
  const content = JSON.stringify({ ...manifest, version });
  return plant(cluster, deployment, { path: '/hawser/package.json', content });
}

interface Planted {
  path: string;
  content: string;
  /** Further options of Node.js. */
  options?: string;
}

async function plant(
  cluster: BedCluster,
  deployment: string,
  { path, content, options }: Planted,
): Promise<Undo> {
  const name = `planted-${deployment}`;
  const subPath = 'file';
  const configMap = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace },
    data: { [subPath]: content },
  };
  await cluster.kubectl(['apply', '-f', '-'], { input: JSON.stringify(configMap) });
  const container = {
    name: deployment.replace('hawser-', ''),
    volumeMounts: [{ name, mountPath: path, subPath }],
    ...(options !== undefined && { env: [{ name: 'NODE_OPTIONS', value: options }] }),
  };
  const spec = { containers: [container], volumes: [{ name, configMap: { name } }] };
  await cluster.kubectl([
    'patch',
    'deployment',
    deployment,
    '-n',
    namespace,
    '-p',
    JSON.stringify({ spec: { template: { spec } } }),
  ]);
  await rolledOut(cluster, deployment);
  return async () => {
    await cluster.kubectl(['rollout', 'undo', `deployment/${deployment}`, '-n', namespace]);
    await rolledOut(cluster, deployment);
    await cluster.kubectl(['delete', 'configmap', name, '-n', namespace]);
  };
}

async function rolledOut(cluster: BedCluster, deployment: string): Promise<void> {
  await cluster.kubectl(
    ['rollout', 'status', `deployment/${deployment}`, '-n', namespace, '--timeout=180s'],
    {
      timeoutMilliseconds: 190_000,
    },
  );
}
