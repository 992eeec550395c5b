/** Reconciles pods on virtual nodes: manages their records at the provider, and writes the reported status. */
import type { ShadowPod, TwinNamespace } from '../../shared/api/offloading.ts';
import type { OutgoingPeering } from '../../shared/api/peerings.ts';
import { findCondition, isTrue } from '../../shared/conditions.ts';
import { isFinished } from '../../shared/kube/pod-phase.ts';
import {
  from,
  isNotFound,
  keyOf,
  kind,
  refOf,
  commonOptions,
  runController,
  splitKey,
  type Result,
} from '../kube/index.ts';
import { fromAspect } from '../kube/relevant-changes.ts';
import { fromRemoteObjects, fromRemotes, type Remote } from '../peers/remote.ts';
import { boundNamespace, boundTwins, sourceOf, twinOf, twinsOf } from '../peers/twin-namespaces.ts';
import { fromVirtualPods } from '../peers/virtual-pods.ts';
import type { Node, Pod, PodStatus } from '../../shared/kube/types.ts';
import { offloadingName } from './offloading.ts';
import { dropFinishedRecords, finishedKept } from './finished-records.ts';
import { planPod } from './pod-plan.ts';
import { offloadedCondition, offloadedReasons } from './pod-conditions.ts';
import { finalPodStatus, localPodStatus, type Blocker, type StatusInput } from './pod-status.ts';
import { podStatusDiffers } from './pod-status-difference.ts';
import {
  createShadow,
  deleteShadow,
  finishDeletion,
  noteGrace,
  removeOrphan,
  resumeShadow,
} from './pod-records.ts';
import { createLastRecords, type LastRecords } from './last-records.ts';
import { createRefusedPods, refusedStatus, type RefusedPods } from './refused-pods.ts';
import { deletionGrace, desiredShadowPod, ownGrace } from './shadow-pod.ts';
import { fieldManager, ownClusterID, peeringOfNode, type Caches } from './caches.ts';

/** Retry interval for an address that another pod still has, since that pod's end is no event of this one. */
const addressRetryMilliseconds = 1_000;
/** Retry interval for a record refused by quota, since no event reports free quota. */
const fullRetryMilliseconds = 30_000;
/** Maximum number of concurrent reconciles; each waits for two API servers. */
const concurrency = 16;

/** Runs until the signal is aborted. Keys are pods here, `namespace/name`. */
export async function runPods(caches: Caches, signal: AbortSignal): Promise<void> {
  const { context, pods, remotes } = caches;
  const lastRecords = createLastRecords(remotes);
  const refusedPods = createRefusedPods(() => context.clock.monotonic());
  const onNodesOf = (wanted: (peering: OutgoingPeering) => boolean) =>
    caches.peerings
      .list()
      .filter(wanted)
      .flatMap((peering) => pods.listOn(peering.spec.nodeName).map((pod) => keyOf(pod)));
  const inNamespace = (namespace: string | undefined) =>
    namespace === undefined ? [] : pods.listIn(namespace).map((pod) => keyOf(pod));
  await runController(
    {
      name: 'virtual-pods',
      sources: [
        fromVirtualPods(pods),
        from(caches.offloadings, (offloading) => inNamespace(offloading.metadata.namespace)),
        from(caches.namespaces, (namespace) => inNamespace(namespace.metadata.name)),
        from(caches.localClusters, () => onNodesOf(() => true)),
        // When the controller moves, the host address of its pods changes.
        fromAspect(caches.nodes, addressOf, (node) =>
          onNodesOf((peering) => peering.spec.nodeName === node.metadata.name),
        ),
        // The tunnel determines the translation of addresses, and pods are Ready only while packets pass.
        fromAspect(
          caches.tunnels,
          (tunnel) => [tunnel.spec, isTrue(tunnel.status?.conditions, 'PathVerified')],
          (tunnel) => onNodesOf((each) => each.spec.remoteCluster === tunnel.spec.remoteCluster),
        ),
        fromRemotes(remotes, (name) => [
          ...onNodesOf((peering) => peering.metadata.name === name),
          // Records whose pods were deleted while no controller ran.
          ...shadowKeys(remotes.get(name)),
        ]),
        fromRemoteObjects(remotes, kind.twinNamespace, (_remote, twin) =>
          inNamespace(twin.spec.sourceNamespace),
        ),
        fromRemoteObjects(remotes, kind.shadowPod, (remote, shadow) => {
          const source = sourceOf(remote, shadow.metadata.namespace);
          return source === undefined ? [] : [`${source}/${shadow.metadata.name}`];
        }),
      ],
      reconcile: (key, limited) => reconcilePod(caches, lastRecords, refusedPods, key, limited),
      concurrency,
      ...commonOptions(context),
    },
    signal,
  );
}

