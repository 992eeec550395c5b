/** The real pod of a ShadowPod, and the status that its record shows. Pure. */
import type { ShadowPod } from '../../shared/api/offloading.ts';
import type { IncomingPeering } from '../../shared/api/peerings.ts';
import type { ShadowPolicy } from '../../shared/api/policies.ts';
import type { Finding } from '../../shared/conditions.ts';
import { annotations as known, labels } from '../../shared/names.ts';
import type { Pod, PodSpec, PodStatus } from '../../shared/kube/types.ts';
import { peeringLabels, reasons, restartsAnnotation } from './names.ts';
import { isFinished } from '../../shared/kube/pod-phase.ts';
import { podFinalizer } from './pod-end.ts';
import { labelsHere, restrictions } from './pod-labels.ts';

const annotationKeys = new Set([
  'kubectl.kubernetes.io/restartedAt',
  'kubectl.kubernetes.io/default-container',
]);
const annotationPrefixes = new Set(['prometheus.io', 'checksum']);

/**
 * Annotations that are accepted from a consumer: known prefixes, and plain words. Others may have an effect in this cluster:
 * runtimes read keys with dots and no slash, such as `io.katacontainers.config.hypervisor.kernel`.
 */
export function keptAnnotations(map: Record<string, string> = {}): Record<string, string> {
  return Object.fromEntries(
    Object.entries(map).filter(([key]) => {
      const slash = key.indexOf('/');
      return (
        (slash < 0 && !key.includes('.')) ||
        annotationKeys.has(key) ||
        annotationPrefixes.has(key.slice(0, slash))
      );
    }),
  );
}

/** Labels of the pod: the consumer's, the effect of its policies, and its owner. */
export function podLabels(
  shadow: ShadowPod,
  peering: IncomingPeering,
  originNamespace: string | undefined,
  policies: readonly ShadowPolicy[],
): Record<string, string> {
  const system: Record<string, string> = {
    ...peeringLabels(peering),
    ...(originNamespace && { [labels.originNamespace]: originNamespace }),
  };
  // Helm sets it, and nothing here selects by it.
  delete system[labels.managedBy];
  return { ...labelsHere(shadow.spec.labels), ...restrictions(shadow.spec.labels, policies), ...system };
}

/** The pod to create. `restarts`: how often it was created before. */
export function realPod(
  shadow: ShadowPod,
  ownLabels: Record<string, string>,
  spec: PodSpec,
  restarts: number,
): Pod {
  const { name, namespace = '', uid = '' } = shadow.metadata;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace,
      labels: ownLabels,
      finalizers: [podFinalizer],
      annotations: {
        ...keptAnnotations(shadow.spec.annotations),
        [known.originPodUID]: shadow.spec.podUID,
        ...(restarts > 0 && { [restartsAnnotation]: String(restarts) }),
      },
      ownerReferences: [
        {
          apiVersion: shadow.apiVersion,
          kind: shadow.kind,
          name,
          uid,
          controller: true,
        },
      ],
    },
    // The API server accepts those only by their subresource, once the pod exists.
    spec: Object.fromEntries(
      Object.entries(spec).filter(([field]) => field !== 'ephemeralContainers'),
    ) as PodSpec,
  };
}

/** Whether the pod belongs to exactly this shadow pod. */
export const isPodOf = (pod: Pod, shadow: ShadowPod): boolean =>
  pod.metadata.ownerReferences?.some((owner) => owner.uid === shadow.metadata.uid) ?? false;

/** How often the pod was recreated, from its annotation. */
export function restartsOf(pod: Pod | undefined): number {
  const count = Number(pod?.metadata.annotations?.[restartsAnnotation] ?? 0);
  return Number.isSafeInteger(count) && count > 0 ? count : 0;
}

/** The condition Running. */
export function runningFinding(pod: Pod | undefined): Finding {
  const type = 'Running';
  if (pod === undefined) {
    return {
      type,
      status: 'False',
      reason: reasons.PodMissing,
      message: 'the provider has no pod for it',
    };
  }
  const { phase = 'Pending', message, conditions } = pod.status ?? {};
  if (phase === 'Running') {
    return { type, status: 'True', reason: reasons.PodRunning, message: 'the pod runs on the provider' };
  }
  if (isFinished(pod)) {
    return { type, status: 'False', reason: reasons.PodFinished, message: `the pod has ended: ${phase}` };
  }
  const unscheduled = conditions?.find((each) => each.type === 'PodScheduled' && each.status === 'False');
  return {
    type,
    status: 'False',
    reason: reasons.PodPending,
    message: unscheduled?.message
      ? `the provider’s scheduler found no node: ${unscheduled.message.slice(0, 500)}`
      : (message ?? 'the pod is starting on the provider'),
  };
}

/** The pod's status in the record: everything except the provider's node. */
export function shownStatus(status: PodStatus | undefined): Record<string, unknown> | undefined {
  if (status === undefined) return undefined;
  const { hostIP: _address, hostIPs: _addresses, ...shown } = status;
  return shown;
}
