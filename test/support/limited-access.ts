/** Access with one ClusterRole of the chart in each cluster, and no other rights. */
import { writeFile } from 'node:fs/promises';
import type { BedCluster } from '../testbed/index.ts';

const account = 'peerer';

/** Writes a kubeconfig with one context per cluster, named like it, with tokens of service accounts bound to these roles. */
export async function limitedKubeconfig(
  path: string,
  roles: readonly (readonly [cluster: BedCluster, clusterRole: string])[],
): Promise<void> {
  const parts = await Promise.all(
    roles.map(async ([cluster, clusterRole]) => {
      await cluster.kubectl(['apply', '-f', '-'], { input: JSON.stringify(binding(clusterRole)) });
      const token = await cluster.kubectl(['create', 'token', '-n', 'default', account]);
      const { url, authority } = await cluster.access();
      return { name: cluster.name, url, authority, token: token.trim() };
    }),
  );
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': parts[0]?.name,
    clusters: parts.map(({ name, url, authority }) => ({
      name,
      cluster: { server: url, 'certificate-authority-data': Buffer.from(authority).toString('base64') },
    })),
    contexts: parts.map(({ name }) => ({ name, context: { cluster: name, user: name } })),
    users: parts.map(({ name, token }) => ({ name, user: { token } })),
  };
  await writeFile(path, JSON.stringify(config), { mode: 0o600 });
}

/** Removes these service accounts. */
export async function revokeLimited(clusters: readonly BedCluster[]): Promise<void> {
  for (const cluster of clusters) {
    await cluster.kubectl(['delete', 'clusterrolebinding', account, '--ignore-not-found']);
    await cluster.kubectl(['delete', 'serviceaccount', '-n', 'default', account, '--ignore-not-found']);
  }
}

function binding(clusterRole: string): object {
  return {
    apiVersion: 'v1',
    kind: 'List',
    items: [
      {
        apiVersion: 'v1',
        kind: 'ServiceAccount',
        metadata: { name: account, namespace: 'default' },
      },
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRoleBinding',
        metadata: { name: account },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: clusterRole },
        subjects: [{ kind: 'ServiceAccount', name: account, namespace: 'default' }],
      },
    ],
  };
}