const addressOf = (node: Node | undefined): string | undefined =>
  node?.status?.addresses?.find((each) => each.type === 'InternalIP')?.address;

/** Keys of all pods that have a record at the remote. */
function shadowKeys(remote: Remote | undefined): string[] {
  if (remote === undefined) return [];
  return boundTwins(remote).flatMap(({ source, namespace }) =>
    remote
      .informer(kind.shadowPod, { namespace })
      .list()
      .map((shadow) => `${source}/${shadow.metadata.name}`),
  );
}

async function reconcilePod(
  caches: Caches,
  lastRecords: LastRecords,
  refusedPods: RefusedPods,
  key: string,
  signal: AbortSignal,
): Promise<Result | void> {
  const { namespace = '', name } = splitKey(key);
  const pod = caches.pods.get(namespace, name);
  const peering = peeringOfNode(caches, pod?.spec?.nodeName);
  // The pod was recreated on another node, or ended while no controller ran: other providers must not keep its record.
  for (const remote of caches.remotes.list()) {
    if (pod === undefined || remote.peering !== peering?.metadata.name) {
      await removeOrphan(caches, remote, namespace, name, signal);
    }
  }
  if (pod === undefined || peering === undefined) return;
  return reconcileOffloadedPod(caches, lastRecords, refusedPods, pod, peering, signal);
}

