/**
 * The status of an offloaded pod in the consumer's terms. Pure. The provider's word is taken field by field: known
 * fields only, of bounded length, addresses only out of its own ranges and never one that another pod has.
 */
import type { ShadowPod } from '../../shared/api/offloading.ts';
import type { Tunnel } from '../../shared/api/network.ts';
import { findCondition, toSeconds } from '../../shared/conditions.ts';
import { anyContains, normalizeAddress, tryParseRange } from '../../shared/net/cidr.ts';
import { toMapped } from '../../shared/net/address-mapping.ts';
import type { ContainerState, ContainerStatus, Pod, PodCondition, PodStatus } from '../kube/types.ts';

/** Condition on the consumer's pod: whether the provider has taken it. */
export const offloadedCondition = 'hawser.dev/Offloaded';

export const offloadedReasons = {
  admitted: 'Admitted',
  /** The provider refuses the pod; the message is the provider's. */
  refused: 'RefusedByProvider',
  /** The provider took it, but its scheduler finds no node. */
  unschedulable: 'UnschedulableAtProvider',
  /** The provider has not decided yet. */
  waiting: 'WaitingForProvider',
  /** The namespace has no twin there (yet). */
  twinPending: 'TwinPending',
  /** The pod got here by tolerating everything; its namespace is not offloaded. */
  notOffloaded: 'NamespaceNotOffloaded',
  /** The provider reports an address that is not its own, or another pod's. */
  badAddress: 'AddressNotAccepted',
} as const;

/** Why the pod is not at the provider, before the provider has a word in it. */
export interface Hindrance {
  reason: string;
  message: string;
}

export interface StatusInput {
  pod: Pod;
  /** The record in the twin; undefined while there is none. */
  shadow: ShadowPod | undefined;
  hindrance: Hindrance | undefined;
  provider: string;
  /** InternalIP of the virtual node. */
  hostAddress: string;
  tunnel: Pick<Tunnel['spec'], 'remaps' | 'remotePodCIDRs'> | undefined;
  /** Whether another pod of this cluster has the address. */
  isTaken: (address: string) => boolean;
  /** Milliseconds since 1970. */
  now: number;
}

const phases = new Set(['Pending', 'Running', 'Succeeded', 'Failed', 'Unknown']);
const mirroredConditions = ['PodReadyToStartContainers', 'Initialized', 'ContainersReady', 'Ready'] as const;
const statuses = new Set(['True', 'False', 'Unknown']);
/** core/v1 allows longer ones; nobody reads them. */
const longestMessage = 1024;
const longestReason = 128;

