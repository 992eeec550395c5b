/** Leases of virtual nodes in `kube-node-lease`, which show that this controller still serves the nodes. */
import { kind, messageOf, type KubeClient } from '../kube/index.ts';
import { sleep } from '../../shared/time.ts';
import type { Lease, Node } from '../../shared/kube/types.ts';
import { labels } from '../../shared/names.ts';
import { fieldManager, type Caches } from './caches.ts';

/** As in the kubelet: a lease of 40 s, renewed every quarter of it (KubeletConfiguration, nodeLeaseDurationSeconds). */
const leaseSeconds = 40;
const renewMilliseconds = 10_000;
/** Maximum number of concurrent renewals, to bound the number of connections. */
const leasesAtOnce = 4;
const leaseNamespace = 'kube-node-lease';

/** The Lease as it is applied. Pure. */
export function leaseOf(node: Node, now: number): Lease {
  const { name, uid } = node.metadata;
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: {
      name,
      namespace: leaseNamespace,
      ...(uid !== undefined && { ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name, uid }] }),
    },
    // metav1.MicroTime
    spec: {
      holderIdentity: name,
      leaseDurationSeconds: leaseSeconds,
      renewTime: new Date(now).toISOString().replace('Z', '000Z'),
    },
  };
}

/** Renews one node's Lease, creating it if needed. */
export async function renewLease(
  kube: KubeClient,
  node: Node,
  now: number,
  signal: AbortSignal,
): Promise<void> {
  await kube.apply(leaseOf(node, now), { fieldManager }, signal);
}

/** Removes it; the Node's deletion would too, but only where the garbage collector runs. */
export async function deleteLease(kube: KubeClient, nodeName: string, signal: AbortSignal): Promise<void> {
  await kube.delete({ kind: kind.lease, name: nodeName, namespace: leaseNamespace }, {}, signal);
}

/** Renews all virtual nodes' leases every ten seconds until the signal is aborted. */
export async function runLeases(caches: Caches, signal: AbortSignal): Promise<void> {
  const { kube, clock, log } = caches.context;
  while (!signal.aborted) {
    const mine = caches.nodes.list().filter((node) => node.metadata.labels?.[labels.virtualNode] === 'true');
    const named = new Set(caches.peerings.list().map((peering) => peering.spec.nodeName));
    const wanted = mine.filter((node) => named.has(node.metadata.name));
    const results: PromiseSettledResult<void>[] = [];
    for (let first = 0; first < wanted.length; first += leasesAtOnce) {
      const some = wanted.slice(first, first + leasesAtOnce);
      results.push(
        ...(await Promise.allSettled(some.map((node) => renewLease(kube, node, clock.now(), signal)))),
      );
    }
    for (const result of results) {
      if (result.status === 'rejected' && !signal.aborted) {
        log.warn('failed to renew the lease of a virtual node', { error: messageOf(result.reason) });
      }
    }
    await sleep(renewMilliseconds, signal, clock);
  }
}
