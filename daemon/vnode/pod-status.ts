/**
 * The status of an offloaded pod for the consumer. Pure. The provider's report is copied field by field: only known fields of
 * bounded length, and only addresses in its own ranges that no other pod has.
 */
import type { ShadowPod } from '../../shared/api/offloading.ts';
import { findCondition, toSeconds } from '../../shared/conditions.ts';
import { isFinalPhase, isFinished } from '../../shared/kube/pod-phase.ts';
import type { Pod, PodCondition, PodStatus } from '../../shared/kube/types.ts';
import { acceptedAddresses, type AddressInput } from './pod-addresses.ts';
import { carried, offloadedCondition, offloadedReasons } from './pod-conditions.ts';
import { isDaemonPod, neverRuns, standIn } from './daemon-pods.ts';
import { containerStatuses } from './container-status.ts';
import { list, longestMessage, longestReason, record, text, time } from './untrusted.ts';

/** Why the pod is not at the provider, before the provider decides on it. */
export interface Blocker {
  reason: string;
  message: string;
}

export interface StatusInput extends AddressInput {
  /** The record in the twin namespace; undefined while there is none. */
  shadow: ShadowPod | undefined;
  blocker: Blocker | undefined;
  /** InternalIP of the virtual node. */
  hostAddress: string;
  /** Whether packets pass to the provider and back. */
  pathVerified: boolean;
  /** Milliseconds since 1970. */
  now: number;
}

const phases = new Set(['Pending', 'Running', 'Succeeded', 'Failed', 'Unknown']);
/** The kubelet's conditions, in its order. */
export const mirroredConditions = [
  'PodReadyToStartContainers',
  'Initialized',
  'ContainersReady',
  'Ready',
] as const;
const statuses = new Set(['True', 'False', 'Unknown']);
const disruptionTarget = 'DisruptionTarget';

/** The status to apply to the consumer's pod; undefined leaves it unchanged. */
export function localPodStatus(input: StatusInput): PodStatus | undefined {
  const { pod, shadow, now } = input;
  // A final phase never changes (Kubernetes, "Pod phase").
  if (isFinished(pod)) return undefined;
  const remote = record(shadow?.status?.pod);
  // The record is lost or was just recreated: a running pod stays Running until the provider reports otherwise.
  const silent = remote === undefined && input.blocker === undefined;
  if (silent && pod.status?.phase === 'Running') return undefined;
  const host = { hostIP: input.hostAddress, hostIPs: [{ ip: input.hostAddress }] };
  const offloaded = evaluateOffloaded(input, remote);
  if (isDaemonPod(pod) && neverRuns(offloaded.reason)) return standIn(pod, host, offloaded.message, now);
  const own = carried(pod, { type: offloadedCondition, ...offloaded }, now);
  if (remote === undefined || offloaded.reason === offloadedReasons.refused || input.blocker !== undefined) {
    // A running pod stays Running while the provider reports nothing, since a phase never goes back.
    if (pod.status?.phase === 'Running') return stillRunning(pod, host, offloaded, own, now);
    // kubectl shows `reason` in its STATUS column.
    const waits = offloaded.status === 'True' || offloaded.reason === offloadedReasons.waiting;
    return {
      phase: 'Pending',
      ...host,
      ...(!waits && { reason: offloaded.reason, message: offloaded.message }),
      conditions: [own],
    };
  }
  const addresses = acceptedAddresses(input, remote);
  const bad = addresses.problem;
  const condition =
    bad === undefined
      ? own
      : carried(
          pod,
          { type: offloadedCondition, status: 'False', reason: offloadedReasons.badAddress, message: bad },
          now,
        );
  const phase = phaseOf(pod, remote);
  const startTime = time(remote['startTime'], now);
  const reason = text(remote['reason'], longestReason);
  const message = text(remote['message'], longestMessage);
  return {
    phase,
    ...host,
    ...(addresses.list.length > 0 && {
      podIP: addresses.list[0]!,
      podIPs: addresses.list.map((ip) => ({ ip })),
    }),
    ...(startTime !== undefined && { startTime }),
    ...(reason !== undefined && { reason }),
    ...(message !== undefined && { message }),
    ...containerStatuses(pod, remote, shadow?.status?.restarts ?? 0, now),
    conditions: [
      ...disruption(pod, remote, now),
      ...mirrored(
        input,
        remote,
        bad === undefined
          ? (missing(shadow) ?? (input.pathVerified ? undefined : notReady.path))
          : notReady.badAddress,
      ),
      condition,
    ],
  };
}

