/** Reflects the network policies of offloaded namespaces into their twin namespaces, and tracks the pods that they select. */
import { labels } from '../../shared/names.ts';
import { parseMappings, realHost } from '../../shared/net/address-mapping.ts';
import { tryParseHost } from '../../shared/net/cidr.ts';
import {
  from,
  isForbidden,
  isNotFound,
  kind,
  commonOptions,
  runController,
  triggers,
  type ControllerContext,
  type Informer,
} from '../kube/index.ts';
import { fromAspect } from '../kube/relevant-changes.ts';
import { fromRemoteObjects, fromRemotes, remoteClients, type Remote } from '../peers/remote.ts';
import { boundNamespace, boundTwins, shadowPoliciesOf, twinOf, twinsOf } from '../peers/twin-namespaces.ts';
import { offloadedNamespaces } from '../peers/offloaded.ts';
import type { Namespace, NetworkPolicy, Pod } from '../../shared/kube/types.ts';
import { translatorFor } from './addresses.ts';
import { planReflection } from './plan.ts';
import { shadowPolicy, type PolicyView } from './policies.ts';
import { rangesInView } from './policy-blocks.ts';
import { applyReflectionPlan } from './apply-plan.ts';
import { fromReflected, fromTranslations, keysOfRemote } from './sources.ts';

