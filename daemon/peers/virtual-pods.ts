/** The pods on this cluster's virtual nodes, watched per node, so that a large cluster's other pods need no memory. */
import type { OutgoingPeering } from '../../shared/api/peerings.ts';
import type { ControllerContext } from '../kube/context.ts';
import type { Source } from '../kube/controller.ts';
import type { Informer } from '../../shared/kube/informer.ts';
import { keyOf, kind } from '../../shared/kube/refs.ts';
import type { Pod } from '../../shared/kube/types.ts';

export type PodChange = (pod: Pod | undefined, previous: Pod | undefined) => void;

export interface VirtualPods {
  get(namespace: string, name: string): Pod | undefined;
  list(): readonly Pod[];
  listIn(namespace: string): readonly Pod[];
  listOn(nodeName: string): readonly Pod[];
  /** Pods with this address in their status. */
  byAddress(address: string): readonly Pod[];
  onChange(handler: PodChange): () => void;
  /** Resolves when the pods of every virtual node have been listed. */
  synced(signal: AbortSignal): Promise<void>;
  /** Whether the pods of that node have been listed. */
  hasSynced(nodeName: string): boolean;
}

const shared = new WeakMap<ControllerContext, VirtualPods>();

/** The virtual pods of this process; the first call creates them, and they live as long as the context's informers. */
export function virtualPods(context: ControllerContext): VirtualPods {
  const present = shared.get(context);
  if (present !== undefined) return present;
  const made = createVirtualPods(context);
  shared.set(context, made);
  return made;
}

/** Keys for a controller from changes of virtual pods; by default the key of the pod. */
export function fromVirtualPods(
  pods: VirtualPods,
  keys: (pod: Pod) => readonly string[] = (pod) => [keyOf(pod)],
): Source {
  return {
    subscribe: (enqueue) =>
      pods.onChange((pod, previous) => {
        for (const each of [pod, previous]) {
          if (each === undefined) continue;
          for (const key of keys(each)) enqueue(key);
        }
      }),
    synced: (signal) => pods.synced(signal),
  };
}

function createVirtualPods(context: ControllerContext): VirtualPods {
  const peerings = context.informer<OutgoingPeering>(kind.outgoingPeering);
  const byNode = new Map<string, Informer<Pod>>();
  const byAddress = new Map<string, Map<string, Pod>>();
  const handlers = new Set<PodChange>();

  const addressesOf = (pod: Pod | undefined) => (pod?.status?.podIPs ?? []).map((each) => each.ip);
  const index = (pod: Pod | undefined, previous: Pod | undefined) => {
    const key = keyOf((pod ?? previous)!);
    for (const address of addressesOf(previous)) {
      const holders = byAddress.get(address);
      holders?.delete(key);
      if (holders?.size === 0) byAddress.delete(address);
    }
    for (const address of addressesOf(pod)) {
      const holders = byAddress.get(address) ?? new Map<string, Pod>();
      holders.set(key, pod!);
      byAddress.set(address, holders);
    }
  };
  const follow = (nodeName: string) => {
    if (byNode.has(nodeName)) return;
    const informer = context.informer(kind.pod, { fieldSelector: `spec.nodeName=${nodeName}` });
    byNode.set(nodeName, informer);
    informer.onChange((_key, pod, previous) => {
      index(pod, previous);
      for (const handler of handlers) handler(pod, previous);
    });
  };
  peerings.onChange((_key, peering) => {
    if (peering !== undefined) follow(peering.spec.nodeName);
  });

  const list = () => [...byNode.values()].flatMap((informer) => informer.list());
  return {
    get(namespace, name) {
      for (const informer of byNode.values()) {
        const pod = informer.get(namespace, name);
        if (pod !== undefined) return pod;
      }
      return undefined;
    },
    list,
    listIn: (namespace) => list().filter((pod) => pod.metadata.namespace === namespace),
    listOn: (nodeName) => byNode.get(nodeName)?.list() ?? [],
    byAddress: (address) => [...(byAddress.get(address)?.values() ?? [])],
    onChange(handler) {
      handlers.add(handler);
      for (const pod of list()) handler(pod, undefined);
      return () => handlers.delete(handler);
    },
    async synced(signal) {
      await peerings.synced(signal);
      await Promise.all([...byNode.values()].map((informer) => informer.synced(signal)));
    },
    hasSynced: (nodeName) => byNode.get(nodeName)?.hasSynced ?? false,
  };
}
