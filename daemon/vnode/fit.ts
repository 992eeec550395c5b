/**
 * Fields that no provider admits with any grant. They are checked when a pod is created: once it is bound, nothing moves it off
 * its node. Pure. The provider's allow-list (`tenant/pod-fields.ts`) decides everything else; a test compares both.
 */
import type { NamespaceOffloading } from '../../shared/api/offloading.ts';
import type { Container, Pod } from '../../shared/kube/types.ts';

/** The field that prevents offloading, and why. */
export interface Misfit {
  /** Path in the PodSpec, as in `containers[0].ports[1].hostPort`. */
  field: string;
  why: string;
}

/** Volume types available at a provider (core/v1, Volume): all others refer to storage of this cluster or of a node. */
const volumeTypes = new Set(['name', 'emptyDir', 'configMap', 'secret', 'downwardAPI', 'projected']);
/** `kube-api-access-*`: admission adds it for the service account (KEP-1205); it is left out at the provider. */
const tokenVolume = /^kube-api-access-[a-z0-9]{5}$/;

const flags: Readonly<Record<string, string>> = {
  hostNetwork: 'it uses the network of its node',
  hostPID: 'it sees the processes of its node',
  hostIPC: 'it uses the IPC of its node',
};
const fields: Readonly<Record<string, string>> = {
  runtimeClassName: 'runtime classes of this cluster mean nothing at a provider',
  resourceClaims: 'devices by resource claims are not offloaded',
  resources: 'resources of a whole pod are not offloaded; give them by container',
  hostnameOverride: 'it is not offloaded; use hostname',
};

/** The first field that prevents offloading; undefined if the pod may be offloaded. */
export function misfitOf(pod: Pod): Misfit | undefined {
  const spec = pod.spec ?? { containers: [] };
  for (const [field, why] of Object.entries(flags)) if (spec[field] === true) return { field, why };
  for (const [field, why] of Object.entries(fields)) if (isSet(spec[field])) return { field, why };
  if (spec['dnsPolicy'] === 'ClusterFirstWithHostNet')
    return {
      field: 'dnsPolicy',
      why: 'ClusterFirstWithHostNet is for pods that use the network of their node',
    };
  const volumes = (spec['volumes'] ?? []) as Record<string, unknown>[];
  for (const [index, volume] of volumes.entries()) {
    const misfit = volumeMisfit(volume, `volumes[${index}]`);
    if (misfit !== undefined) return misfit;
  }
  for (const list of ['initContainers', 'containers'] as const)
    for (const [index, container] of (spec[list] ?? []).entries()) {
      const misfit = containerMisfit(container, `${list}[${index}]`);
      if (misfit !== undefined) return misfit;
    }
  return undefined;
}

const isSet = (value: unknown): boolean => {
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0;
  return value !== undefined && value !== null && value !== '' && value !== false && value !== 0;
};

function volumeMisfit(volume: Record<string, unknown>, path: string): Misfit | undefined {
  const name = typeof volume['name'] === 'string' ? volume['name'] : '';
  for (const type of Object.keys(volume)) {
    if (volumeTypes.has(type) || !isSet(volume[type])) continue;
    const claim = type === 'persistentVolumeClaim' || type === 'ephemeral';
    const why = claim ? 'claims are not offloaded yet' : `volumes of type ${type} are of this cluster`;
    return { field: `${path}.${type}`, why };
  }
  if (tokenVolume.test(name)) return undefined;
  const sources = ((volume['projected'] as { sources?: unknown } | undefined)?.sources ?? []) as Record<
    string,
    unknown
  >[];
  for (const [index, source] of sources.entries())
    for (const type of ['serviceAccountToken', 'clusterTrustBundle', 'podCertificate'])
      if (isSet(source[type]))
        return {
          field: `${path}.projected.sources[${index}].${type}`,
          why: 'credentials of this cluster are not handed to providers',
        };
  return undefined;
}

function containerMisfit(container: Container, path: string): Misfit | undefined {
  for (const [index, port] of (container.ports ?? []).entries())
    if (isSet(port.hostPort))
      return { field: `${path}.ports[${index}].hostPort`, why: 'it takes a port of its node; use a Service' };
  if (isSet(container['volumeDevices']))
    return { field: `${path}.volumeDevices`, why: 'block devices are not offloaded' };
  const mounts = (container['volumeMounts'] ?? []) as { mountPropagation?: string }[];
  for (const [index, mount] of mounts.entries())
    if (isSet(mount.mountPropagation) && mount.mountPropagation !== 'None')
      return {
        field: `${path}.volumeMounts[${index}].mountPropagation`,
        why: 'it shares mounts with its node',
      };
  if (isSet((container.resources as { claims?: unknown } | undefined)?.claims))
    return { field: `${path}.resources.claims`, why: 'devices by resource claims are not offloaded' };
  const security = container['securityContext'] as { procMount?: string } | undefined;
  if (isSet(security?.procMount) && security?.procMount !== 'Default')
    return { field: `${path}.securityContext.procMount`, why: 'it needs rights that no provider gives' };
  return undefined;
}

/** The message for the creator of such a pod. */
export function misfitMessage(
  { field, why }: Misfit,
  placement: NamespaceOffloading['spec']['podPlacement'],
  namespace: string,
): string {
  const what = `hawser: spec.${field}: ${why}`;
  return placement === 'Remote'
    ? `${what}. No provider runs this pod, and namespace ${namespace} runs its pods at providers only. Take the field out, or let such pods run here: hawser offload namespace ${namespace} --placement LocalAndRemote`
    : `${what}; this pod runs in this cluster`;
}
