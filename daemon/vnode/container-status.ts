/** Statuses of containers as a provider tells them: of containers that the pod has, in fields that are known. Pure. */
import type { ContainerState, ContainerStatus, Pod, PodStatus } from '../kube/types.ts';
import { count, list, longestMessage, longestReason, record, text, time } from './untrusted.ts';

/** Of the pod's containers and init containers, as far as the provider tells of them. */
export function containerStatuses(
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
