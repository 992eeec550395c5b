/** Mirrors the provider's Events about offloaded pods. */
import {
  kind,
  isAlreadyExists,
  isNotFound,
  commonOptions,
  runController,
  type Result,
} from '../kube/index.ts';
import { fromRemoteObjects, fromRemotes } from '../peers/remote.ts';
import { boundTwins, sourceOf } from '../peers/twin-namespaces.ts';
import { createEventBudget, homeEvent } from './pod-events-plan.ts';
import { fieldManager, type Caches } from './caches.ts';

/** The record may name its real pod shortly after that pod's first Event. */
const againMilliseconds = 1_000;
const youngMilliseconds = 30_000;
const concurrency = 4;
/** Events whose last state was written; more than that are looked up again. */
const remembered = 8_192;

/** Keys are `peering`, newline, twin namespace, newline, event; without an event: watch that namespace. */
const keyOf = (peering: string, namespace: string, event: string) => `${peering}\n${namespace}\n${event}`;

/** Runs until the signal is aborted. */
export async function runPodEvents(caches: Caches, signal: AbortSignal): Promise<void> {
  const { context, remotes } = caches;
  const allowed = createEventBudget(() => context.clock.now());
  const written = new Map<string, string>();
  await runController(
    {
      name: 'virtual-pod-events',
      sources: [
        fromRemotes(remotes, (peering) => {
          const remote = remotes.get(peering);
          return remote === undefined
            ? []
            : boundTwins(remote).map(({ namespace }) => keyOf(peering, namespace, ''));
        }),
        fromRemoteObjects(remotes, kind.twinNamespace, (remote, twin) =>
          twin.status?.namespace === undefined ? [] : [keyOf(remote.peering, twin.status.namespace, '')],
        ),
        fromRemoteObjects(remotes, kind.event, (remote, event) => [
          keyOf(remote.peering, event.metadata.namespace ?? '', event.metadata.name),
        ]),
      ],
      reconcile: (key, limited) => reconcileEvent(caches, allowed, written, key, limited),
      concurrency,
      ...commonOptions(context),
    },
    signal,
  );
}

async function reconcileEvent(
  caches: Caches,
  allowed: (podUID: string) => boolean,
  written: Map<string, string>,
  key: string,
  signal: AbortSignal,
): Promise<Result | void> {
  const { kube, clock, metrics } = caches.context;
  const [peering = '', namespace = '', name = ''] = key.split('\n');
  const remote = caches.remotes.get(peering);
  const source = remote && sourceOf(remote, namespace);
  if (remote === undefined || source === undefined) return;
  const events = remote.informer(kind.event, { namespace });
  const event = name === '' ? undefined : events.get(namespace, name);
  if (event === undefined) return;
  const about = event.involvedObject?.name ?? '';
  const shadow = remote.informer(kind.shadowPod, { namespace }).get(namespace, about);
  const pod = caches.pods.get(source, about);
  const nodeName = caches.peerings.byKey(peering)?.spec.nodeName;
  if (nodeName === undefined || shadow === undefined || pod === undefined) return;
  if (pod.spec?.nodeName !== nodeName) return;
  const now = clock.now();
  if (shadow.status?.podUID === undefined) {
    const young = now - Date.parse(event.metadata.creationTimestamp ?? '') < youngMilliseconds;
    return young ? { requeueAfterMilliseconds: againMilliseconds } : undefined;
  }
  const startedAt = caches.startedAt;
  const home = homeEvent({ event, pod, shadow, peering, virtualNode: nodeName, startedAt, now });
  if (home === undefined) return;
  const state = `${home.count} ${home.lastTimestamp}`;
  if (written.get(home.metadata.name) === state) return;
  if (!allowed(pod.metadata.uid ?? '')) {
    metrics?.refused(caches.peerings.byKey(peering)?.spec.remoteCluster ?? '', 'PodEvents');
    return;
  }
  try {
    await kube.create(home, signal, { fieldManager });
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    const { count, lastTimestamp, message } = home;
    const ref = { kind: kind.event, name: home.metadata.name, namespace: source };
    await kube
      .patch(ref, { count, lastTimestamp, message }, { type: 'merge', fieldManager }, signal)
      .catch((failure: unknown) => {
        // It has expired; the next occurrence creates another.
        if (!isNotFound(failure)) throw failure;
      });
  }
  written.delete(home.metadata.name);
  written.set(home.metadata.name, state);
  const oldest = written.keys().next().value;
  if (written.size > remembered && oldest !== undefined) written.delete(oldest);
}
