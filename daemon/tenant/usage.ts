/** What pods use of a grant: sums of requests and limits, as ResourceQuota counts them. Pure. */
import type { Grant } from '../../shared/api/grant.ts';
import {
  formatQuantity,
  parseQuantity,
  QuantityError,
  type QuantityFormat,
} from '../../shared/quantities.ts';
import type { Container, PodSpec } from '../../shared/kube/types.ts';
import { Refusal } from './fields.ts';

/** Thousand-millionths of cores and bytes; limits, which are never less than requests. */
export interface Usage {
  cpu: bigint;
  memory: bigint;
  ephemeralStorage: bigint;
  pods: number;
}

export const nothing: Usage = { cpu: 0n, memory: 0n, ephemeralStorage: 0n, pods: 0 };

const resources = [
  ['cpu', 'cpu', 'Decimal'],
  ['memory', 'memory', 'Binary'],
  ['ephemeral-storage', 'ephemeralStorage', 'Binary'],
] as const satisfies readonly (readonly [string, keyof Usage, QuantityFormat])[];

/** A container that asks for nothing gets this much for sure. */
const defaultRequests: Readonly<Record<(typeof resources)[number][0], string>> = {
  cpu: '50m',
  memory: '64Mi',
  'ephemeral-storage': '16Mi',
};
/** Most ephemeral storage of one container where the grant names none: a node's disk is everybody's. */
const unnamedStorage = '1Gi';
/** And may use one sixteenth of the grant, so that sixteen such containers fit. */
const defaultShare = 16n;

/** What a container gets that names no requests or limits: for `admit` and for the twins' LimitRange. */
export function containerDefaults(grant: Grant): {
  requests: Record<string, string>;
  limits: Record<string, string>;
} {
  const limits: Record<string, string> = {};
  const requests: Record<string, string> = {};
  for (const [name, key, format] of resources) {
    const granted = grant[key];
    const request = defaultRequests[name];
    const share =
      granted === undefined
        ? parseQuantity(unnamedStorage)
        : roundDown(parseQuantity(granted) / defaultShare, format);
    const least = parseQuantity(request);
    limits[name] = formatQuantity(share > least ? share : least, format);
    requests[name] = request;
  }
  return { requests, limits };
}

/** Where the grant names no ephemeral storage, there is no sum to hold it against: then each container is bounded. */
export function checkUnnamedStorage(spec: PodSpec, grant: Grant): void {
  if (grant.ephemeralStorage !== undefined) return;
  for (const list of ['initContainers', 'containers'] as const) {
    spec[list]?.forEach(({ resources: { requests, limits } = {} }, index) => {
      for (const [part, each] of Object.entries({ requests, limits })) {
        const asked = each?.['ephemeral-storage'];
        if (asked === undefined || !more(asked, unnamedStorage)) continue;
        throw new Refusal(
          `${list}[${index}].resources.${part}.ephemeral-storage`,
          `is more than ${unnamedStorage}, the most of a container where the grant names no ephemeral storage (grant.ephemeralStorage)`,
        );
      }
    });
  }
}

/**
 * Every emptyDir gets a size: what its pod may use of the disk, or of memory, at most. Without one a volume in memory may
 * have half of the node's (Kubernetes, Volumes, emptyDir).
 */
export function withVolumeSizes(spec: PodSpec, usage: Usage): PodSpec {
  const { volumes } = spec;
  if (volumes === undefined) return spec;
  return {
    ...spec,
    volumes: volumes.map((volume) => {
      const emptyDir = volume['emptyDir'] as { medium?: string; sizeLimit?: string | number } | undefined;
      if (emptyDir === undefined) return volume;
      const most = emptyDir.medium === 'Memory' ? usage.memory : usage.ephemeralStorage;
      const own = emptyDir.sizeLimit === undefined ? most : quantity(String(emptyDir.sizeLimit), 'volumes');
      const sizeLimit = formatQuantity(own > 0n && own < most ? own : most, 'Binary');
      return { ...volume, emptyDir: { ...emptyDir, sizeLimit } };
    }),
  };
}

// Whole thousandths of cores, whole Mi of memory: what people can read.
function roundDown(nano: bigint, format: QuantityFormat): bigint {
  const step = format === 'Decimal' ? 1_000_000n : 1_000_000_000n << 20n;
  return nano < step ? nano : (nano / step) * step;
}