/** True once a pod's phase is final: nothing that comes later changes it (Kubernetes, "Pod phase"). */
export function isFinished(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

/** The status to apply to the consumer's pod. Undefined: leave it as it is. */
export function localPodStatus(input: StatusInput): PodStatus | undefined {
  const { pod, shadow, now } = input;
  if (isFinished(pod)) return undefined;
  const remote = record(shadow?.status?.pod);
  // The record is lost or just made again: what ran is not said to have stopped until the provider says so.
  const silent = remote === undefined && input.hindrance === undefined;
  if (silent && pod.status?.phase === 'Running') return undefined;
  const host = { hostIP: input.hostAddress, hostIPs: [{ ip: input.hostAddress }] };
  const offloaded = judgeOffloaded(input, remote);
  const own = carried(pod, { type: offloadedCondition, ...offloaded }, now);
  if (
    remote === undefined ||
    offloaded.reason === offloadedReasons.refused ||
    input.hindrance !== undefined
  ) {
    // `reason` is what kubectl shows in its STATUS column.
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
  const phase = mirroredPhase(pod, remote);
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
    ...containerStatuses(pod, remote, now),
    conditions: [
      ...mirrored(input, remote, bad === undefined ? missing(shadow) : notReady.badAddress),
      condition,
    ],
  };
}

/**
 * The provider makes a pod that is always to be restarted again, under the same record, when it ends there (evicted from
 * a node, for example). To this cluster that is a restart, and not the end of the pod.
 */
function mirroredPhase(pod: Pod, remote: Record<string, unknown>): string {
  const phase = text(remote['phase'], 16);
  if (phase === undefined || !phases.has(phase)) return 'Pending';
  const ended = phase === 'Succeeded' || phase === 'Failed';
  if (!ended || (pod.spec?.restartPolicy ?? 'Always') !== 'Always') return phase;
  return pod.status?.phase === 'Running' ? 'Running' : 'Pending';
}

const notReady = {
  badAddress: { reason: offloadedReasons.badAddress, message: 'The address of the pod is not accepted.' },
  missing: { reason: 'PodMissing', message: 'The pod is being made again at the provider.' },
} as const;

/** The provider keeps the last status that it knew while the real pod is not there; it is not ready then. */
function missing(shadow: ShadowPod | undefined): (typeof notReady)['missing'] | undefined {
  const running = findCondition(shadow?.status?.conditions, 'Running');
  return running?.status === 'False' && running.reason === 'PodMissing' ? notReady.missing : undefined;
}

function judgeOffloaded(
  input: StatusInput,
  remote: Record<string, unknown> | undefined,
): { status: 'True' | 'False'; reason: string; message: string } {
  if (input.hindrance !== undefined) return { status: 'False', ...input.hindrance };
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
  const scheduled = list(remote?.['conditions']).find((each) => each['type'] === 'PodScheduled');
  if (scheduled?.['status'] === 'False') {
    const why = text(scheduled['message'], longestMessage) ?? 'no reason was given';
    return {
      status: 'True',
      reason: offloadedReasons.unschedulable,
      message: `The provider ${input.provider} has no node for this pod now: ${why}`,
    };
  }
  return {
    status: 'True',
    reason: offloadedReasons.admitted,
    message: `The provider ${input.provider} runs this pod in namespace ${input.shadow?.metadata.namespace ?? ''}.`,
  };
}

function acceptedAddresses(
  input: StatusInput,
  remote: Record<string, unknown>,
): { list: string[]; problem: string | undefined } {
  const reported = [
    text(remote['podIP'], 45),
    ...list(remote['podIPs'])
      .slice(0, 2)
      .map((each) => text(each['ip'], 45)),
  ].filter((address) => address !== undefined);
  const accepted: string[] = [];
  for (const address of new Set(reported)) {
    const mapped = input.tunnel === undefined ? undefined : mappedPod(input.tunnel, address);
    if (mapped === undefined) {
      return {
        list: [],
        problem: `The provider ${input.provider} reports the address ${address}, which is outside the pod ranges that it declares (${input.tunnel?.remotePodCIDRs.join(', ') ?? 'no tunnel yet'}).`,
      };
    }
    const canonical = normalizeAddress(mapped);
    if (input.isTaken(canonical)) {
      return {
        list: [],
        problem: `The provider ${input.provider} reports the address ${address} (here ${canonical}), which another pod of this cluster has.`,
      };
    }
    if (!accepted.includes(canonical)) accepted.push(canonical);
  }
  return { list: accepted, problem: undefined };
}

/** The address as this cluster knows it, if it lies in a pod range that the provider declares. */
function mappedPod(tunnel: NonNullable<StatusInput['tunnel']>, address: string): string | undefined {
  const declared = tunnel.remotePodCIDRs.flatMap((range) => tryParseRange(range) ?? []);
  return anyContains(declared, address) ? toMapped(tunnel.remaps, address) : undefined;
}

/** The provider's conditions, in the order of the kubelet. Ready also needs the gates that are opened here. */
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
      : { reason: 'ReadinessGatesNotReady', message: `The readiness gate ${gate} is not open.` });
  return mirroredConditions.flatMap((type) => {
    const found = theirs.find((each) => each['type'] === type);
    const status = text(found?.['status'], 8);
    if (found === undefined || status === undefined || !statuses.has(status)) return [];
    if (type === 'Ready' && status === 'True' && closed !== undefined) {
      return [carried(pod, { type, status: 'False', ...closed }, now)];
    }
    const reason = text(found['reason'], longestReason);
    const message = text(found['message'], longestMessage);
    return [
      {
        type,
        status,
        ...(reason !== undefined && { reason }),
        ...(message !== undefined && { message }),
        lastTransitionTime: time(found['lastTransitionTime'], now) ?? toSeconds(now),
      },
    ];
  });
}

function closedGate(pod: Pod): string | undefined {
  const gates = (pod.spec?.['readinessGates'] ?? []) as { conditionType: string }[];
  return gates.find(
    (gate) => pod.status?.conditions?.find((each) => each.type === gate.conditionType)?.status !== 'True',
  )?.conditionType;
}

/** A condition whose transition time moves only with its status. */
function carried(
  pod: Pod,
  condition: { type: string; status: string; reason: string; message: string },
  now: number,
): PodCondition {
  const before = pod.status?.conditions?.find((each) => each.type === condition.type);
  return {
    ...condition,
    message: condition.message.slice(0, longestMessage * 2),
    lastTransitionTime:
      before?.status === condition.status ? (before.lastTransitionTime ?? toSeconds(now)) : toSeconds(now),
  };
}

function containerStatuses(
  pod: Pod,
  remote: Record<string, unknown>,
  now: number,
): Pick<PodStatus, 'containerStatuses' | 'initContainerStatuses'> {
  const known = (containers: readonly { name: string }[] | undefined, field: string): ContainerStatus[] => {
    const theirs = list(remote[field]);
    return (containers ?? []).flatMap((container) => {
      const found = theirs.find((each) => each['name'] === container.name);
      return found === undefined ? [] : [containerStatus(container.name, found, now)];
    });
  };
  const containers = known(pod.spec?.containers, 'containerStatuses');
  const initial = known(pod.spec?.initContainers, 'initContainerStatuses');
  return {
    ...(containers.length > 0 && { containerStatuses: containers }),
    ...(initial.length > 0 && { initContainerStatuses: initial }),
  };
}

