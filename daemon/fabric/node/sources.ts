/** The informers of a node: few, unless it holds a tunnel endpoint. Then it must know every pod of the cluster. */
import type { LocalCluster } from '../../../shared/api/clusters.ts';
import type { FabricNode, AddressMapping, Tunnel } from '../../../shared/api/network.ts';
import type { TwinNamespace } from '../../../shared/api/offloading.ts';
import type { IncomingPeering, OutgoingPeering } from '../../../shared/api/peerings.ts';
import { annotations, labels, secrets } from '../../../shared/names.ts';
import { clusterDNS } from '../../../shared/net/isolation.ts';
import { linked, type Linked } from '../../../shared/time.ts';
import {
  createInformer,
  kind,
  stableText,
  type AnyObject,
  type Informer,
  type InformerOptions,
  type KindRef,
  type KubeClient,
  type Log,
  type Namespace,
  type Node,
  type Pod,
  type Secret,
} from '../../kube/index.ts';
import { trimPod } from './read-input.ts';

/** Informers that start and stop with the node's role. */
export interface NodeSources {
  localClusters: Informer<LocalCluster>;
  fabricNodes: Informer<FabricNode>;
  tunnels: Informer<Tunnel>;
  /** Pods of this node; of all nodes while it is assigned a tunnel endpoint. */
  pods(): Informer<Pod>;
  /** The Node object of this node. */
  node: Informer<Node>;
  /** Pods of consumers on all nodes. */
  tenants(): { tenantNamespaces: readonly Namespace[]; tenantPods: readonly Pod[]; dnsPods: readonly Pod[] };
  /** Only while the node is assigned a tunnel endpoint. */
  gateway(): GatewaySources | undefined;
  /** Starts or stops the informers of a gateway node. */
  setEndpoint(tunnelEndpoint: string | undefined): void;
  /** Whether the informers of every node have synced. */
  hasSynced(): boolean;
  /** Whether the informers of a gateway node have synced. */
  gatewaySynced(): boolean;
  all(): readonly Informer[];
}

export interface GatewaySources {
  tunnelEndpoint: string;
  pods: Informer<Pod>;
  twinNamespaces: Informer<TwinNamespace>;
  incomingPeerings: Informer<IncomingPeering>;
  outgoingPeerings: Informer<OutgoingPeering>;
  addressMappings: Informer<AddressMapping>;
  tunnelKeys: Informer<Secret>;
  endpointKey: Informer<Secret>;
}

