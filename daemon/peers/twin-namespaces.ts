/** Twin namespaces at the providers, as seen by this consumer. */
import type { TwinNamespace } from '../../shared/api/offloading.ts';
import type { ShadowPolicy } from '../../shared/api/policies.ts';
import { isTrue } from '../../shared/conditions.ts';
import { labels } from '../../shared/names.ts';
import type { Informer } from '../../shared/kube/informer.ts';
import { kind } from '../../shared/kube/refs.ts';
import type { Remote } from './remote.ts';

/** The cache of a provider's TwinNamespaces for this cluster. */
export function twinsOf(remote: Remote): Informer<TwinNamespace> {
  return remote.informer(kind.twinNamespace, { namespace: remote.tenantNamespace });
}

/** The TwinNamespace of a namespace at a provider: it has the namespace's own name. */
export function twinOf(remote: Remote, namespace: string): TwinNamespace | undefined {
  return twinsOf(remote).get(remote.tenantNamespace, namespace);
}

/** Name of the bound namespace there; undefined unless it is bound to exactly this namespace. */
export function boundNamespace(
  twin: TwinNamespace | undefined,
  sourceUID: string | undefined,
): string | undefined {
  if (twin === undefined || twin.metadata.deletionTimestamp !== undefined) return undefined;
  if (!isTrue(twin.status?.conditions, 'Bound')) return undefined;
  return twin.spec.sourceUID === sourceUID ? twin.status?.namespace : undefined;
}

/** The cache of the ShadowPolicies in a twin namespace. */
export function shadowPoliciesOf(remote: Remote, namespace: string): Informer<ShadowPolicy> {
  return remote.informer(kind.shadowPolicy, { namespace, labelSelector: `${labels.reflected}=true` });
}

/** All bound twin namespaces of a provider, with the namespace here and the one there. */
export function boundTwins(remote: Remote): { source: string; sourceUID: string; namespace: string }[] {
  return twinsOf(remote)
    .list()
    .flatMap((twin) => {
      const namespace = boundNamespace(twin, twin.spec.sourceUID);
      const { sourceNamespace: source, sourceUID } = twin.spec;
      return namespace === undefined ? [] : [{ source, sourceUID, namespace }];
    });
}

/** The namespace here that a namespace at the provider stands for. */
export function sourceOf(remote: Remote, namespace: string | undefined): string | undefined {
  return twinsOf(remote)
    .list()
    .find((twin) => twin.status?.namespace === namespace)?.spec.sourceNamespace;
}