async function reconcileOffloadedPod(
  caches: Caches,
  lastRecords: LastRecords,
  refusedPods: RefusedPods,
  pod: Pod,
  peering: OutgoingPeering,
  signal: AbortSignal,
): Promise<Result | void> {
  const { events, clock } = caches.context;
  const namespace = pod.metadata.namespace ?? '';
  const remote = caches.remotes.get(peering.metadata.name);
  const target = findTarget(caches, peering, remote, namespace);
  const shadows =
    remote === undefined || target.twin === undefined
      ? undefined
      : remote.informer(kind.shadowPod, { namespace: target.twin });
  const shadow = shadows?.get(target.twin, pod.metadata.name);
  const consumer = ownClusterID(caches);
  const offloading = caches.offloadings.get(namespace, offloadingName);
  const wanted =
    target.twin === undefined || consumer === undefined
      ? undefined
      : desiredShadowPod(pod, target.twin, consumer, offloading?.spec.onDisconnect);
  const node = caches.nodes.get(undefined, peering.spec.nodeName);
  const tunnel = caches.tunnels.get(undefined, peering.spec.remoteCluster);
  const statusInput = (record: ShadowPod | undefined, blocker: Blocker | undefined): StatusInput => ({
    pod,
    shadow: record,
    blocker,
    provider: peering.spec.remoteCluster,
    hostAddress: addressOf(node) ?? caches.context.podIP,
    tunnel: tunnel?.spec,
    pathVerified: isTrue(tunnel?.status?.conditions, 'PathVerified'),
    isTaken: (address) =>
      caches.pods
        .byAddress(address)
        .some(
          (other) =>
            other.metadata.uid !== pod.metadata.uid && other.metadata.deletionTimestamp === undefined,
        ),
    now: clock.now(),
  });
  const action = planPod({
    pod,
    blocker: target.blocker,
    shadow,
    shadowsRead: shadows?.hasSynced ?? false,
    wanted,
    neverOffered: target.neverOffered,
  });
  let full: Blocker | undefined;
  switch (action) {
    case 'CreateShadow':
      if (remote !== undefined && wanted !== undefined)
        full = await createShadow(caches, remote, pod, wanted, signal);
      break;
    case 'UpdateShadow':
      // Replaced, since an apply does not remove fields of a create: a label removed here would stay there.
      if (remote !== undefined && wanted !== undefined && shadow !== undefined)
        await remote.client.replace({ ...shadow, spec: wanted.spec }, { fieldManager }, signal);
      break;
    case 'ResumeShadow':
      if (remote !== undefined && shadow !== undefined) await resumeShadow(remote, shadow, signal);
      break;
    case 'DeleteShadow':
      if (remote !== undefined && shadow !== undefined)
        await deleteShadow(remote, shadow, deletionGrace(pod), signal);
      break;
    case 'ShortenGrace':
      if (remote !== undefined && shadow !== undefined)
        await noteGrace(remote, shadow, deletionGrace(pod) ?? ownGrace(pod), signal);
      break;
    case 'FollowDeletion':
      events.emit(
        pod,
        'Warning',
        'NodeLostAtProvider',
        `The node at ${peering.spec.remoteCluster} that runs this pod does not respond; the pod is deleted, so that its controller creates another`,
      );
      await caches.context.kube.delete(refOf(pod), { uid: pod.metadata.uid ?? '' }, signal);
      break;
    case 'FinishDeletion': {
      const last = finalPodStatus(statusInput(lastRecords.of(pod.metadata.uid), undefined));
      if (last !== undefined && podStatusDiffers(pod.status, last))
        await applyPodStatus(caches, pod, last, signal);
      return finishDeletion(caches, pod, remote, target.twin, signal);
    }
    case 'None':
  }
  if (remote !== undefined && target.twin !== undefined && (full !== undefined || isFinished(pod))) {
    const room =
      full === undefined
        ? { twins: boundTwins(remote), keep: finishedKept(peering.status?.grant) }
        : { twins: [{ source: namespace, namespace: target.twin }], keep: undefined };
    await dropFinishedRecords(caches, remote, room, signal);
  }
  // Right after a start the provider's caches have not synced, so the previous status stays.
  const read =
    remote !== undefined && twinsOf(remote).hasSynced && (shadows === undefined || shadows.hasSynced);
  if (!read && pod.status?.conditions?.some((each) => each.type === offloadedCondition)) return;
  // A record deleted by others is recreated with its pod, so its final status is not that of this pod.
  const replaced =
    shadow?.metadata.deletionTimestamp !== undefined && pod.metadata.deletionTimestamp === undefined;
  const record = shadow?.spec.podUID === pod.metadata.uid && !replaced ? shadow : undefined;
  const reported = localPodStatus(statusInput(record, target.blocker ?? full));
  const refused = refusal(caches, refusedPods, pod, reported, record);
  const status = refused?.fail === true && reported !== undefined ? refusedStatus(reported) : reported;
  const later = refused?.fail === false ? refused.againAfter : undefined;
  const delay = Math.min(full === undefined ? Infinity : fullRetryMilliseconds, later ?? Infinity);
  const again = Number.isFinite(delay) ? { requeueAfterMilliseconds: delay + 10 } : undefined;
  if (status === undefined || !podStatusDiffers(pod.status, status)) return again;
  await applyPodStatus(caches, pod, status, signal);
  const condition = status.conditions?.find((each) => each.type === offloadedCondition);
  const before = pod.status?.conditions?.find((each) => each.type === offloadedCondition);
  const worse = condition?.status === 'False' && condition.reason !== offloadedReasons.waiting;
  if (condition?.reason !== before?.reason && worse) {
    const type = condition.reason === offloadedReasons.notRun ? 'Normal' : 'Warning';
    events.emit(pod, type, condition.reason ?? '', condition.message ?? '');
    if (condition.reason === offloadedReasons.badAddress)
      caches.context.metrics?.refused(peering.spec.remoteCluster, 'PodAddress');
  } else if (condition?.status === 'True' && before?.status !== 'True') {
    events.emit(pod, 'Normal', 'Offloaded', condition.message ?? '');
  }
  if (condition?.reason === offloadedReasons.badAddress)
    return { requeueAfterMilliseconds: addressRetryMilliseconds };
  return again;
}

