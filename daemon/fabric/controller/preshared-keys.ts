/** Maintains the Secret of the tunnels' pre-shared keys: which key each tunnel uses, and when it is replaced. */
import type { RemoteCluster } from '../../../shared/api/clusters.ts';
import type { IncomingPeering, OutgoingPeering } from '../../../shared/api/peerings.ts';
import { labels, secrets } from '../../../shared/names.ts';
import {
  kind,
  stableText,
  type ControllerContext,
  type Informer,
  type Result,
  type Secret,
} from '../../kube/index.ts';
import { openingMilliseconds } from '../../peers/references.ts';
import { holdsOurHalf, KeyStore, findIdentity, type KeyHolder } from './key-store.ts';

const fieldManager = 'hawser-fabric';
/**
 * The Secret grows with the number of remotes, and each write makes the gateway nodes plan again. Keys of several remotes
 * that arrive together are therefore written together.
 */
const gapOfRemoteMilliseconds = 4;

export interface KeyCaches {
  remoteClusters: Informer<RemoteCluster>;
  outgoing: Informer<OutgoingPeering>;
  incoming: Informer<IncomingPeering>;
  clusterKey: Informer<Secret>;
  tunnelKeys: Informer<Secret>;
}

/**
 * The key of a tunnel: the derived one, unless another is in use and the remote has not confirmed our half of the derived
 * one. A key in use also stays when no key can be derived any more: an unreadable document must not cut a working tunnel.
 * Pure; base64.
 */
export function chooseKey(
  identity: KeyHolder,
  remote: RemoteCluster | undefined,
  derived: string | undefined,
  inUse: string | undefined,
): string | undefined {
  if (derived === undefined || inUse === undefined) return derived ?? inUse;
  return remote !== undefined && !holdsOurHalf(identity, remote) ? inUse : derived;
}

/** The reconciler; its queue has a single constant key. */
export function makeKeyReconciler({ kube, namespace, clock }: ControllerContext, input: KeyCaches) {
  const store = new KeyStore();
  let writtenAt = -Infinity;
  return async (_key: string, signal: AbortSignal): Promise<Result | void> => {
    const identity = findIdentity(input.clusterKey.list()[0]);
    if (identity === undefined) return;
    const present = input.tunnelKeys.list()[0];
    const now = clock.now();
    const needed = new Set([
      ...[...input.outgoing.list(), ...input.incoming.list()].map(({ spec }) => spec.remoteCluster),
      ...input.remoteClusters
        .list()
        .filter((remote) => openingMilliseconds(remote, now) > 0)
        .map(({ spec }) => spec.clusterID),
    ]);
    const derived = store.derive(
      identity,
      input.remoteClusters.list().filter(({ spec }) => needed.has(spec.clusterID)),
    );
    const data: Record<string, string> = {};
    for (const id of needed) {
      // The Secret holds the key as base64 text, which its data encodes in base64 once more.
      const text = derived.get(id);
      const next = text === undefined ? undefined : Buffer.from(text).toString('base64');
      const value = chooseKey(identity, input.remoteClusters.byKey(id), next, present?.data?.[id]);
      if (value !== undefined) data[id] = value;
    }
    if (needed.size === 0) {
      if (present !== undefined) {
        const { uid } = present.metadata;
        await kube.delete(
          { kind: kind.secret, namespace, name: secrets.tunnelKeys },
          uid === undefined ? {} : { uid },
          signal,
        );
      }
      return;
    }
    if (stableText(present?.data ?? {}) === stableText(data)) return;
    const gap = gapOfRemoteMilliseconds * needed.size;
    const wait = writtenAt + gap - clock.monotonic();
    if (wait > 0) return { requeueAfterMilliseconds: wait };
    await kube.apply<Secret>(
      {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: secrets.tunnelKeys, namespace, labels: { [labels.managedBy]: fieldManager } },
        type: 'Opaque',
        data,
      },
      { fieldManager },
      signal,
    );
    writtenAt = clock.monotonic();
  };
}
