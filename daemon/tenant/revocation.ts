/**
 * Revokes a consumer. Deleting the identity Secret invalidates its tokens, but an API server accepts a cached token for some
 * more seconds; deleting the role bindings, which it watches, removes all rights at once.
 */
import type { IncomingPeering } from '../../shared/api/peerings.ts';
import { labels } from '../../shared/names.ts';
import type { KubeClient } from '../../shared/kube/client.ts';
import { kind } from '../../shared/kube/refs.ts';
import { consumerRole, identitySecret, ownerAnnotation, tenantNamespaceOf } from './names.ts';
import type { Caches } from './caches.ts';

/** Namespaces in which the consumer of a peering has rights, from labels that only this controller writes. */
export function namespacesOf(caches: Pick<Caches, 'namespaces'>, peering: IncomingPeering): string[] {
  return caches.namespaces
    .list()
    .filter(
      ({ metadata }) =>
        metadata.labels?.[labels.peering] === peering.metadata.name.slice(0, 63) &&
        metadata.annotations?.[ownerAnnotation] !== undefined,
    )
    .map(({ metadata }) => metadata.name);
}

/** Removes tokens and rights in all of its namespaces concurrently. Succeeds for objects that do not exist. */
export async function putOut(
  kube: Pick<KubeClient, 'delete'>,
  peering: IncomingPeering,
  namespaces: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const tenant = tenantNamespaceOf(peering);
  await Promise.all([
    kube.delete({ kind: kind.secret, namespace: tenant, name: identitySecret }, {}, signal),
    takeRights(kube, [...new Set([tenant, ...namespaces])], signal),
  ]);
}

/** Removes the consumer's rights in these namespaces. */
export async function takeRights(
  kube: Pick<KubeClient, 'delete'>,
  namespaces: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  await Promise.all(
    namespaces.map((namespace) =>
      kube.delete({ kind: kind.roleBinding, namespace, name: consumerRole }, {}, signal),
    ),
  );
}
