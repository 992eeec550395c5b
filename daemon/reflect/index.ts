/** Reflects the objects that pods use into each twin namespace: ConfigMaps, Secrets, Services and their EndpointSlices. */
import type { AddressMapping, Tunnel } from '../../shared/api/network.ts';
import { labels } from '../../shared/names.ts';
import {
  applyStatus,
  from,
  isForbidden,
  isInvalid,
  isQuotaUnknown,
  kind,
  messageOf,
  commonOptions,
  runController,
  triggers,
  type AnyObject,
  type ControllerContext,
  type Informer,
  type KindRef,
} from '../kube/index.ts';
import { fromRemoteObjects, fromRemotes, remoteClients } from '../peers/remote.ts';
import { boundNamespace, twinOf, twinsOf } from '../peers/twin-namespaces.ts';
import type { ConfigMap, EndpointSlice, Namespace, Secret, Service } from '../../shared/kube/types.ts';
import { fromAspect } from '../kube/relevant-changes.ts';
import { offloadedNamespaces } from '../peers/offloaded.ts';
import { fromVirtualPods, virtualPods } from '../peers/virtual-pods.ts';
import { translatorFor } from './addresses.ts';
import {
  reflectedConfigMap,
  reflectedSecret,
  reflectedService,
  reflectedSlice,
  serviceOf,
  type Target,
} from './objects.ts';
import { planReflection, type Reflected } from './plan.ts';
import { runPolicyReflection } from './policies-controller.ts';
import { createProblems } from './problems.ts';
import { fieldManager, applyReflectionPlan } from './apply-plan.ts';
import { fromReflected, fromTranslations, keysOfRemote } from './sources.ts';
import { usedBy } from './used.ts';

/** The one NamespaceOffloading of a namespace. */
const offloadingName = 'offloading';
const reflectedOnly = `${labels.reflected}=true`;
const reflectedKinds = [kind.configMap, kind.secret, kind.service, kind.endpointSlice] as const;

