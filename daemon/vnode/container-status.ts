/** Container statuses from a provider's report, restricted to the pod's containers and to known fields. Pure. */
import type { ContainerState, ContainerStatus, Pod, PodStatus } from '../../shared/kube/types.ts';
import {
  count,
  list,
  longestReason,
  longestTermination,
  podTermination,
  record,
  text,
  time,
} from './untrusted.ts';

/**
 * Statuses of the pod's containers and init containers, as far as the provider reports them.
 *
 * @param restarts how often the provider recreated the pod, which counts as a restart of every container
 */
export function containerStatuses(
  pod: Pod,
  remote: Record<string, unknown>,
  restarts: number,
  now: number,
): Pick<PodStatus, 'containerStatuses' | 'initContainerStatuses' | 'ephemeralContainerStatuses'> {
  // The kubelet's limit: 12 KiB of messages per pod.
  const all = (pod.spec?.containers.length ?? 0) + (pod.spec?.initContainers?.length ?? 0);
  const longest = Math.min(longestTermination, Math.floor(podTermination / Math.max(1, all)));
  const known = (
    containers: readonly { name: string }[] | undefined,
    field: 'containerStatuses' | 'initContainerStatuses' | 'ephemeralContainerStatuses',
  ): ContainerStatus[] => {
    const theirs = list(remote[field]);
    return (containers ?? []).flatMap((container) => {
      const found = theirs.find((each) => each['name'] === container.name);
      if (found === undefined) return [];
      const before = pod.status?.[field]?.find((each) => each.name === container.name)?.restartCount ?? 0;
      const status = containerStatus(container.name, found, longest, now);
      const restartCount = Math.max(before, Math.min(0x7fffffff, status.restartCount + restarts));
      return [{ ...status, restartCount }];
    });
  };
  const containers = known(pod.spec?.containers, 'containerStatuses');
  const ephemeral = known(pod.spec?.ephemeralContainers, 'ephemeralContainerStatuses');
  const initial = known(pod.spec?.initContainers, 'initContainerStatuses');
  return {
    ...(containers.length > 0 && { containerStatuses: containers }),
    ...(initial.length > 0 && { initContainerStatuses: initial }),
    ...(ephemeral.length > 0 && { ephemeralContainerStatuses: ephemeral }),
  };
}

function containerStatus(
  name: string,
  theirs: Record<string, unknown>,
  longest: number,
  now: number,
): ContainerStatus {
  const containerID = text(theirs['containerID'], 256);
  const state = containerState(theirs['state'], longest, now);
  const lastState = containerState(theirs['lastState'], longest, now);
  return {
    name,
    ready: theirs['ready'] === true,
    restartCount: count(theirs['restartCount']) ?? 0,
    image: text(theirs['image'], 512) ?? '',
    imageID: text(theirs['imageID'], 512) ?? '',
    ...(containerID !== undefined && isContainerID(containerID) && { containerID }),
    ...(typeof theirs['started'] === 'boolean' && { started: theirs['started'] }),
    ...(state !== undefined && { state }),
    ...(lastState !== undefined && { lastState }),
  };
}

/** `containerd://…`; the API server refuses other forms. */
const isContainerID = (id: string) => /^[a-z0-9.+-]+:\/\//.test(id);

/** One of the three states; an API object with two of them is not valid. */
function containerState(value: unknown, longest: number, now: number): ContainerState | undefined {
  const state = record(value);
  const terminated = record(state?.['terminated']);
  const running = record(state?.['running']);
  const waiting = record(state?.['waiting']);
  const words = (of: Record<string, unknown>) => {
    const reason = text(of['reason'], longestReason);
    const message = text(of['message'], longest);
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
    const signal = count(terminated['signal']);
    const containerID = text(terminated['containerID'], 256);
    return {
      terminated: {
        exitCode,
        ...(signal !== undefined && signal > 0 && { signal }),
        ...words(terminated),
        ...stamps(terminated, 'startedAt', 'finishedAt'),
        ...(containerID !== undefined && isContainerID(containerID) && { containerID }),
      },
    };
  }
  if (running !== undefined) return { running: stamps(running, 'startedAt') };
  if (waiting !== undefined) return { waiting: words(waiting) };
  return undefined;
}