/** Runs until the signal is aborted. Keys are `peering/namespace`. */
export async function runPolicyReflection(context: ControllerContext, signal: AbortSignal): Promise<void> {
  const remotes = remoteClients(context, signal);
  const peerings = context.informer(kind.outgoingPeering);
  const tunnels = context.informer(kind.tunnel);
  const addressMappings = context.informer(kind.addressMapping);
  const namespaces = context.informer(kind.namespace);
  const localClusters = context.informer(kind.localCluster);
  const policies = context.informer(kind.networkPolicy);
  const isOffloaded = offloadedNamespaces(context);
  const changed = triggers();
  const log = context.log.with({ feature: 'reflect' });
  /** Twin namespaces, as `peering/twin`, that have or had ShadowPolicies, and whose caches therefore run. */
  const followed = new Set<string>();
  const empty = new Set<string>();

  /** Changes of pods, namespaces and addresses, which affect only policies. */
  const keysWithPolicies = () => {
    const of = new Set(policies.list().map(({ metadata }) => metadata.namespace ?? ''));
    return remotes
      .list()
      .flatMap((remote) => keysOfRemote(remote).filter((key) => of.has(key.split('/')[1] ?? '')));
  };
  const tell = (keys: readonly string[]) => {
    for (const key of keys) changed.trigger(key);
  };

  /** All pods of this cluster, watched from the first reflected policy on. */
  let allPods: Informer<Pod> | undefined;
  const pods = (): Informer<Pod> => {
    if (allPods !== undefined) return allPods;
    const made = context.informer(kind.pod, { transform: { name: 'policy', apply: asPeer } });
    allPods = made;
    made.onChange((_key, pod, previous) => {
      if (peerText(pod) !== peerText(previous)) tell(keysWithPolicies());
    });
    made.synced(signal).then(
      () => tell(keysWithPolicies()),
      () => undefined,
    );
    return made;
  };

  /** Whether the twin namespace has ShadowPolicies from an earlier process; checked once. */
  async function isSwept(remote: Remote, twin: string, limited: AbortSignal): Promise<boolean> {
    const key = `${remote.peering}/${twin}`;
    if (empty.has(key)) return true;
    try {
      const selection = { namespace: twin, labelSelector: `${labels.reflected}=true`, limit: 1 };
      const { items } = await remote.client.list(kind.shadowPolicy, selection, limited);
      if (items.length > 0) return false;
    } catch (error) {
      // A provider without this kind has no such objects.
      if (!isNotFound(error) && !isForbidden(error)) throw error;
    }
    empty.add(key);
    return true;
  }

  function viewOf(remote: Remote, remoteCluster: string, nodeName: string): PolicyView | undefined {
    const tunnel = tunnels.get(undefined, remoteCluster);
    if (tunnel === undefined || !pods().hasSynced) return undefined;
    const others = tunnels.list().filter((each) => each !== tunnel);
    const remaps = parseMappings(tunnel.spec.remaps);
    return {
      namespaces: namespaces.list(),
      pods: pods().list(),
      offloaded: boundTwins(remote)
        .map(({ source }) => source)
        .filter((source) => isOffloaded(source, nodeName)),
      isThere: (address) => {
        const host = tryParseHost(address);
        return host !== undefined && realHost(remaps, host) !== undefined;
      },
      translate: translatorFor(tunnel, others, addressMappings.list()),
      ranges: rangesInView(tunnel, others, localClusters.get(undefined, 'self')?.status),
    };
  }

  async function reconcile(key: string, limited: AbortSignal): Promise<void> {
    const [peeringName = '', namespace = ''] = key.split('/');
    const peering = peerings.byKey(peeringName);
    const remote = remotes.get(peeringName);
    const consumer = localClusters.get(undefined, 'self')?.status?.clusterID;
    if (peering === undefined || remote === undefined || consumer === undefined) return;
    if (!twinsOf(remote).hasSynced) return;
    const uid = namespaces.get(undefined, namespace)?.metadata.uid;
    const twin = boundNamespace(twinOf(remote, namespace), uid);
    if (twin === undefined || !isOffloaded(namespace, peering.spec.nodeName)) return;
    const here = policies
      .listIn(namespace)
      .filter(({ metadata }: NetworkPolicy) => metadata.deletionTimestamp === undefined);
    const known = `${peeringName}/${twin}`;
    if (here.length === 0 && !followed.has(known) && (await isSwept(remote, twin, limited))) return;
    followed.add(known);
    const there = shadowPoliciesOf(remote, twin);
    const view = viewOf(remote, peering.spec.remoteCluster, peering.spec.nodeName);
    if (view === undefined || !there.hasSynced) return;
    const target = { namespace: twin, consumer, source: namespace };
    const wanted = here.map((policy) => shadowPolicy(policy, target, view));
    await applyReflectionPlan(remote, planReflection(wanted, there.list()), log, limited);
  }

  await runController(
    {
      name: 'policy-reflection',
      sources: [
        changed,
        fromAspect(
          policies,
          ({ spec, metadata }) => [spec, metadata.deletionTimestamp],
          ({ metadata }) => remotes.list().map((remote) => `${remote.peering}/${metadata.namespace}`),
        ),
        ...fromTranslations(tunnels, addressMappings, keysWithPolicies),
        fromAspect(
          localClusters,
          ({ status }) => [status?.clusterID, status?.serviceCIDRs, status?.nodeCIDRs],
          keysWithPolicies,
        ),
        fromAspect(
          namespaces,
          ({ metadata }: Namespace) => [metadata.uid, metadata.labels],
          keysWithPolicies,
        ),
        fromAspect(
          context.informer(kind.namespaceOffloading),
          ({ spec, metadata }) => [spec.clusterSelector, metadata.deletionTimestamp],
          keysWithPolicies,
        ),
        from(peerings, (each) => keysOfRemote(remotes.get(each.metadata.name))),
        fromRemotes(remotes, (name) => keysOfRemote(remotes.get(name))),
        // A new twin namespace makes its pods possible peers of policies in others.
        fromRemoteObjects(remotes, kind.twinNamespace, (remote) => keysOfRemote(remote)),
        fromReflected(remotes, kind.shadowPolicy),
      ],
      reconcile,
      ...commonOptions(context),
    },
    signal,
  );
}

/** The aspect of a pod that matters, so that heartbeats are ignored. */
const peerText = (pod: Pod | undefined): string =>
  pod === undefined ? '' : JSON.stringify([pod.metadata.labels, pod.spec, pod.status]);

/** The fields that make a pod a peer, and the version by which changes are detected. */
function asPeer({ apiVersion, kind: name, metadata, spec, status }: Pod): Pod {
  const ports = (list: NonNullable<Pod['spec']>['containers'] | undefined) =>
    list?.map((container) => ({ name: container.name, ports: container['ports'] }));
  return {
    apiVersion,
    kind: name,
    metadata: {
      name: metadata.name,
      ...(metadata.namespace !== undefined && { namespace: metadata.namespace }),
      ...(metadata.uid !== undefined && { uid: metadata.uid }),
      ...(metadata.resourceVersion !== undefined && { resourceVersion: metadata.resourceVersion }),
      ...(metadata.labels !== undefined && { labels: metadata.labels }),
    },
    spec: {
      containers: ports(spec?.containers) ?? [],
      initContainers: ports(spec?.initContainers),
      hostNetwork: spec?.['hostNetwork'],
    },
    status: { phase: status?.phase, podIPs: status?.podIPs },
  } as Pod;
}
