/** Allowed requests and limits of containers, their defaults, and the sizes of their volumes. Pure. */
import type { Grant } from '../../shared/api/grant.ts';
import { compareQuantities, formatQuantity, parseQuantity } from '../../shared/quantities.ts';
import type { Container, PodSpec } from '../../shared/kube/types.ts';
import { Refusal } from './fields.ts';
import { basicResources, quantityOf, type Usage } from './usage.ts';

/**
 * Ephemeral storage of a container without a limit. All pods of a node share its disk, and the kernel cannot reclaim it like
 * CPU: so there is always a limit. It does not affect a pod's QoS class.
 */
const defaultStorage = '1Gi';

/** Defaults of a container without requests or limits: for `admit`, and for the twin namespaces' LimitRange. */
export function containerDefaults(grant: Grant): {
  requests: Record<string, string>;
  limits: Record<string, string>;
} {
  const { cpu, memory, ephemeralStorage } = grant.defaultLimits ?? {};
  const most = mostStorage(grant);
  const disk = ephemeralStorage ?? defaultStorage;
  return {
    // Explicit, since Kubernetes sets a missing request to the limit, and its scheduler here would then count another sum than
    // the one at home.
    requests: Object.fromEntries(basicResources.map(([name]) => [name, '0'])),
    limits: {
      ...(isSet(cpu) && { cpu }),
      ...(isSet(memory) && { memory }),
      'ephemeral-storage': compareQuantities(disk, most) < 0 && isSet(disk) ? disk : most,
    },
  };
}

const isSet = (text: string | undefined): text is string => text !== undefined && parseQuantity(text) > 0n;

/** Maximum disk of one container: the whole grant, or the default if the grant does not set it. */
const mostStorage = (grant: Grant): string => {
  if (grant.ephemeralStorage !== undefined) return grant.ephemeralStorage;
  const own = grant.defaultLimits?.ephemeralStorage;
  return isSet(own) ? own : defaultStorage;
};

/** Checks which resources a container names, and its disk limit. */
export function checkResources(spec: PodSpec, grant: Grant): void {
  const extended = new Set(grant.extendedResources?.map(({ name }) => name));
  const known = [...basicResources.map(([name]) => name as string), ...extended];
  for (const [container, path] of containersOf(spec))
    for (const part of ['requests', 'limits'] as const)
      for (const [name, value] of Object.entries(container.resources?.[part] ?? {})) {
        const field = `${path}.resources.${part}.${name.slice(0, 60)}`;
        const amount = quantityOf(value, field);
        if (amount < 0n) throw new Refusal(field, 'must not be negative', 'Malformed');
        if (!known.includes(name))
          throw new Refusal(field, `is not a resource of the grant (${known.join(', ')})`);
        if (extended.has(name)) checkWhole(container, name, amount, field);
        if (name !== 'ephemeral-storage' || amount <= parseQuantity(mostStorage(grant))) continue;
        const why =
          grant.ephemeralStorage === undefined
            ? 'the most of a container where the grant names no ephemeral storage (grant.ephemeralStorage)'
            : 'all that is granted';
        throw new Refusal(field, `is more than ${mostStorage(grant)}, ${why}`);
      }
}

/** Devices are indivisible, and cannot be overcommitted (Kubernetes, "Consuming extended resources"). */
function checkWhole({ resources }: Container, name: string, amount: bigint, field: string): void {
  if (!name.startsWith('hugepages-') && amount % 1_000_000_000n !== 0n)
    throw new Refusal(field, 'must be a whole number', 'Malformed');
  const [request, limit] = [resources?.requests?.[name], resources?.limits?.[name]];
  if (
    limit === undefined ||
    (request !== undefined && quantityOf(request, field) !== quantityOf(limit, field))
  )
    throw new Refusal(field, 'must be requested by a limit, and a request must equal it', 'Malformed');
}

/** Where limits are counted, a missing limit would count as zero. */
export function checkLimits(filled: PodSpec, grant: Grant): void {
  if (grant.enforcement !== 'Hard') return;
  for (const [container, path] of containersOf(filled))
    for (const name of ['cpu', 'memory'])
      if (container.resources?.limits?.[name] === undefined)
        throw new Refusal(
          `${path}.resources.limits.${name}`,
          'must be set: the grant counts limits (enforcement Hard) and has no default for it (defaultLimits)',
        );
}

/** Fills in requests and limits where they are missing, as LimitRange would; returns new containers. */
export function withDefaults(spec: PodSpec, grant: Grant): PodSpec {
  const defaults = containerDefaults(grant);
  const fill = (container: Container): Container => {
    const requests = { ...container.resources?.requests };
    const limits = { ...container.resources?.limits };
    for (const [name] of basicResources) {
      // A limit of 0 means no limit (in Kubernetes, cgroups and eviction).
      if (limits[name] !== undefined && quantityOf(limits[name], 'resources') === 0n) delete limits[name];
      // As in Kubernetes, a limit without request is also the request.
      requests[name] ??= limits[name] ?? '0';
      const byDefault = defaults.limits[name];
      if (limits[name] === undefined && byDefault !== undefined)
        limits[name] = compareQuantities(requests[name], byDefault) > 0 ? requests[name] : byDefault;
    }
    // For resources with only a limit, such as devices, Kubernetes sets the request to the limit.
    for (const [name, limit] of Object.entries(limits)) requests[name] ??= limit;
    return { ...container, resources: { ...container.resources, requests, limits } };
  };
  return {
    ...spec,
    containers: spec.containers.map(fill),
    ...(spec.initContainers && { initContainers: spec.initContainers.map(fill) }),
  };
}

/**
 * Every emptyDir gets a size: at most its pod's limit of disk or of memory. Without one, a volume in memory may use half of the
 * node's, which no container limit stops (Kubernetes, Volumes, emptyDir).
 */
export function withVolumeSizes(filled: PodSpec, usage: Usage, grant: Grant): PodSpec {
  const { volumes } = filled;
  if (volumes === undefined) return filled;
  const limited = filled.containers.every(({ resources }) => resources?.limits?.['memory'] !== undefined);
  const memory = limited ? (usage.limits['memory'] ?? 0n) : parseQuantity(grant.memory);
  return {
    ...filled,
    volumes: volumes.map((volume) => {
      const emptyDir = volume['emptyDir'] as { medium?: string; sizeLimit?: string | number } | undefined;
      // The pod's limits already bound its huge pages.
      if (emptyDir === undefined || emptyDir.medium?.startsWith('HugePages') === true) return volume;
      const most = emptyDir.medium === 'Memory' ? memory : (usage.limits['ephemeral-storage'] ?? 0n);
      const own = emptyDir.sizeLimit === undefined ? most : quantityOf(String(emptyDir.sizeLimit), 'volumes');
      const sizeLimit = formatQuantity(own > 0n && own < most ? own : most, 'Binary');
      return { ...volume, emptyDir: { ...emptyDir, sizeLimit } };
    }),
  };
}

const containersOf = (spec: PodSpec): [Container, string][] =>
  (['initContainers', 'containers'] as const).flatMap((list) =>
    (spec[list] ?? []).map((container, index): [Container, string] => [container, `${list}[${index}]`]),
  );
