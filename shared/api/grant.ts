import { z } from 'zod';
import { label, quantity } from './meta.ts';

/**
 * Resources besides CPU, memory and disk: devices, `example.com/gpu`, in whole numbers only, and huge pages by their size
 * (Kubernetes, "Extended resources for Node", "Manage HugePages"). Kubernetes reserves `kubernetes.io/`.
 */
const extendedResources = z
  .array(
    z
      .object({
        name: z
          .string()
          .max(128)
          .regex(
            /^(hugepages-[1-9][0-9]{0,5}(Ki|Mi|Gi)|[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*\/[A-Za-z0-9]([-_.A-Za-z0-9]{0,52}[A-Za-z0-9])?)$/,
          )
          .describe(
            'Name of the resource: a device, or huge pages such as hugepages-2Mi. Example: nvidia.com/gpu.',
          ),
        quantity: quantity.describe(
          'Number of devices, or bytes of huge pages, that all pods may use together. Example: 2.',
        ),
      })
      .refine(({ name }) => !name.includes('kubernetes.io/'), 'names with kubernetes.io are reserved')
      .refine(
        ({ name, quantity: amount }) => name.startsWith('hugepages-') || /^[0-9]+$/.test(amount),
        'a number of devices is a whole number',
      )
      .meta({
        'x-kubernetes-validations': [
          { rule: "!self.name.contains('kubernetes.io/')", message: 'names with kubernetes.io are reserved' },
          {
            rule: "self.name.startsWith('hugepages-') || self.quantity.matches('^[0-9]+$')",
            message: 'a number of devices is a whole number',
          },
        ],
      }),
  )
  .refine((list) => new Set(list.map(({ name }) => name)).size === list.length, 'a resource is listed once');
const listedByName = { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] };

/** How strictly a grant is enforced. */
const enforcement = z.enum(['None', 'Soft', 'Hard']);

/** What one incoming peering may use of its provider. */
export const grant = z.object({
  cpu: quantity.describe(
    'CPU that all pods of the peering may request together, counted as the scheduler does. Example: 4.',
  ),
  memory: quantity.describe(
    'Memory that all pods of the peering may request together, counted as the scheduler does. Example: 8Gi.',
  ),
  pods: z
    .int()
    .min(1)
    .max(100_000)
    .describe('Number of pods that may exist at the same time; finished ones do not count. Example: 110.'),
  ephemeralStorage: quantity
    .optional()
    .describe(
      'Ephemeral storage that all pods may request together, and most that the limit of one container may be. A container without a limit gets 1Gi, or this if it is less. Default: no request is counted, the virtual node offers none, and each container has at most 1Gi (or defaultLimits.ephemeralStorage). Example: 50Gi.',
    ),
  extendedResources: extendedResources
    .max(16)
    .optional()
    .meta(listedByName)
    .describe(
      'Devices and huge pages that all pods may use together; the virtual node offers them. Default: none. Example: [{"name": "nvidia.com/gpu", "quantity": "2"}].',
    ),
  enforcement: enforcement
    .optional()
    .describe(
      'How CPU, memory and ephemeral storage are counted. Soft: the sum of requests stays within the grant; limits are free. Hard: the sum of limits does too, and each container needs limits of CPU and memory, its own or of defaultLimits. None: they are not counted. Pods and extendedResources are counted in every mode. With Soft, a pod can use idle CPU and memory beyond its request. The kernel gives CPU back at once to pods that requested it (cpu.weight), and under memory pressure kills and evicts first the pods that are furthest above their requests; so the provider’s own pods are safe as far as their requests go, and those that use more memory than they request are not. Use Hard for a consumer that may not have memory beyond the grant. Default: Soft.',
    ),
  defaultLimits: z
    .object({
      cpu: quantity
        .optional()
        .describe('CPU limit of a container that has none. Default: no limit. Example: 500m.'),
      memory: quantity
        .optional()
        .describe('Memory limit of a container that has none. Default: no limit. Example: 512Mi.'),
      ephemeralStorage: quantity
        .optional()
        .describe(
          'Ephemeral storage limit of a container that has none. Default: 1Gi, or grant.ephemeralStorage if it is less. Example: 2Gi.',
        ),
    })
    .optional()
    .describe(
      'Limits of containers that have none; a larger request is its own limit. They are enforced at the provider and not shown on the pod of the consumer. Default: none but of ephemeral storage.',
    ),
  podSecurity: z
    .enum(['restricted', 'baseline', 'privileged'])
    .describe(
      'Pod Security Standard that the twin namespaces enforce. The command and the API gateway set baseline when none is asked for.',
    ),
  rawNetwork: z
    .boolean()
    .optional()
    .describe(
      'Containers keep the capability NET_RAW, with which they can forge packets of other pods. Default: it is dropped.',
    ),
  twinNamespaces: z
    .array(label)
    .max(32)
    .optional()
    .describe(
      'Names that twin namespaces may have although they do not end in a dash and the consumer ID. Default: none. Example: ["monitoring"].',
    ),
});
export type Grant = z.infer<typeof grant>;

/** The maximum that any peering may be granted. */
export const maximumGrant = z.object({
  cpu: quantity.optional().describe('Most CPU of one peering. Default: no limit. Example: 16.'),
  memory: quantity.optional().describe('Most memory of one peering. Default: no limit. Example: 64Gi.'),
  pods: z
    .int()
    .min(1)
    .max(100_000)
    .optional()
    .describe('Most pods of one peering. Default: no limit. Example: 200.'),
  ephemeralStorage: quantity
    .optional()
    .describe('Most ephemeral storage of one peering. Default: no limit. Example: 100Gi.'),
  extendedResources: extendedResources
    .max(64)
    .optional()
    .meta(listedByName)
    .describe(
      'Devices and huge pages that grants may have, and the most of each. Default: any. Example: [{"name": "nvidia.com/gpu", "quantity": "4"}].',
    ),
  enforcement: enforcement
    .optional()
    .describe('Least strict enforcement that a grant may have. Default: Soft. Example: Hard.'),
  podSecurity: grant.shape.podSecurity
    .optional()
    .describe('The most permissive Pod Security Standard that a peering may have. Default: baseline.'),
  rawNetwork: z.boolean().optional().describe('Whether a peering may have rawNetwork. Default: false.'),
  twinNamespaces: z
    .array(label)
    .max(256)
    .optional()
    .describe('Names of twin namespaces that grants may list. Default: none. Example: ["monitoring"].'),
});

/** The grant of a token whose request has none. */
export const defaultGrant: Grant = {
  cpu: '4',
  memory: '8Gi',
  pods: 110,
  podSecurity: 'baseline',
};
