import type { LocalCluster, RemoteCluster } from '../../shared/api/clusters.ts';
import { readStoredDocument } from '../../shared/trust/network-documents.ts';
import { contentGeneration } from '../../shared/wire/network-document.ts';
import { localCluster } from '../cluster.ts';
import { clusterOptions, timeoutOption, type Command, type Invocation } from '../command.ts';
import { UsageError } from '../exit.ts';
import { hawser, withKube, type Kube } from '../kube.ts';
import { timeoutOf, waitUntil } from '../wait.ts';

const defaultSeconds = 60;

/** Whether a remote has confirmed a document that the key has signed. */
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
  if (invocation.arguments.length > 0) throw new UsageError('no argument is wanted');
  const seconds = timeoutOf(invocation, defaultSeconds);
  const { terminal } = invocation;
  const begun = invocation.now();
  const before = await localCluster(kube);
  const generation =
    Math.max(before.status?.clusterKeyGeneration ?? 1, before.spec.clusterKeyGeneration ?? 1) + 1;
  await kube.patch(hawser('localclusters'), 'self', { spec: { clusterKeyGeneration: generation } });
  const publicKey = await waitUntil(
    invocation,
    {
      seconds,
      advice: 'see the log of deployment/hawser-controller; the wish stays, and is done as soon as it runs',
    },
    async () => {
      const { status } = (await kube.get<LocalCluster>(hawser('localclusters'), 'self')) ?? before;
      return (status?.clusterKeyGeneration ?? 1) >= generation && status?.publicKey !== undefined
        ? { done: status.publicKey }
        : { waitingFor: 'the controller to make the new key' };
    },
  );
  terminal.step('done', 'the cluster has a new key, signed by the old one', invocation.now() - begun);
  await waitUntil(
    invocation,
    {
      seconds,
      advice:
        'they learn it by themselves once they can be reached, and their tunnels go on with the former keys until then',
    },
    async () => {
      const remotes = await kube.list<RemoteCluster>(hawser('remoteclusters'));
      const missing = remotes.filter((remote) => !knowsKey(remote, publicKey));
      return missing.length === 0
        ? { done: true }
        : { waitingFor: `${missing.map(({ metadata }) => metadata.name).join(', ')} to learn the new key` };
    },
  );
  terminal.step('done', 'every peer knows it', invocation.now() - begun);
}

export const command: Command = {
  name: 'key rotate',
  summary: 'have the cluster key succeeded by a new one',
  description: `The controller makes a new cluster key, which the old one signs, so that peers take it without a person; the tunnels’
pre-shared keys follow, and nothing is interrupted. A peer that is away learns it when it is back, unless it missed more than
eight. For when the key may have been seen by somebody, or by schedule.

The key of a tunnel’s tunnel endpoint is another one: kubectl delete secret hawser-tunnel-endpoint-0 makes a new one of that.`,
  options: { ...timeoutOption(defaultSeconds), ...clusterOptions },
  examples: [['The cluster key may have been copied', 'hawser key rotate']],
  run: (invocation) => withKube(invocation, (kube) => rotate(invocation, kube)),
};