function containerStatus(name: string, theirs: Record<string, unknown>, now: number): ContainerStatus {
  const containerID = text(theirs['containerID'], 256);
  const state = containerState(theirs['state'], now);
  const lastState = containerState(theirs['lastState'], now);
  return {
    name,
    ready: theirs['ready'] === true,
    restartCount: count(theirs['restartCount']) ?? 0,
    image: text(theirs['image'], 512) ?? '',
    imageID: text(theirs['imageID'], 512) ?? '',
    ...(containerID !== undefined && /^[a-z0-9.+-]+:\/\//.test(containerID) && { containerID }),
    ...(typeof theirs['started'] === 'boolean' && { started: theirs['started'] }),
    ...(state !== undefined && { state }),
    ...(lastState !== undefined && { lastState }),
  };
}

/** One of the three states; an API object with two of them is not valid. */
function containerState(value: unknown, now: number): ContainerState | undefined {
  const state = record(value);
  const terminated = record(state?.['terminated']);
  const running = record(state?.['running']);
  const waiting = record(state?.['waiting']);
  const words = (of: Record<string, unknown>) => {
    const reason = text(of['reason'], longestReason);
    const message = text(of['message'], longestMessage);
    return { ...(reason !== undefined && { reason }), ...(message !== undefined && { message }) };
  };
  const stamps = (of: Record<string, unknown>, ...names: ('startedAt' | 'finishedAt')[]) =>
    Object.fromEntries(
      names.flatMap((name) => {
        const stamp = time(of[name], now);
        return stamp === undefined ? [] : [[name, stamp]];
      }),
    );
  if (terminated !== undefined) {
    const code = terminated['exitCode'];
    const exitCode =
      typeof code === 'number' && Number.isInteger(code) && Math.abs(code) <= 0x7fffffff ? code : 255;
    return {
      terminated: { exitCode, ...words(terminated), ...stamps(terminated, 'startedAt', 'finishedAt') },
    };
  }
  if (running !== undefined) return { running: stamps(running, 'startedAt') };
  if (waiting !== undefined) return { waiting: words(waiting) };
  return undefined;
}

const record = (value: unknown): Record<string, unknown> | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;

/** At most 64 entries: more containers or conditions than that are nobody's. */
const list = (value: unknown): Record<string, unknown>[] =>
  Array.isArray(value)
    ? (value as unknown[])
        .slice(0, 64)
        .map(record)
        .filter((each) => each !== undefined)
    : [];

// oxlint-disable-next-line no-control-regex -- control characters of another cluster have no place on a terminal
const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;
const text = (value: unknown, longest: number): string | undefined =>
  typeof value === 'string' && value !== '' ? value.replaceAll(controls, ' ').slice(0, longest) : undefined;

const count = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0x7fffffff
    ? value
    : undefined;

/** RFC 3339 in whole seconds; the provider's clock may be ahead, the future is not. */
function time(value: unknown, now: number): string | undefined {
  if (typeof value !== 'string' || value.length > 40) return undefined;
  const milliseconds = Date.parse(value);
  if (!Number.isFinite(milliseconds) || milliseconds < 0) return undefined;
  return toSeconds(Math.min(milliseconds, now));
}

/** True when applying the status would change something. */
export function podStatusDiffers(present: PodStatus | undefined, wanted: PodStatus): boolean {
  const seen = present ?? {};
  return (
    (Object.keys(wanted) as (keyof PodStatus)[]).some((field) => {
      if (field !== 'conditions') return !covers(seen[field], wanted[field]);
      return (wanted.conditions ?? []).some((condition) => {
        const before = seen.conditions?.find((each) => each.type === condition.type);
        return !covers(before, condition);
      });
    }) || dropped(seen, wanted)
  );
}

/** Fields that were applied before and are not any more: what the provider no longer says. */
function dropped(seen: PodStatus, wanted: PodStatus): boolean {
  const fields = [
    'podIP',
    'reason',
    'message',
    'startTime',
    'containerStatuses',
    'initContainerStatuses',
  ] as const;
  if (fields.some((field) => seen[field] !== undefined && wanted[field] === undefined)) return true;
  return mirroredConditions.some(
    (type) =>
      (seen.conditions ?? []).some((each) => each.type === type) &&
      !(wanted.conditions ?? []).some((each) => each.type === type),
  );
}

/** Whether `seen` says all that `wanted` does; the API server adds fields (`qosClass`, nulls) of its own. */
function covers(seen: unknown, wanted: unknown): boolean {
  if (Array.isArray(wanted)) {
    return (
      Array.isArray(seen) &&
      seen.length === wanted.length &&
      wanted.every((each, index) => covers(seen[index] as unknown, each))
    );
  }
  if (typeof wanted === 'object' && wanted !== null) {
    const other = record(seen);
    if (other === undefined) return false;
    return (
      Object.entries(wanted).every(([name, value]) => covers(other[name], value)) &&
      Object.entries(other).every(
        ([name, value]) =>
          name in wanted ||
          value === null ||
          (typeof value === 'object' && Object.keys(value).length === 0) ||
          name === 'lastProbeTime' ||
          name === 'observedGeneration',
      )
    );
  }
  return seen === wanted;
}