/**
 * The last status of a pod whose record is gone, written before the pod itself is deleted: a finalizer may hold it (Jobs count
 * by it), and watchers read it from the deletion. Undefined: nothing to write.
 *
 * @param input `shadow` is the last known record; undefined if this process never saw it
 */
export function finalPodStatus(input: StatusInput): PodStatus | undefined {
  const { pod, now } = input;
  if (isFinished(pod)) return undefined;
  const last = input.shadow === undefined ? undefined : localPodStatus(input);
  if (isFinalPhase(last?.phase)) return last;
  // A pod without finalizers is deleted at once without a final status, as on a removed node.
  if ((pod.metadata.finalizers ?? []).length === 0) return undefined;
  const why = {
    reason: 'PodDeleted',
    message: `The pod was deleted, and the provider ${input.provider} did not report how it ended.`,
  };
  const conditions = stillRunning(
    pod,
    {},
    why,
    carried(pod, { type: offloadedCondition, status: 'False', ...why }, now),
    now,
  );
  return { ...conditions, phase: 'Failed', ...why };
}

/**
 * Failed stays Failed for every restartPolicy: a pod that its kubelet evicted or stopped is replaced by its controller here,
 * possibly elsewhere. A pod that was deleted at the provider is recreated there: its record never becomes Failed, and it stays
 * Running here, since a phase never goes back.
 */
function phaseOf(pod: Pod, remote: Record<string, unknown>): string {
  const phase = text(remote['phase'], 16);
  const known = phase !== undefined && phases.has(phase) ? phase : 'Pending';
  return known === 'Pending' && pod.status?.phase === 'Running' ? 'Running' : known;
}

/** The status of a pod that was Running, while the provider cannot report on it. */
function stillRunning(
  { status = {} }: Pod,
  host: Pick<PodStatus, 'hostIP' | 'hostIPs'>,
  why: { reason: string; message: string },
  own: PodCondition,
  now: number,
): PodStatus {
  const { podIP, podIPs, startTime, initContainerStatuses, ephemeralContainerStatuses } = status;
  const { containerStatuses: containers } = status;
  const conditions = mirroredConditions.flatMap((type) => {
    const found = status.conditions?.find((each) => each.type === type);
    if (found === undefined) return [];
    const { status: value, reason, message, lastTransitionTime } = found;
    if (type === 'Ready' && value === 'True')
      return [
        {
          type,
          status: 'False',
          reason: why.reason,
          message: why.message,
          lastTransitionTime: toSeconds(now),
        },
      ];
    return [
      {
        type,
        status: value,
        ...(reason && { reason }),
        ...(message && { message }),
        ...(lastTransitionTime && { lastTransitionTime }),
      },
    ];
  });
  return {
    phase: 'Running',
    ...host,
    ...(podIP !== undefined && { podIP }),
    ...(podIPs !== undefined && { podIPs }),
    ...(startTime !== undefined && { startTime }),
    ...(containers !== undefined && { containerStatuses: containers }),
    ...(initContainerStatuses !== undefined && { initContainerStatuses }),
    ...(ephemeralContainerStatuses !== undefined && { ephemeralContainerStatuses }),
    conditions: [...conditions, own],
  };
}

const notReady = {
  badAddress: { reason: offloadedReasons.badAddress, message: 'The address of the pod is not accepted.' },
  // As the node lifecycle controller sets it for pods on a node that is not Ready.
  path: { reason: 'NodeNotReady', message: 'No probes return from the provider.' },
  missing: { reason: 'PodMissing', message: 'The pod is being recreated at the provider.' },
  stopped: {
    reason: 'StoppedOnDisconnect',
    message: 'The provider stopped the pod while this cluster was disconnected; it is being recreated there.',
  },
} as const;

/** While the real pod does not exist the provider keeps its last status; the pod is not Ready then. */
function missing(
  shadow: ShadowPod | undefined,
): (typeof notReady)['missing'] | (typeof notReady)['stopped'] | undefined {
  const running = findCondition(shadow?.status?.conditions, 'Running');
  if (running?.status === 'False' && running.reason === notReady.stopped.reason) return notReady.stopped;
  return running?.status === 'False' && running.reason === 'PodMissing' ? notReady.missing : undefined;
}

