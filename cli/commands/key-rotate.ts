import type { LocalCluster, RemoteCluster } from '../../shared/api/clusters.ts';
import { readStoredDocument } from '../../shared/trust/network-documents.ts';
import { contentGeneration } from '../../shared/wire/network-document.ts';
import { localCluster } from '../cluster.ts';
import { clusterOptions, timeoutOption, type Command, type Invocation } from '../command.ts';
import { hawser, withKube, type Kube } from '../kube.ts';
import { timeoutOf, waitUntil } from '../wait.ts';

const defaultSeconds = 60;

/** Whether a remote has acknowledged a network document that the key signed. */
export function knowsKey({ status }: RemoteCluster, publicKey: string): boolean {
  if (status?.localDocument === undefined) return false;
  try {
    const document = readStoredDocument(status.localDocument);
    return (
      document.publicKey === publicKey && (status.acknowledgedGeneration ?? 0) >= contentGeneration(document)
    );
  } catch {
    return false;
  }
}

async function rotate(invocation: Invocation, kube: Kube): Promise<void> {
  const seconds = timeoutOf(invocation, defaultSeconds);
  const { terminal } = invocation;
  const startedAt = invocation.now();
  const before = await localCluster(kube);
  const generation =
    Math.max(before.status?.clusterKeyGeneration ?? 1, before.spec.clusterKeyGeneration ?? 1) + 1;
  await kube.patch(hawser('localclusters'), 'self', { spec: { clusterKeyGeneration: generation } });
  const publicKey = await waitUntil(
    invocation,
    {
      seconds,
      advice:
        'The request is kept, and the controller fulfils it when it runs. See its log: kubectl logs -n hawser-system deployment/hawser-controller',
    },
    async () => {
      const { status } = (await kube.get<LocalCluster>(hawser('localclusters'), 'self')) ?? before;
      return (status?.clusterKeyGeneration ?? 1) >= generation && status?.publicKey !== undefined
        ? { done: status.publicKey }
        : { waitingFor: 'the controller to create the new key' };
    },
  );
  terminal.step('done', 'new cluster key created, signed by the old one', invocation.now() - startedAt);
  await waitUntil(
    invocation,
    {
      seconds,
      advice:
        'Peers receive the new key once they are reachable; until then their tunnels keep using the former keys.',
    },
    async () => {
      const remotes = await kube.list<RemoteCluster>(hawser('remoteclusters'));
      const missing = remotes.filter((remote) => !knowsKey(remote, publicKey));
      return missing.length === 0
        ? { done: true }
        : {
            waitingFor: `${missing.map(({ metadata }) => metadata.name).join(', ')} to acknowledge the new key`,
          };
    },
  );
  terminal.step('done', 'all peers have acknowledged the new key', invocation.now() - startedAt);
}

export const command: Command = {
  name: 'key rotate',
  summary: 'replace the cluster key by a new one',
  description: `The controller creates a new cluster key and signs it with the old one, so that peers accept it without manual steps. The
pre-shared keys of the tunnels change with it, and no connection is interrupted. A peer that is unreachable receives the key
when it returns, unless it has missed more than eight rotations. Run it on a schedule, or when the key may have leaked.

The WireGuard key of a tunnel endpoint is a different key. To replace it:
kubectl delete secret -n hawser-system hawser-tunnel-endpoint-0`,
  options: { ...timeoutOption(defaultSeconds), ...clusterOptions },
  examples: [['Replace the cluster key', 'hawser key rotate']],
  run: (invocation) => withKube(invocation, (kube) => rotate(invocation, kube)),
};