export function createNodeSources(
  options: { kube: KubeClient; namespace: string; nodeName: string; log: Log; onChange: () => void },
  signal: AbortSignal,
): NodeSources {
  const { kube, namespace, nodeName, log, onChange } = options;
  const running = new Set<Informer>();

  function start<T extends AnyObject>(
    kindRef: KindRef<T>,
    informerOptions: InformerOptions<T>,
    until: AbortSignal,
    matters: (object: T) => unknown = ({ spec, status, metadata }) => [
      spec,
      status,
      metadata.deletionTimestamp,
    ],
  ): Informer<T> {
    const informer = createInformer(kube, kindRef, { ...informerOptions, log });
    // Others often write fields that no plan depends on.
    informer.onChange((_key, object, previous) => {
      if (object && previous && stableText(matters(object)) === stableText(matters(previous))) return;
      onChange();
    });
    running.add(informer);
    void Promise.all([
      informer.synced(until).then(onChange, () => undefined),
      informer.run(until).finally(() => running.delete(informer)),
    ]);
    return informer;
  }
  const one = (name: string) => ({ namespace, fieldSelector: `metadata.name=${name}` });

  const ownPods = { fieldSelector: `spec.nodeName=${nodeName}`, transform: trimPod };
  let podsOfNode: { informer: Informer<Pod>; stop: Linked } | undefined;
  let gateway: { sources: GatewaySources; stop: Linked } | undefined;
  /** Pods known when the endpoint was released, until this node's own pods are listed: an empty list would lift all isolation. */
  let before: Informer<Pod> | undefined;
  /** Listing the whole cluster's pods takes a moment; those of this node are used until then. */
  const settle = () => {
    if (gateway !== undefined && gateway.sources.pods.hasSynced && podsOfNode !== undefined) {
      podsOfNode.stop.abort();
      podsOfNode = undefined;
    }
  };
  const watchOwnPods = () => {
    if (podsOfNode !== undefined) return;
    const stop = linked(signal);
    podsOfNode = { informer: start(kind.pod, ownPods, stop.signal), stop };
  };
  watchOwnPods();

  const tenantNamespaces = start(
    kind.namespace,
    { labelSelector: labels.originNamespace },
    signal,
    ({ metadata }) => [metadata.labels?.[labels.origin]],
  );
  /** Only in a cluster that has had a consumer: with thousands of nodes, one more watch per node is expensive. */
  let ofTenants: { pods: Informer<Pod>; dns: Informer<Pod> } | undefined;
  tenantNamespaces.onChange(() => {
    ofTenants ??= {
      pods: start(kind.pod, { labelSelector: labels.origin, transform: trimPod }, signal),
      dns: start(
        kind.pod,
        {
          namespace: clusterDNS.namespace,
          labelSelector: selectorText(clusterDNS.labels),
          transform: trimPod,
        },
        signal,
      ),
    };
  });

  const sources: NodeSources = {
    node: start(
      kind.node,
      { fieldSelector: `metadata.name=${nodeName}` },
      signal,
      ({ spec }) => spec?.podCIDRs,
    ),
    tenants: () => ({
      tenantNamespaces: tenantNamespaces.list(),
      tenantPods: ofTenants?.pods.list() ?? [],
      dnsPods: ofTenants?.dns.list() ?? [],
    }),
    localClusters: start(kind.localCluster, {}, signal),
    fabricNodes: start(kind.fabricNode, {}, signal, ({ spec, status, metadata }) => [
      spec,
      status?.publicKey,
      status?.endpoint,
      status?.heldTunnelEndpoint,
      metadata.deletionTimestamp,
      metadata.name === nodeName && metadata.annotations?.[annotations.trace],
    ]),
    tunnels: start(kind.tunnel, {}, signal, ({ spec, metadata }) => [spec, metadata.deletionTimestamp]),
    pods() {
      settle();
      const informer = podsOfNode?.informer ?? (gateway as { sources: GatewaySources }).sources.pods;
      if (informer.hasSynced) before = undefined;
      return before ?? informer;
    },
    gateway: () => gateway?.sources,
    setEndpoint(tunnelEndpoint) {
      if (gateway?.sources.tunnelEndpoint === tunnelEndpoint) return;
      // Before the gateway node's informers stop, so that pods are always known.
      if (gateway?.sources.pods.hasSynced) before = gateway.sources.pods;
      watchOwnPods();
      gateway?.stop.abort();
      gateway = undefined;
      if (tunnelEndpoint === undefined) return;
      const stop = linked(signal);
      const until = stop.signal;
      gateway = {
        stop,
        sources: {
          tunnelEndpoint,
          pods: start(kind.pod, { transform: trimPod }, until),
          twinNamespaces: start(kind.twinNamespace, {}, until),
          incomingPeerings: start(kind.incomingPeering, {}, until),
          outgoingPeerings: start(kind.outgoingPeering, {}, until),
          addressMappings: start(kind.addressMapping, {}, until, ({ spec, metadata }) => [
            spec,
            metadata.deletionTimestamp,
          ]),
          tunnelKeys: start(kind.secret, one(secrets.tunnelKeys), until, ({ data }) => data),
          endpointKey: start(
            kind.secret,
            one(secrets.tunnelEndpoint(tunnelEndpoint)),
            until,
            ({ data }) => data,
          ),
        },
      };
    },
    // Includes the tenants' informers: a first plan without them would lift the isolation that the previous process left.
    hasSynced: () =>
      [
        sources.localClusters,
        sources.fabricNodes,
        sources.tunnels,
        sources.pods(),
        sources.node,
        tenantNamespaces,
        ...Object.values(ofTenants ?? {}),
      ].every((informer) => informer.hasSynced),
    gatewaySynced: () =>
      gateway !== undefined &&
      [
        gateway.sources.pods,
        gateway.sources.twinNamespaces,
        gateway.sources.incomingPeerings,
        gateway.sources.outgoingPeerings,
        gateway.sources.addressMappings,
        gateway.sources.tunnelKeys,
        gateway.sources.endpointKey,
      ].every((informer) => informer.hasSynced),
    all: () => [...running],
  };
  return sources;
}

const selectorText = (labelled: Readonly<Record<string, string>>): string =>
  Object.entries(labelled)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
