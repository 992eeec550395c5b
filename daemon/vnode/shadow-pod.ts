/**
 * What of a consumer's pod goes to the provider. Pure. Things that only mean something at home (which node, which
 * priority, what the scheduler and admission added) stay here; what the user asked for goes along even if the provider
 * will refuse it, so that it is said instead of silently dropped.
 */
import type { NamespaceOffloading, ShadowPod } from '../../shared/api/offloading.ts';
import { lostNodeTolerations } from '../../shared/lost-node-tolerations.ts';
import { labels } from '../../shared/names.ts';
import type { Container, Pod } from '../../shared/kube/types.ts';

/** Set on a ShadowPod just before its deletion when a person asked for another grace than the pod's own. */
export const deletionGraceAnnotation = 'hawser.dev/deletion-grace-seconds';

/** Fields of a PodSpec that belong to the consumer's cluster alone. */
const localFields = new Set([
  // Scheduling: the pod is scheduled already here, and the provider's nodes have labels and taints of their own.
  'nodeName',
  'nodeSelector',
  'affinity',
  // But those of lost nodes, which are carried: below.
  'tolerations',
  'topologySpreadConstraints',
  'schedulerName',
  'schedulingGates',
  'priority',
  'priorityClassName',
  'preemptionPolicy',
  // Filled in by admission from a RuntimeClass.
  'overhead',
  // The service account is the consumer's; its token would mean nothing to the provider's API server.
  'serviceAccount',
  'serviceAccountName',
  'automountServiceAccountToken',
  // Gates are opened by controllers here; the consumer's Ready is computed here too.
  'readinessGates',
]);

/** `kube-api-access-*`: the volume that admission adds for the service account (KEP-1205). */
const tokenVolume = /^kube-api-access-[a-z0-9]{5}$/;
const tokenMountPath = '/var/run/secrets/kubernetes.io/serviceaccount';
/** Annotations about the object here, not about the pod. */
const localAnnotation =
  /^(kubectl\.kubernetes\.io\/last-applied-configuration|kubernetes\.io\/config\.|cni\.projectcalico\.org\/|k8s\.v1\.cni\.cncf\.io\/)/;
/** As the kind's schema has it. */
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

/** The downward API answers with the consumer's names where the provider's differ. */
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

/** True when the provider holds a different spec. */
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

/** Seconds of grace in the pod's own spec. */
export const ownGrace = (pod: Pod): number => pod.spec?.terminationGracePeriodSeconds ?? 30;

/** Seconds to give a pod that is being deleted, when they are other than the pod's own. */
export function deletionGrace(pod: Pod): number | undefined {
  const asked = pod.metadata.deletionGracePeriodSeconds;
  const own = ownGrace(pod);
  return asked === undefined || asked === own ? undefined : Math.max(0, Math.min(asked, 86_400));
}
