/** Usage of a grant: the sums of pods' requests and limits, as counted by the scheduler and ResourceQuota. Pure. */
import type { Grant } from '../../shared/api/grant.ts';
import {
  formatQuantity,
  parseQuantity,
  QuantityError,
  type QuantityFormat,
} from '../../shared/quantities.ts';
import type { Container, PodSpec } from '../../shared/kube/types.ts';
import { Refusal } from './fields.ts';

/** By resource name, in billionths of cores, bytes or devices. Missing ones are 0. */
export type Amounts = Readonly<Record<string, bigint>>;

export interface Usage {
  requests: Amounts;
  limits: Amounts;
  pods: number;
}

export const nothing: Usage = { requests: {}, limits: {}, pods: 0 };

/** The resources with own fields in a grant. */
export const basicResources = [
  ['cpu', 'cpu'],
  ['memory', 'memory'],
  ['ephemeral-storage', 'ephemeralStorage'],
] as const satisfies readonly (readonly [string, keyof Grant])[];

/** Throws Refusal for an invalid quantity. */
export function quantityOf(text: string, field: string): bigint {
  try {
    return parseQuantity(text);
  } catch (error) {
    if (error instanceof QuantityError) throw new Refusal(field, error.message, 'Malformed');
    throw error;
  }
}

const formatOf = (resource: string): QuantityFormat =>
  resource === 'memory' || resource === 'ephemeral-storage' || resource.startsWith('hugepages-')
    ? 'Binary'
    : 'Decimal';
const shown = (nano: bigint, resource: string) => formatQuantity(nano < 0n ? 0n : nano, formatOf(resource));
const sum = (a: Amounts, b: Amounts): Amounts =>
  Object.fromEntries(
    [...Object.keys(a), ...Object.keys(b)].map((name) => [name, (a[name] ?? 0n) + (b[name] ?? 0n)]),
  );

export const addUsage = (a: Usage, b: Usage): Usage => ({
  requests: sum(a.requests, b.requests),
  limits: sum(a.limits, b.limits),
  pods: a.pods + b.pods,
});

type Part = 'requests' | 'limits';
type Resources = { [Each in Part]?: Record<string, string> };

/**
 * The usage of one pod: containers and sidecars together, or the largest step of its initialization (KEP-753); pod-level
 * resources instead, if set (KEP-2837); and the overhead of its runtime (KEP-688). Like the scheduler (`PodRequests` and
 * `PodLimits` of k8s.io/component-helpers): admission in this cluster may have changed real pods.
 */
export function podUsage(
  spec: Pick<PodSpec, 'containers' | 'initContainers'> & Record<string, unknown>,
): Usage {
  return { requests: ofPod(spec, 'requests'), limits: ofPod(spec, 'limits'), pods: 1 };
}

function ofPod(spec: Parameters<typeof podUsage>[0], part: Part): Amounts {
  const initContainers = spec.initContainers ?? [];
  const whole = (spec['resources'] as Resources | undefined)?.[part] ?? {};
  const overhead = (spec['overhead'] as Record<string, string> | undefined) ?? {};
  const names = new Set([
    ...[...initContainers, ...spec.containers].flatMap(({ resources }) =>
      Object.keys(resources?.[part] ?? {}),
    ),
    ...Object.keys(whole),
    ...Object.keys(overhead),
  ]);
  const amounts: Record<string, bigint> = {};
  for (const name of names) {
    const of = ({ resources }: Container): bigint =>
      quantityOf(resources?.[part]?.[name] ?? '0', `resources.${part}.${name}`);
    let sidecars = 0n;
    let beginning = 0n;
    for (const container of initContainers) {
      const own = of(container);
      const step = sidecars + own;
      if (step > beginning) beginning = step;
      if (container['restartPolicy'] === 'Always') sidecars += own;
    }
    const running = spec.containers.reduce((total, container) => total + of(container), sidecars);
    const ofContainers = running > beginning ? running : beginning;
    const own =
      whole[name] === undefined ? ofContainers : quantityOf(whole[name], `resources.${part}.${name}`);
    // Overhead does not create a limit where there is none.
    const extra =
      part === 'limits' && own === 0n ? 0n : quantityOf(overhead[name] ?? '0', `overhead.${name}`);
    amounts[name] = own + extra;
  }
  return amounts;
}

interface Bound {
  resource: string;
  part: Part;
  granted: string;
}

/** The enforced limits of a grant. Devices and huge pages cannot be overcommitted: their limit is their request. */
export function bounds(grant: Grant): Bound[] {
  const mode = grant.enforcement ?? 'Soft';
  const parts: Part[] = mode === 'None' ? [] : mode === 'Soft' ? ['requests'] : ['requests', 'limits'];
  return [
    ...parts.flatMap((part) =>
      basicResources.flatMap(([resource, field]) => {
        const granted = grant[field];
        return granted === undefined ? [] : [{ resource, part, granted }];
      }),
    ),
    ...(grant.extendedResources ?? []).map(({ name, quantity }) => ({
      resource: name,
      part: 'requests' as const,
      granted: quantity,
    })),
  ];
}

/** The first resource that is insufficient for the pod; undefined if it fits. */
export function shortage(
  grant: Grant,
  used: Usage,
  asked: Usage,
): { resource: string; message: string } | undefined {
  if (used.pods + asked.pods > grant.pods) {
    return { resource: 'pods', message: `all ${grant.pods} granted pods are in use` };
  }
  for (const { resource, part, granted } of bounds(grant)) {
    const left = parseQuantity(granted) - (used[part][resource] ?? 0n);
    const wanted = asked[part][resource] ?? 0n;
    if (wanted === 0n || wanted <= left) continue;
    const what = part === 'requests' ? 'the pod requests' : 'the limits of the pod are';
    return {
      resource,
      message: `${what} ${shown(wanted, resource)} of ${resource}, but only ${shown(left, resource)} of the granted ${granted} are left`,
    };
  }
  return undefined;
}

/** Usage beyond the grant, as after it was lowered; undefined if there is none. */
export function excess(grant: Grant, used: Usage): string | undefined {
  const beyond: string[] = used.pods > grant.pods ? [`${used.pods} pods of ${grant.pods}`] : [];
  for (const { resource, part, granted } of bounds(grant)) {
    const amount = used[part][resource] ?? 0n;
    if (amount > parseQuantity(granted))
      beyond.push(`${part} of ${shown(amount, resource)} of ${resource} of ${granted}`);
  }
  return beyond.length === 0 ? undefined : beyond.join(', ');
}

export interface ShownUsage {
  cpu: string;
  memory: string;
  pods: number;
  extendedResources?: { name: string; quantity: string }[];
}

/** The usage in the form of an IncomingPeering's status. */
export function shownUsage(usage: Usage, grant?: Pick<Grant, 'extendedResources'>): ShownUsage {
  const granted = grant?.extendedResources ?? [];
  return {
    cpu: shown(usage.requests['cpu'] ?? 0n, 'cpu'),
    memory: shown(usage.requests['memory'] ?? 0n, 'memory'),
    pods: usage.pods,
    ...(granted.length > 0 && {
      extendedResources: granted.map(({ name }) => ({
        name,
        quantity: shown(usage.requests[name] ?? 0n, name),
      })),
    }),
  };
}