function evaluateOffloaded(
  input: StatusInput,
  remote: Record<string, unknown> | undefined,
): { status: 'True' | 'False'; reason: string; message: string } {
  if (input.blocker !== undefined) return { status: 'False', ...input.blocker };
  const admitted = findCondition(input.shadow?.status?.conditions, 'Admitted');
  if (admitted?.status === 'False') {
    const why = text(admitted.message, longestMessage) ?? 'no reason was given';
    return {
      status: 'False',
      reason: offloadedReasons.refused,
      message: `The provider ${input.provider} refuses this pod: ${why}`,
    };
  }
  if (admitted?.status !== 'True' && remote === undefined) {
    return {
      status: 'False',
      reason: offloadedReasons.waiting,
      message: `The provider ${input.provider} has not decided on this pod yet.`,
    };
  }
  if (admitted?.reason === 'ChangeRefused') {
    const why = text(admitted.message, longestMessage) ?? 'no reason was given';
    return {
      status: 'True',
      reason: offloadedReasons.changeRefused,
      message: `The provider ${input.provider} runs this pod and refuses what was changed since: ${why}`,
    };
  }
  const scheduled = list(remote?.['conditions']).find((each) => each['type'] === 'PodScheduled');
  if (scheduled?.['status'] === 'False') {
    const why = text(scheduled['message'], longestMessage) ?? 'no reason was given';
    return {
      status: 'True',
      reason: offloadedReasons.unschedulable,
      message: `The provider ${input.provider} has no node for this pod: ${why}`,
    };
  }
  return {
    status: 'True',
    reason: offloadedReasons.admitted,
    message: `The provider ${input.provider} runs this pod in namespace ${input.shadow?.metadata.namespace ?? ''}.`,
  };
}

/** The provider's conditions, in the kubelet's order. Ready also requires the readiness gates set here. */
function mirrored(
  input: StatusInput,
  remote: Record<string, unknown>,
  obstacle: { reason: string; message: string } | undefined,
): PodCondition[] {
  const { pod, now } = input;
  const theirs = list(remote['conditions']);
  const gate = closedGate(pod);
  const closed =
    obstacle ??
    (gate === undefined
      ? undefined
      : { reason: 'ReadinessGatesNotReady', message: `The readiness gate ${gate} is not met.` });
  return mirroredConditions.flatMap((type) => {
    const found = theirs.find((each) => each['type'] === type);
    const status = text(found?.['status'], 8);
    if (found === undefined || status === undefined || !statuses.has(status)) return [];
    if (type === 'Ready' && status === 'True' && closed !== undefined) {
      return [carried(pod, { type, status: 'False', ...closed }, now)];
    }
    const reason = text(found['reason'], longestReason);
    const message = text(found['message'], longestMessage);
    const condition = {
      type,
      status,
      ...(reason !== undefined && { reason }),
      ...(message !== undefined && { message }),
    };
    const transitioned = time(found['lastTransitionTime'], now);
    return [
      transitioned === undefined
        ? carried(pod, condition, now)
        : { ...condition, lastTransitionTime: transitioned },
    ];
  });
}

/**
 * DisruptionTarget from the provider (drain, preemption, eviction, a lost node), so that a Job's podFailurePolicy here can
 * distinguish a disruption from a failure. One that this cluster already set stays.
 */
function disruption(pod: Pod, remote: Record<string, unknown>, now: number): PodCondition[] {
  const found = list(remote['conditions']).find((each) => each['type'] === disruptionTarget);
  if (found?.['status'] !== 'True') return [];
  const reason = text(found['reason'], longestReason);
  const message = text(found['message'], longestMessage);
  const condition = {
    type: disruptionTarget,
    status: 'True',
    ...(reason !== undefined && { reason }),
    ...(message !== undefined && { message }),
  };
  return [carried(pod, condition, now)];
}

/** Whether the provider's pod was lost with its node (Kubernetes, "Pod disruption conditions"). */
export function isLostWithNode(shadow: ShadowPod | undefined): boolean {
  const conditions = list(record(shadow?.status?.pod)?.['conditions']);
  const found = conditions.find((each) => each['type'] === disruptionTarget && each['status'] === 'True');
  return found?.['reason'] === 'DeletionByTaintManager';
}

function closedGate(pod: Pod): string | undefined {
  const gates = (pod.spec?.['readinessGates'] ?? []) as { conditionType: string }[];
  return gates.find(
    (gate) => pod.status?.conditions?.find((each) => each.type === gate.conditionType)?.status !== 'True',
  )?.conditionType;
}