/** Runs until the signal is aborted. Keys are `peering/namespace`. */
export async function runReflection(context: ControllerContext, signal: AbortSignal): Promise<void> {
  const remotes = remoteClients(context, signal);
  const pods = virtualPods(context);
  const peerings = context.informer(kind.outgoingPeering);
  const tunnels = context.informer(kind.tunnel);
  const addressMappings = context.informer(kind.addressMapping);
  const namespaces = context.informer(kind.namespace);
  const localClusters = context.informer(kind.localCluster);
  const offloadings = context.informer(kind.namespaceOffloading);
  const nodes = context.informer(kind.node);
  const isOffloaded = offloadedNamespaces(context);
  const problems = createProblems();
  const changed = triggers();
  const log = context.log.with({ feature: 'reflect' });

  const keysOf = (namespace: string | undefined) =>
    namespace === undefined ? [] : remotes.list().map((remote) => `${remote.peering}/${namespace}`);
  const allKeys = () => remotes.list().flatMap(keysOfRemote);

  /** Caches of a namespace's objects here; created when it is first offloaded. */
  const sources = new Map<string, NamespaceSources>();
  const sourcesOf = (namespace: string): NamespaceSources => {
    const present = sources.get(namespace);
    if (present !== undefined) return present;
    const made = {
      configMaps: context.informer(kind.configMap, { namespace }),
      secrets: context.informer(kind.secret, { namespace }),
      services: context.informer(kind.service, { namespace }),
      slices: context.informer(kind.endpointSlice, { namespace }),
    };
    sources.set(namespace, made);
    for (const informer of Object.values(made) as Informer[]) {
      const enqueueAll = () => {
        for (const key of keysOf(namespace)) changed.trigger(key);
      };
      informer.onChange(enqueueAll);
      informer.synced(signal).then(enqueueAll, () => undefined);
    }
    return made;
  };

  async function reconcile(key: string, limited: AbortSignal): Promise<void> {
    const [peeringName = '', namespace = ''] = key.split('/');
    const peering = peerings.byKey(peeringName);
    const remote = remotes.get(peeringName);
    const consumer = localClusters.get(undefined, 'self')?.status?.clusterID;
    if (peering === undefined || remote === undefined || consumer === undefined) return;
    if (!twinsOf(remote).hasSynced) return;
    const uid = namespaces.get(undefined, namespace)?.metadata.uid;
    const twin = boundNamespace(twinOf(remote, namespace), uid);
    // Reflected objects are deleted with the twin namespace. A twin that only the provider lists receives no objects.
    if (twin === undefined || !isOffloaded(namespace, peering.spec.nodeName)) {
      problems.set(key, undefined);
      return;
    }
    const here = sourcesOf(namespace);
    const there = reflectedKinds.map((each) =>
      remote.informer<Reflected>(each as unknown as KindRef<Reflected>, {
        namespace: twin,
        labelSelector: reflectedOnly,
      }),
    );
    const complete = [...(Object.values(here) as Informer[]), ...there].every(
      (informer) => informer.hasSynced,
    );
    if (!complete || !pods.hasSynced(peering.spec.nodeName)) return;
    const tunnel = tunnels.get(undefined, peering.spec.remoteCluster);
    const wanted = desiredObjects(
      { namespace: twin, consumer, source: namespace },
      here,
      pods.listOn(peering.spec.nodeName).filter((pod) => pod.metadata.namespace === namespace),
      tunnel,
      tunnels.list().filter((each) => each !== tunnel),
      addressMappings.list(),
    );
    const present = there.flatMap((informer) => informer.list());
    // Without a tunnel the addresses of endpoints at the provider are unknown, so its slices stay unchanged.
    const compared = tunnel === undefined ? present.filter((each) => each.kind !== 'EndpointSlice') : present;
    let problem: unknown;
    try {
      await applyReflectionPlan(remote, planReflection(wanted, compared), log, limited);
    } catch (error) {
      if (limited.aborted) throw error;
      problem = error;
    }
    // An unreachable provider is reported on its peering.
    problems.set(
      key,
      (isForbidden(problem) && !isQuotaUnknown(problem)) || isInvalid(problem)
        ? messageOf(problem)
        : undefined,
    );
    await reportProblems(namespace, limited);
    if (problem !== undefined) throw problem;
  }

  async function reportProblems(namespace: string, limited: AbortSignal): Promise<void> {
    const object = offloadings.get(namespace, offloadingName);
    if (object === undefined || object.metadata.deletionTimestamp !== undefined) return;
    const findings = [problems.finding(namespace)];
    await applyStatus(
      {
        kube: context.kube,
        fieldManager,
        object,
        findings,
        now: context.clock.now(),
        events: context.events,
      },
      limited,
    );
  }

  const objects = runController(
    {
      name: 'reflection',
      sources: [
        changed,
        ...fromTranslations(tunnels, addressMappings, allKeys, ({ spec }) => keysOf(spec.pod.namespace)),
        from(localClusters, allKeys),
        fromAspect(
          offloadings,
          ({ spec, metadata }) => [spec.clusterSelector, metadata.deletionTimestamp],
          ({ metadata }) => keysOf(metadata.namespace),
        ),
        fromAspect(
          nodes,
          ({ metadata }) => metadata.labels,
          ({ metadata }) => (metadata.labels?.[labels.virtualNode] === 'true' ? allKeys() : []),
        ),
        from(namespaces, (namespace: Namespace) => keysOf(namespace.metadata.name)),
        fromVirtualPods(pods, (pod) => keysOf(pod.metadata.namespace)),
        fromRemotes(remotes, (name) => keysOfRemote(remotes.get(name))),
        fromRemoteObjects(remotes, kind.twinNamespace, (remote, twin) => [
          `${remote.peering}/${twin.spec.sourceNamespace}`,
        ]),
        ...reflectedKinds.map((each) => fromReflected(remotes, each as KindRef)),
      ],
      reconcile,
      ...commonOptions(context),
    },
    signal,
  );
  await Promise.all([objects, runPolicyReflection(context, signal)]);
}

interface NamespaceSources {
  configMaps: Informer<ConfigMap>;
  secrets: Informer<Secret>;
  services: Informer<Service>;
  slices: Informer<EndpointSlice>;
}

/** Everything that should be in the twin namespace. */
function desiredObjects(
  target: Target,
  here: NamespaceSources,
  pods: Parameters<typeof usedBy>[0],
  tunnel: Tunnel | undefined,
  others: readonly Tunnel[],
  addressMappings: readonly AddressMapping[],
): Reflected[] {
  const used = usedBy(pods);
  const live = <T extends AnyObject>(informer: Informer<T>): T[] =>
    informer.listIn(target.source).filter((each) => each.metadata.deletionTimestamp === undefined);
  const services = live(here.services).flatMap((service) => reflectedService(service, target) ?? []);
  const names = new Set(services.map((service) => service.metadata.name));
  const translate = tunnel === undefined ? undefined : translatorFor(tunnel, others, addressMappings);
  return [
    ...live(here.configMaps)
      .filter((each) => used.configMaps.has(each.metadata.name))
      .map((each) => reflectedConfigMap(each, target)),
    ...live(here.secrets)
      .filter((each) => used.secrets.has(each.metadata.name))
      .flatMap((each) => reflectedSecret(each, target) ?? []),
    ...services,
    ...(translate === undefined
      ? []
      : live(here.slices)
          .filter((slice) => names.has(serviceOf(slice) ?? ''))
          .flatMap((slice) => reflectedSlice(slice, target, translate) ?? [])),
  ];
}