/** The handling of a pod that never ran and that the provider refuses; undefined: it is not refused. */
function refusal(
  caches: Caches,
  refusedPods: RefusedPods,
  pod: Pod,
  status: PodStatus | undefined,
  record: ShadowPod | undefined,
): ReturnType<RefusedPods['plan']> | undefined {
  const refused =
    status?.phase === 'Pending' &&
    status.reason === offloadedReasons.refused &&
    record?.status?.podUID === undefined &&
    pod.metadata.deletionTimestamp === undefined;
  if (!refused) {
    refusedPods.forget(pod);
    return undefined;
  }
  const reason = findCondition(record?.status?.conditions, 'Admitted')?.reason;
  return refusedPods.plan(pod, reason, caches.pods.listIn(pod.metadata.namespace ?? ''));
}

interface TargetNamespace {
  /** Namespace at the provider, once it is bound. */
  twin: string | undefined;
  blocker: Blocker | undefined;
  neverOffered: boolean;
}

/** The target namespace of pods at the provider, or why there is none. */
function findTarget(
  caches: Caches,
  peering: OutgoingPeering,
  remote: Remote | undefined,
  namespace: string,
): TargetNamespace {
  const offloading = caches.offloadings.get(namespace, offloadingName);
  const provider = peering.spec.remoteCluster;
  const twin: TwinNamespace | undefined =
    remote === undefined || !twinsOf(remote).hasSynced ? undefined : twinOf(remote, namespace);
  const uid = caches.namespaces.get(undefined, namespace)?.metadata.uid;
  const bound = boundNamespace(twin, uid);
  if (offloading === undefined) {
    return {
      twin: bound,
      blocker: {
        reason: offloadedReasons.notOffloaded,
        message: `Namespace ${namespace} is not offloaded, so this pod can't run on ${provider}. Offload it (hawser offload namespace ${namespace}), or remove the pod's toleration of the node's taint.`,
      },
      neverOffered: bound === undefined,
    };
  }
  if (bound !== undefined) return { twin: bound, blocker: undefined, neverOffered: false };
  const said = offloading.status?.remotes?.find((each) => each.peering === peering.metadata.name);
  const why = findCondition(said?.conditions, 'Bound')?.message ?? 'the provider has not been contacted yet';
  return {
    twin: undefined,
    blocker: {
      reason: offloadedReasons.twinPending,
      message: `Namespace ${namespace} has no twin namespace at ${provider} yet: ${why}`,
    },
    // Without a twin namespace there was never a record, provided that the provider's caches have synced.
    neverOffered: remote !== undefined && twinsOf(remote).hasSynced && twin === undefined,
  };
}

async function applyPodStatus(
  caches: Caches,
  pod: Pod,
  status: PodStatus,
  signal: AbortSignal,
): Promise<void> {
  const { name, namespace, uid } = pod.metadata;
  try {
    await caches.context.kube.apply<Pod>(
      {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name, ...(namespace !== undefined && { namespace }), ...(uid !== undefined && { uid }) },
        status,
      },
      { fieldManager, subresource: 'status' },
      signal,
    );
  } catch (error) {
    if (isNotFound(error)) return;
    throw error;
  }
}
