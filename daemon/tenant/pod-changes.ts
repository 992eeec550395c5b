/** Updates of a real pod when its record changes. Pure. */
import type { ShadowPod } from '../../shared/api/offloading.ts';
import type { Container, Pod, PodSpec } from '../../shared/kube/types.ts';
import { labelChanges } from './pod-labels.ts';
import { keptAnnotations } from './real-pod.ts';

/** A strategic merge patch of the pod; null removes a key. */
export interface PodChanges {
  metadata?: { labels?: Record<string, string | null>; annotations?: Record<string, string | null> };
  spec?: { containers?: object[]; initContainers?: object[]; activeDeadlineSeconds?: number };
}

/**
 * Images, deadline, labels and annotations: what Kubernetes allows to change on a running pod, except resources and ephemeral
 * containers, which have their own subresources.
 *
 * @param wanted the admitted spec; undefined while the record's spec is not admitted, so that the pod's spec stays unchanged
 */
export function podChanges(
  shadow: ShadowPod,
  wanted: PodSpec | undefined,
  wantedLabels: Record<string, string>,
  pod: Pod,
): PodChanges | undefined {
  const spec = wanted && { ...imageChanges(wanted, pod), ...deadlineChange(wanted, pod) };
  const labels = labelChanges(wantedLabels, pod.metadata.labels);
  const annotations = annotationChanges(shadow.spec.annotations, pod.metadata.annotations);
  const metadata = { ...(labels && { labels }), ...(annotations && { annotations }) };
  const changes = {
    ...(spec && Object.keys(spec).length > 0 && { spec }),
    ...(Object.keys(metadata).length > 0 && { metadata }),
  };
  return Object.keys(changes).length === 0 ? undefined : changes;
}

/** Ephemeral containers of the record that the pod lacks; existing ones are never changed or removed. */
export function newEphemeralContainers(wanted: PodSpec, pod: Pod): Container[] {
  const present = new Set(pod.spec?.ephemeralContainers?.map(({ name }) => name));
  return (wanted.ephemeralContainers ?? []).filter(({ name }) => !present.has(name));
}

/** Whether a record that is not admitted differs from the pod in changeable fields. Its spec is unvalidated. */
export function asksForChange(shadow: ShadowPod, pod: Pod): boolean {
  const named = (list: string): { name?: unknown; image?: unknown }[] => {
    const value = shadow.spec.pod[list];
    return Array.isArray(value) ? (value as { name?: unknown; image?: unknown }[]).slice(0, 256) : [];
  };
  const images = (['containers', 'initContainers'] as const).some((list) =>
    named(list).some((each) => {
      const present = pod.spec?.[list]?.find(({ name }) => name === each?.name);
      return present !== undefined && present.image !== each.image;
    }),
  );
  const present = new Set<unknown>(pod.spec?.ephemeralContainers?.map(({ name }) => name));
  return images || named('ephemeralContainers').some((each) => !present.has(each?.name));
}

function imageChanges(wanted: PodSpec, pod: Pod): { containers?: object[]; initContainers?: object[] } {
  const changes = (['containers', 'initContainers'] as const).flatMap((list) => {
    const changed = (wanted[list] ?? []).filter((container) => {
      const present = pod.spec?.[list]?.find((each) => each.name === container.name);
      return present !== undefined && container.image !== undefined && present.image !== container.image;
    });
    return changed.length === 0 ? [] : [[list, changed.map(({ name, image }) => ({ name, image }))] as const];
  });
  return Object.fromEntries(changes);
}

/** It may only be set once and shortened (core/v1, ValidatePodUpdate). */
function deadlineChange(wanted: PodSpec, pod: Pod): { activeDeadlineSeconds?: number } {
  const { activeDeadlineSeconds } = wanted;
  const present = pod.spec?.activeDeadlineSeconds;
  return activeDeadlineSeconds !== undefined && (present === undefined || activeDeadlineSeconds < present)
    ? { activeDeadlineSeconds }
    : {};
}

/** Only those from consumers are set or removed, since the CNI and others write to the pod too. */
function annotationChanges(
  asked: Record<string, string> | undefined,
  present: Record<string, string> = {},
): Record<string, string | null> | undefined {
  const wanted = keptAnnotations(asked);
  const changes: [string, string | null][] = [
    ...Object.entries(wanted).filter(([key, value]) => present[key] !== value),
    ...Object.keys(keptAnnotations(present))
      .filter((key) => !(key in wanted))
      .map((key): [string, null] => [key, null]),
  ];
  return changes.length === 0 ? undefined : Object.fromEntries(changes);
}
