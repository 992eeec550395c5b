/**
 * Translates Events of the provider's kubelet and scheduler about an offloaded pod for the consumer. Pure. They explain in
 * `kubectl describe pod` why a pod does not start.
 */
import { createHash } from 'node:crypto';
import type { ShadowPod } from '../../shared/api/offloading.ts';
import type { Event, Pod } from '../../shared/kube/types.ts';
import { count, longestReason, text, time } from './untrusted.ts';

/** Accepted event sources. Events of the provider's other controllers concern only the provider. */
const reporters = new Set(['kubelet', 'default-scheduler', 'taint-eviction-controller']);
/** Skipped reasons: the pod was scheduled at home, and the provider's node is internal to the provider. */
const ownReasons = new Set(['Scheduled']);
const reasonForm = /^[A-Za-z][A-Za-z0-9.]*$/;
const fieldForm = /^spec\.(?:containers|initContainers|ephemeralContainers)\{[a-z0-9-]{1,63}\}$/;
/** core/v1 has no limit; client-go truncates at this length. */
const longestEvent = 1024;
/** An event that is older than this process by more was already mirrored by its predecessor. */
const oldestMilliseconds = 600_000;

export interface EventInput {
  /** The provider's Event. */
  event: Event;
  pod: Pod;
  shadow: ShadowPod;
  peering: string;
  virtualNode: string;
  startedAt: number;
  now: number;
}

/** The Event to write at home; undefined if it is skipped. */
export function homeEvent(input: EventInput): Event | undefined {
  const { event, pod, shadow, peering, virtualNode, now } = input;
  const { involvedObject: about, source } = event;
  if (about?.kind !== 'Pod' || about.uid === undefined || about.uid !== shadow.status?.podUID)
    return undefined;
  if (shadow.spec.podUID !== pod.metadata.uid) return undefined;
  const component = text(source?.component || event.reportingComponent, 64);
  const reason = text(event.reason, longestReason);
  if (component === undefined || !reporters.has(component)) return undefined;
  if (reason === undefined || !reasonForm.test(reason) || ownReasons.has(reason)) return undefined;
  const last = time(event.lastTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp, now);
  if (last === undefined || Date.parse(last) < input.startedAt - oldestMilliseconds) return undefined;
  const first = time(event.firstTimestamp ?? event.eventTime, now) ?? last;
  const field = text((about as { fieldPath?: unknown }).fieldPath, 128);
  const { name, namespace = '', uid = '' } = pod.metadata;
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: eventName(name, peering, event.metadata.uid ?? ''), namespace },
    involvedObject: {
      apiVersion: 'v1',
      kind: 'Pod',
      name,
      namespace,
      uid,
      ...(field !== undefined && fieldForm.test(field) && { fieldPath: field }),
    },
    type: event.type === 'Warning' ? 'Warning' : 'Normal',
    reason,
    message: cleaned(input, text(event.message, longestEvent * 2) ?? '').slice(0, longestEvent),
    count: Math.max(1, count(event.count) ?? 1),
    firstTimestamp: first,
    lastTimestamp: last,
    // The source is the kubelet of the virtual node, for tools that select events by source.
    source: { component, host: virtualNode },
    reportingComponent: component,
    reportingInstance: virtualNode,
  };
}

/** A deterministic name, so that mirroring an Event twice creates only one. */
function eventName(pod: string, peering: string, uid: string): string {
  const hash = createHash('sha256').update(`${peering}/${uid}`).digest('hex').slice(0, 16);
  return `${pod.slice(0, 230)}.${hash}`;
}

/** Replaces the provider's names and addresses by those at home. */
function cleaned({ event, pod, shadow, virtualNode }: EventInput, message: string): string {
  const status = shadow.status?.pod as { podIP?: unknown } | undefined;
  const pairs: [unknown, string | undefined][] = [
    [shadow.metadata.namespace, pod.metadata.namespace],
    [event.source?.host, virtualNode],
    [event.reportingInstance, virtualNode],
    [status?.podIP, pod.status?.podIP],
  ];
  return pairs.reduce((sentence, [theirs, ours]) => {
    if (typeof theirs !== 'string' || theirs.length < 3 || ours === undefined) return sentence;
    return replaceWord(sentence, theirs, ours);
  }, message);
}

/** Replaces whole names only: not `n1` in `n10`, nor `10.1.0.1` in `10.1.0.12`. */
function replaceWord(sentence: string, word: string, by: string): string {
  const form = word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return sentence.replace(
    new RegExp(`(?<![A-Za-z0-9.-])${form}(?![A-Za-z0-9-]|\\.[A-Za-z0-9])`, 'g'),
    () => by,
  );
}

/** As in client-go's spam filter: burst and refill interval of events per pod. */
const burst = 25;
const refillMilliseconds = 10_000;
const podsRemembered = 4_096;

/** Limits the Events that a provider can cause here, per pod. */
export function createEventBudget(now: () => number): (podUID: string) => boolean {
  const spent = new Map<string, { tokens: number; at: number }>();
  return (podUID) => {
    const at = now();
    const before = spent.get(podUID) ?? { tokens: burst, at };
    const tokens = Math.min(burst, before.tokens + Math.max(0, at - before.at) / refillMilliseconds);
    spent.delete(podUID);
    spent.set(podUID, { tokens: tokens >= 1 ? tokens - 1 : tokens, at });
    const oldest = spent.keys().next().value;
    if (spent.size > podsRemembered && oldest !== undefined) spent.delete(oldest);
    return tokens >= 1;
  };
}
