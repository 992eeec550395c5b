/**
 * Reports this cluster's presence to providers by a Lease in the tenant namespace, while any of its namespaces has the policy
 * StopAfter. Without such a namespace nothing is written.
 */
import { consumerLease } from '../../shared/names.ts';
import { isNotFound, messageOf } from '../kube/index.ts';
import { deadline, sleep } from '../../shared/time.ts';
import type { Remote } from '../peers/remote.ts';
import type { Lease } from '../../shared/kube/types.ts';
import { fieldManager, ownClusterID, type Caches } from './caches.ts';

/** Without a renewal for this time a provider considers this cluster disconnected. */
export const leaseSeconds = 40;
const renewMilliseconds = 10_000;
/** A slow provider delays the others' renewals at most this long. */
const askMilliseconds = 5_000;

/** The Lease to apply. An empty `holder` means that no offloading needs it any more. Pure. */
export function presenceLease(tenantNamespace: string, holder: string, now: number): Lease {
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: consumerLease, namespace: tenantNamespace },
    spec: {
      holderIdentity: holder,
      leaseDurationSeconds: leaseSeconds,
      // metav1.MicroTime
      renewTime: new Date(now).toISOString().replace('Z', '000Z'),
    },
  };
}

/** Renews until the signal is aborted; at once for a provider that is reached again. */
export async function runPresence(caches: Caches, signal: AbortSignal): Promise<void> {
  const { clock, log } = caches.context;
  /** Peerings whose Lease names this cluster. */
  const shown = new Set<string>();
  let pause = new AbortController();
  const wake = () => pause.abort();
  const stops = [
    caches.remotes.onRemote(wake),
    caches.offloadings.onChange((_key, offloading, previous) => {
      if (asks(offloading) !== asks(previous)) wake();
    }),
  ];
  signal.addEventListener('abort', wake, { once: true });
  while (!signal.aborted) {
    pause = new AbortController();
    const asked = caches.offloadings.list().some((offloading) => asks(offloading));
    const consumer = ownClusterID(caches);
    const wanted = caches.remotes
      .list()
      .filter((remote) => remote.reachability.state === 'Reachable' && (asked || shown.has(remote.peering)));
    if (consumer !== undefined) {
      await Promise.all(
        wanted.map(async (remote) => {
          try {
            await show(remote, asked ? consumer : '', clock.now(), signal);
            if (asked) shown.add(remote.peering);
            else shown.delete(remote.peering);
          } catch (error) {
            if (signal.aborted || isNotFound(error)) return;
            log.warn('failed to renew the presence lease at a provider', {
              peering: remote.peering,
              error: messageOf(error),
            });
          }
        }),
      );
    }
    await sleep(renewMilliseconds, pause.signal, clock);
  }
  for (const stop of stops) stop();
}

const asks = (offloading: { spec: { onDisconnect?: { policy: string } | undefined } } | undefined): boolean =>
  offloading?.spec.onDisconnect?.policy === 'StopAfter';

async function show(remote: Remote, holder: string, now: number, signal: AbortSignal): Promise<void> {
  const limit = deadline(signal, askMilliseconds, 'renewing the lease at a provider');
  try {
    await remote.client.apply(
      presenceLease(remote.tenantNamespace, holder, now),
      { fieldManager },
      limit.signal,
    );
  } finally {
    limit.release();
  }
}
