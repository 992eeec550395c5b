/** Total size of the objects of each twin namespace, as JSON bytes. Their contents are not kept. */
import type { IncomingPeering } from '../../shared/api/peerings.ts';
import { labels } from '../../shared/names.ts';
import type { ControllerContext } from '../kube/context.ts';
import type { Informer } from '../../shared/kube/informer.ts';
import { kind, type AnyObject, type KindRef } from '../../shared/kube/refs.ts';
import type { Caches } from './caches.ts';
import { tenantNamespaceOf } from './names.ts';
import type { Restraints } from './restraints.ts';
import { namespacesOf } from './revocation.ts';

export interface ByteCount {
  /** Bytes of one namespace. */
  in(namespace: string): number;
  /** Calls back with the namespace whenever its sum has changed. */
  onChange(handler: (namespace: string) => void): void;
  /** The counted objects' metadata, for other uses. */
  informers: readonly Informer[];
  synced(signal: AbortSignal): Promise<void>;
}

const bytesOf = (object: AnyObject): number => Buffer.byteLength(JSON.stringify(object));

/**
 * Starts counting.
 *
 * @param whole informers of kinds whose content is read elsewhere; of the others only metadata is kept
 */
export function createByteCount(context: ControllerContext, whole: readonly Informer[]): ByteCount {
  const sums = new Map<string, number>();
  const sizes = new WeakMap<AnyObject, number>();
  const handlers = new Set<(namespace: string) => void>();
  const weighed = <T extends AnyObject>(of: KindRef<T>) =>
    context.informer(of, {
      labelSelector: `${labels.reflected}=true`,
      transform: {
        name: 'weighed',
        apply: (object) => {
          const { apiVersion, kind: name, metadata } = object;
          const light = { apiVersion, kind: name, metadata } as T;
          sizes.set(light, bytesOf(object));
          return light;
        },
      },
    });
  const sizeOf = (object: AnyObject | undefined): number => {
    if (object === undefined) return 0;
    const known = sizes.get(object) ?? bytesOf(object);
    sizes.set(object, known);
    return known;
  };
  const light = [weighed(kind.configMap), weighed(kind.secret), weighed(kind.service)] as Informer[];
  for (const informer of [...whole, ...light]) {
    informer.onChange((_key, object, previous) => {
      const namespace = (object ?? previous)?.metadata.namespace ?? '';
      const difference = sizeOf(object) - sizeOf(previous);
      if (difference === 0) return;
      const sum = (sums.get(namespace) ?? 0) + difference;
      if (sum > 0) sums.set(namespace, sum);
      else sums.delete(namespace);
      for (const handler of handlers) handler(namespace);
    });
  }
  return {
    in: (namespace) => sums.get(namespace) ?? 0,
    onChange: (handler) => void handlers.add(handler),
    informers: [...whole, ...light],
    async synced(signal) {
      await Promise.all(light.map((informer) => informer.synced(signal)));
    },
  };
}

/** Starts comparing the objects of every consumer with its budget. */
export function weighTenants(
  caches: Pick<Caches, 'incoming' | 'namespaces' | 'peeringOfTenant' | 'peeringOfTwin'>,
  bytes: ByteCount,
  restraints: Pick<Restraints, 'weigh'>,
): void {
  const weigh = (peering: IncomingPeering | undefined) => {
    if (peering === undefined) return;
    const namespaces = new Set([tenantNamespaceOf(peering), ...namespacesOf(caches, peering)]);
    let sum = 0;
    for (const namespace of namespaces) sum += bytes.in(namespace);
    restraints.weigh(peering, sum);
  };
  bytes.onChange((namespace) =>
    weigh(caches.peeringOfTwin(caches.namespaces.byKey(namespace)) ?? caches.peeringOfTenant(namespace)),
  );
  caches.incoming.onChange((_key, peering) => weigh(peering));
  caches.namespaces.onChange((_key, namespace) => weigh(caches.peeringOfTwin(namespace)));
}