/** Fills in requests and limits where they are missing, as LimitRange would; returns new containers. */
export function withDefaults(spec: PodSpec, grant: Grant): PodSpec {
  const defaults = containerDefaults(grant);
  const fill = (container: Container): Container => {
    const requests = { ...container.resources?.requests };
    const limits = { ...container.resources?.limits };
    for (const [name, share] of Object.entries(defaults.limits)) {
      const request = requests[name];
      // A limit of 0 is none (Kubernetes, cgroups and eviction alike).
      const limit = quantity(limits[name] ?? '0', 'resources') > 0n ? limits[name] : undefined;
      if (limit === undefined) limits[name] = request !== undefined && more(request, share) ? request : share;
      // As Kubernetes does: a limit alone is the request too.
      if (request === undefined) requests[name] = limit ?? defaults.requests[name] ?? share;
    }
    return { ...container, resources: { ...container.resources, requests, limits } };
  };
  return {
    ...spec,
    containers: spec.containers.map(fill),
    ...(spec.initContainers && { initContainers: spec.initContainers.map(fill) }),
  };
}

const more = (a: string, b: string): boolean => quantity(a, 'resources') > quantity(b, 'resources');

function quantity(text: string, field: string): bigint {
  try {
    return parseQuantity(text);
  } catch (error) {
    if (error instanceof QuantityError) throw new Refusal(field, error.message, 'Malformed');
    throw error;
  }
}

/** Which resources a container may name at all; devices and huge pages are not part of a grant. */
export function checkResourceNames(spec: PodSpec): void {
  for (const list of ['initContainers', 'containers'] as const) {
    spec[list]?.forEach((container, index) => {
      for (const part of ['requests', 'limits'] as const) {
        for (const [name, value] of Object.entries(container.resources?.[part] ?? {})) {
          const field = `${list}[${index}].resources.${part}.${name.slice(0, 60)}`;
          if (!resources.some(([known]) => known === name)) {
            throw new Refusal(field, 'is not a resource of the grant (cpu, memory, ephemeral-storage)');
          }
          if (quantity(value, field) < 0n) throw new Refusal(field, 'must not be negative', 'Malformed');
        }
      }
    });
  }
}

/** What one pod uses: containers and sidecars together, or the largest step of its beginning (KEP-753). */
export function podUsage(spec: Pick<PodSpec, 'containers' | 'initContainers'>): Usage {
  const usage: Usage = { ...nothing, pods: 1 };
  for (const [name, key] of resources) {
    const of = (container: Container): bigint => {
      const { requests, limits } = container.resources ?? {};
      const limit = quantity(limits?.[name] ?? '0', `resources.limits.${name}`);
      const request = quantity(requests?.[name] ?? '0', `resources.requests.${name}`);
      return limit > request ? limit : request;
    };
    let sidecars = 0n;
    let beginning = 0n;
    for (const container of spec.initContainers ?? []) {
      const own = of(container);
      const step = sidecars + own;
      if (step > beginning) beginning = step;
      if (container['restartPolicy'] === 'Always') sidecars += own;
    }
    const running = spec.containers.reduce((sum, container) => sum + of(container), sidecars);
    usage[key] = running > beginning ? running : beginning;
  }
  return usage;
}

export function addUsage(a: Usage, b: Usage): Usage {
  return {
    cpu: a.cpu + b.cpu,
    memory: a.memory + b.memory,
    ephemeralStorage: a.ephemeralStorage + b.ephemeralStorage,
    pods: a.pods + b.pods,
  };
}

/** The first resource of which the pod asks more than is left; undefined when it fits. */
export function shortage(
  grant: Grant,
  used: Usage,
  asked: Usage,
): { resource: string; message: string } | undefined {
  if (used.pods + asked.pods > grant.pods) {
    return { resource: 'pods', message: `all ${grant.pods} granted pods are in use` };
  }
  for (const [name, key, format] of resources) {
    const granted = grant[key];
    if (granted === undefined) continue;
    const left = parseQuantity(granted) - used[key];
    if (asked[key] <= left) continue;
    const shown = (nano: bigint) => formatQuantity(nano < 0n ? 0n : nano, format);
    return {
      resource: name,
      message: `the pod may use ${shown(asked[key])} of ${name} (its limits, with defaults), but only ${shown(left)} of the granted ${granted} are left`,
    };
  }
  return undefined;
}

/** What is used beyond the grant, as after it was lowered; undefined: nothing is. */
export function excess(grant: Grant, used: Usage): string | undefined {
  const beyond: string[] = used.pods > grant.pods ? [`${used.pods} pods of ${grant.pods}`] : [];
  for (const [name, key, format] of resources) {
    const granted = grant[key];
    if (granted !== undefined && used[key] > parseQuantity(granted))
      beyond.push(`${formatQuantity(used[key], format)} of ${name} of ${granted}`);
  }
  return beyond.length === 0 ? undefined : beyond.join(', ');
}

/** As the status of an IncomingPeering shows it. */
export function shownUsage(usage: Usage): { cpu: string; memory: string; pods: number } {
  return {
    cpu: formatQuantity(usage.cpu, 'Decimal'),
    memory: formatQuantity(usage.memory, 'Binary'),
    pods: usage.pods,
  };
}
