/** Finds the provider that runs a pod, and the pod's name there. */
import type { OutgoingPeering } from '../../shared/api/peerings.ts';
import { kind, type ControllerContext, type Informer } from '../kube/index.ts';
import { remoteClients, type Remote, type RemoteClients } from '../peers/remote.ts';
import { boundNamespace, twinOf, twinsOf } from '../peers/twin-namespaces.ts';
import type { Namespace, Pod } from '../../shared/kube/types.ts';
import { virtualPods, type VirtualPods } from '../peers/virtual-pods.ts';
import { RouteError, type PodRoute } from './routes.ts';

export interface Places {
  pods: VirtualPods;
  peerings: Informer<OutgoingPeering>;
  namespaces: Informer<Namespace>;
  remotes: RemoteClients;
}

export interface Place {
  remote: Remote;
  /** Namespace at the provider. */
  namespace: string;
  /** Name of the pod there. */
  pod: string;
}

/** Starts the informers. */
export function createPlaces(context: ControllerContext, signal: AbortSignal): Places {
  return {
    pods: virtualPods(context),
    peerings: context.informer(kind.outgoingPeering),
    namespaces: context.informer(kind.namespace),
    remotes: remoteClients(context, signal),
  };
}

/** The pod of a route; undefined when it is not on a virtual node. */
export function podOf(places: Places, route: PodRoute): Pod | undefined {
  const pod = places.pods.get(route.namespace, route.pod);
  return route.uid === undefined || pod?.metadata.uid === route.uid ? pod : undefined;
}

/** Where the pod runs. @throws RouteError 404 or 503 with a message for the user */
export function placeOf(places: Places, pod: Pod): Place {
  const peering = places.peerings.list().find((each) => each.spec.nodeName === pod.spec?.nodeName);
  const remote = peering === undefined ? undefined : places.remotes.get(peering.metadata.name);
  if (peering === undefined || remote === undefined) {
    throw new RouteError(
      503,
      `no identity has been issued by the provider of node ${pod.spec?.nodeName ?? ''}`,
    );
  }
  const source = pod.metadata.namespace ?? '';
  const namespaceUID = places.namespaces.get(undefined, source)?.metadata.uid;
  const twin = twinsOf(remote).hasSynced ? boundNamespace(twinOf(remote, source), namespaceUID) : undefined;
  if (twin === undefined) {
    throw new RouteError(
      503,
      `namespace ${source} has no twin namespace at ${peering.spec.remoteCluster} now`,
    );
  }
  const shadow = remote.informer(kind.shadowPod, { namespace: twin }).get(twin, pod.metadata.name);
  if (shadow !== undefined && shadow.spec.podUID !== pod.metadata.uid) {
    throw new RouteError(404, `${peering.spec.remoteCluster} is still ending an earlier pod of this name`);
  }
  return { remote, namespace: twin, pod: shadow?.status?.podName ?? pod.metadata.name };
}
