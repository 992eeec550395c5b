/** Kubernetes Events: recorded only on changes, without repeating the same one, and without blocking the caller. */
import { randomBytes } from 'node:crypto';
import type { KubeClient } from '../../shared/kube/client.ts';
import { deadline, systemClock, type Clock } from '../../shared/time.ts';
import { messageOf } from '../../shared/kube/errors.ts';
import type { Log } from './log.ts';
import { kind, type AnyObject } from '../../shared/kube/refs.ts';
import { toSeconds } from '../../shared/conditions.ts';

export interface EventRecorder {
  /** Records an Event about the object. The same one within ten minutes is skipped. */
  emit(regarding: AnyObject, type: 'Normal' | 'Warning', reason: string, message: string): void;
  /** Waits for pending Events, at most this long. */
  flush(milliseconds: number): Promise<void>;
}

export interface EventOptions {
  kube: Pick<KubeClient, 'create'>;
  /** `hawser-<feature>`. */
  component: string;
  /** Name of the pod or host that reports. */
  instance: string;
  /** Namespace of the Events of cluster-scoped objects. Default `default`, where `kubectl describe` searches. */
  namespace?: string;
  log?: Log;
  clock?: Clock;
}

const quietMilliseconds = 600_000;
const remembered = 1024;
const atOnce = 16;

/** Creates a recorder; nothing is sent before the first `emit`. */
export function createEvents(options: EventOptions): EventRecorder {
  const { kube, component, instance, namespace = 'default', log, clock = systemClock } = options;
  const said = new Map<string, { message: string; at: number }>();
  const sending = new Set<Promise<void>>();
  const never = new AbortController().signal;

  return {
    emit(regarding, type, reason, message) {
      const now = clock.now();
      const { name, uid = '' } = regarding.metadata;
      const key = `${regarding.kind}/${regarding.metadata.namespace ?? ''}/${name}/${uid}/${reason}`;
      const last = said.get(key);
      if (last !== undefined && last.message === message && now - last.at < quietMilliseconds) return;
      said.delete(key);
      said.set(key, { message, at: now });
      if (said.size > remembered) said.delete(said.keys().next().value!);
      if (sending.size >= atOnce) {
        log?.warn('dropped an event: too many are pending', { reason, object: name });
        return;
      }
      const time = toSeconds(now);
      const limit = deadline(never, 10_000, 'event', clock);
      const promise = kube
        .create(
          {
            apiVersion: 'v1',
            kind: kind.event.kind,
            metadata: {
              name: `${name.slice(0, 230)}.${randomBytes(8).toString('hex')}`,
              namespace: regarding.metadata.namespace ?? namespace,
            },
            involvedObject: {
              apiVersion: regarding.apiVersion,
              kind: regarding.kind,
              name,
              uid,
              ...(regarding.metadata.namespace !== undefined && { namespace: regarding.metadata.namespace }),
            },
            type,
            reason,
            message: message.slice(0, 1024),
            count: 1,
            firstTimestamp: time,
            lastTimestamp: time,
            source: { component, host: instance },
            reportingComponent: component,
            reportingInstance: instance,
          } as AnyObject,
          limit.signal,
        )
        .then(
          () => undefined,
          (error: unknown) => log?.debug('failed to record an event', { reason, error: messageOf(error) }),
        )
        .finally(() => {
          limit.release();
          sending.delete(promise);
        });
      sending.add(promise);
    },
    async flush(milliseconds) {
      await Promise.race([
        Promise.allSettled(sending),
        new Promise<void>((resolve) => clock.after(milliseconds, resolve)),
      ]);
    },
  };
}
