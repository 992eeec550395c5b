/**
 * The part of a consumer's pod that is sent to the provider. Pure. Fields with a meaning only at home (node, priority,
 * additions of scheduler and admission) are removed. Everything that the user requested is sent, even if the provider will
 * refuse it, so that the refusal is reported and nothing is dropped silently.
 */
import type { NamespaceOffloading, ShadowPod } from '../../shared/api/offloading.ts';
import { lostNodeTolerations } from '../../shared/lost-node-tolerations.ts';
import { labels } from '../../shared/names.ts';
import type { Container, Pod } from '../../shared/kube/types.ts';

/** Set on a ShadowPod just before its deletion if another grace period than the pod's own was requested. */
export const deletionGraceAnnotation = 'hawser.dev/deletion-grace-seconds';

/** Fields of a PodSpec that belong to the consumer's cluster alone. */
const localFields = new Set([
  // Scheduling: the pod is already scheduled here, and the provider's nodes have their own labels and taints.
  'nodeName',
  'nodeSelector',
  'affinity',
  // Except those for lost nodes, see below.
  'tolerations',
  'topologySpreadConstraints',
  'schedulerName',
  'schedulingGates',
  'priority',
  'priorityClassName',
  'preemptionPolicy',
  // Filled in by admission from a RuntimeClass.
  'overhead',
  // The service account is the consumer's; its token is not valid at the provider's API server.
  'serviceAccount',
  'serviceAccountName',
  'automountServiceAccountToken',
  // Readiness gates are set by controllers here, where the consumer's Ready is computed.
  'readinessGates',
]);

/** `kube-api-access-*`: the volume that admission adds for the service account (KEP-1205). */
const tokenVolume = /^kube-api-access-[a-z0-9]{5}$/;
const tokenMountPath = '/var/run/secrets/kubernetes.io/serviceaccount';
/** Annotations about the object here, not about the pod. */
const localAnnotation =
  /^(kubectl\.kubernetes\.io\/last-applied-configuration|kubernetes\.io\/config\.|cni\.projectcalico\.org\/|k8s\.v1\.cni\.cncf\.io\/)/;
/** The limit in the kind's schema. */
const longestValue = 65_536;

interface Mount {
  name: string;
  mountPath: string;
}
interface Variable {
  name: string;
  value?: string;
  valueFrom?: { fieldRef?: { fieldPath?: string }; [source: string]: unknown };
}

/** The PodSpec that the ShadowPod carries. */
export function offeredPodSpec(pod: Pod): Record<string, unknown> {
  const spec = pod.spec ?? { containers: [] };
  const tokenVolumes = new Set(
    (spec.volumes ?? []).filter((volume) => tokenVolume.test(volume.name)).map((volume) => volume.name),
  );
  const kept = Object.fromEntries(
    Object.entries(spec).filter(
      ([field, value]) => !localFields.has(field) && value !== undefined && value !== null,
    ),
  );
  const volumes = (spec.volumes ?? []).filter((volume) => !tokenVolumes.has(volume.name));
  const container = (each: Container) => offeredContainer(each, pod, tokenVolumes);
  const tolerations = lostNodeTolerations(spec['tolerations']);
  delete kept['volumes'];
  return {
    ...kept,
    containers: spec.containers.map(container),
    ...(spec.initContainers !== undefined && { initContainers: spec.initContainers.map(container) }),
    ...(spec.ephemeralContainers !== undefined && {
      ephemeralContainers: spec.ephemeralContainers.map(container),
    }),
    ...(volumes.length > 0 && { volumes }),
    ...(tolerations.length > 0 && { tolerations }),
    automountServiceAccountToken: false,
  };
}

function offeredContainer(container: Container, pod: Pod, tokenVolumes: ReadonlySet<string>): Container {
  const { volumeMounts, env, ...rest } = container as Container & {
    volumeMounts?: Mount[];
    env?: Variable[];
  };
  const mounts = (volumeMounts ?? []).filter(
    (mount) => !tokenVolumes.has(mount.name) && mount.mountPath !== tokenMountPath,
  );
  return {
    ...rest,
    ...(mounts.length > 0 && { volumeMounts: mounts }),
    ...(env !== undefined && { env: env.map((variable) => atHome(variable, pod)) }),
  };
}

/** Downward API values use the consumer's names where the provider's differ. */
function atHome(variable: Variable, pod: Pod): Variable {
  const known: Record<string, string | undefined> = {
    'metadata.namespace': pod.metadata.namespace,
    'metadata.uid': pod.metadata.uid,
    'spec.nodeName': pod.spec?.nodeName,
    'spec.serviceAccountName': pod.spec?.serviceAccountName,
  };
  const value = known[variable.valueFrom?.fieldRef?.fieldPath ?? ''];
  return value === undefined ? variable : { name: variable.name, value };
}

/** The ShadowPod in the twin namespace for a pod on the virtual node. */
export function desiredShadowPod(
  pod: Pod,
  twin: string,
  consumer: string,
  onDisconnect: NamespaceOffloading['spec']['onDisconnect'],
): ShadowPod {
  const annotations = boundedMap(pod.metadata.annotations, (name) => !localAnnotation.test(name));
  const podLabels = boundedMap(pod.metadata.labels, () => true);
  return {
    apiVersion: 'hawser.dev/v1alpha1',
    kind: 'ShadowPod',
    metadata: {
      name: pod.metadata.name,
      namespace: twin,
      labels: { [labels.managedBy]: 'hawser', [labels.origin]: consumer },
    },
    spec: {
      podUID: pod.metadata.uid ?? '',
      ...(podLabels !== undefined && { labels: podLabels }),
      ...(annotations !== undefined && { annotations }),
      pod: offeredPodSpec(pod),
      ...(onDisconnect !== undefined && { onDisconnect }),
    },
  };
}

function boundedMap(
  map: Record<string, string> | undefined,
  keep: (name: string) => boolean,
): Record<string, string> | undefined {
  const entries = Object.entries(map ?? {}).filter(
    ([name, value]) => keep(name) && value.length <= longestValue,
  );
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

/** Whether the provider has a different spec. */
export function shadowPodDiffers(present: ShadowPod, wanted: ShadowPod): boolean {
  return canonical(present.spec) !== canonical(wanted.spec);
}

/** JSON with sorted keys: the API server keeps content, not order. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) =>
    typeof each === 'object' && each !== null && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).toSorted(([one], [other]) => (one < other ? -1 : 1)))
      : each,
  );
}

/** Grace period in the pod's spec, seconds. */
export const ownGrace = (pod: Pod): number => pod.spec?.terminationGracePeriodSeconds ?? 30;

/** Grace period of a pod that is being deleted, if it differs from the pod's own. */
export function deletionGrace(pod: Pod): number | undefined {
  const asked = pod.metadata.deletionGracePeriodSeconds;
  const own = ownGrace(pod);
  return asked === undefined || asked === own ? undefined : Math.max(0, Math.min(asked, 86_400));
}
