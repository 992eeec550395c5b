import { z } from 'zod';
import { age, message, messageOf, ready, reason, reasonOf, statusOf } from './columns.ts';
import {
  condition,
  conditions,
  label,
  objectName,
  observedGeneration,
  onDisconnect,
  type HawserObject,
  type Kind,
} from './meta.ts';

/** Free-form Kubernetes content that the provider itself checks (`admit`), stored completely in the record. */
const opaque = z.record(z.string(), z.unknown()).meta({ 'x-kubernetes-preserve-unknown-fields': true });
const stringMap = z.record(z.string().max(317), z.string().max(65_536));

export const namespaceOffloading = {
  kind: 'NamespaceOffloading',
  plural: 'namespaceoffloadings',
  singular: 'namespaceoffloading',
  shortNames: ['hoff'],
  scope: 'Namespaced',
  description:
    'NamespaceOffloading lets the pods of its namespace run at providers. A namespace has one, named offloading.',
  spec: z.object({
    clusterSelector: z
      .object({
        matchLabels: stringMap
          .optional()
          .describe(
            'Labels that a virtual node has to have, all of them. Default: none, which selects every virtual node. Example: {"topology.kubernetes.io/region": "eu-west-1"}.',
          ),
      })
      .optional()
      .describe('Selects the providers by the labels of their virtual nodes. Default: all providers.'),
    podPlacement: z
      .enum(['Local', 'Remote', 'LocalAndRemote'])
      .default('LocalAndRemote')
      .describe(
        'Where new pods may be scheduled: Local on nodes of this cluster, Remote on virtual nodes, LocalAndRemote on both. Default: LocalAndRemote.',
      ),
    twinNamespace: label
      .optional()
      .describe(
        'Name of the twin namespace at every provider. Default: NAMESPACE-CONSUMER_ID, followed by a dash and the peering’s name unless that is default. A name that does not end so must be listed in the grant. Example: shop-home-t6xrzg.',
      ),
    onDisconnect: onDisconnect
      .optional()
      .describe(
        'What providers do with the pods while this cluster is away. Default: they keep them running.',
      ),
  }),
  status: z.object({
    observedGeneration,
    conditions,
    remotes: z
      .array(
        z.object({
          peering: objectName.describe('Name of the OutgoingPeering.'),
          twinNamespace: label.optional().describe('Name of the twin namespace at this provider.'),
          conditions: z
            .array(condition)
            .max(8)
            .optional()
            .describe('State of the namespace at this provider, one condition for each aspect.'),
        }),
      )
      .max(256)
      .optional()
      .describe('Providers that the namespace is offloaded to, one entry for each peering.'),
  }),
  columns: [
    { name: 'Placement', type: 'string', jsonPath: '.spec.podPlacement' },
    { name: 'Peerings', type: 'string', jsonPath: '.status.remotes[*].peering' },
    ready,
    reason,
    { name: 'Twin namespaces', type: 'string', jsonPath: '.status.remotes[*].twinNamespace', priority: 1 },
    message,
    age,
  ],
  validations: [
    {
      rule: "self.metadata.name == 'offloading'",
      message: 'a namespace has one NamespaceOffloading, named offloading',
    },
  ],
} satisfies Kind;
export type NamespaceOffloading = HawserObject<typeof namespaceOffloading>;

export const twinNamespace = {
  kind: 'TwinNamespace',
  plural: 'twinnamespaces',
  singular: 'twinnamespace',
  shortNames: ['htwin'],
  scope: 'Namespaced',
  description:
    'TwinNamespace is a consumer’s request for a namespace at this provider that stands for one of its own. It lies in the tenant namespace of the peering.',
  spec: z.object({
    sourceNamespace: label.describe('Name of the namespace at the consumer. Example: shop.'),
    sourceUID: z
      .string()
      .min(1)
      .max(64)
      .describe(
        'UID of the namespace at the consumer, by which a namespace that was deleted and made again is a new one. Example: 6c2f0e4e-6b7c-4b0e-9d1a-1f2f3a4b5c6d.',
      ),
    namespace: label.describe('Requested name of the twin namespace. Example: shop-home-t6xrzg.'),
  }),
  status: z.object({
    observedGeneration,
    conditions,
    namespace: label.optional().describe('Name of the twin namespace, once it exists.'),
  }),
  columns: [
    { name: 'Source', type: 'string', jsonPath: '.spec.sourceNamespace' },
    { name: 'Namespace', type: 'string', jsonPath: '.status.namespace' },
    statusOf('Bound'),
    reasonOf('Bound'),
    messageOf('Bound'),
    age,
  ],
  validations: [
    {
      rule: '!has(oldSelf.spec) || self.spec == oldSelf.spec',
      message: 'a TwinNamespace never changes; make another one',
    },
  ],
} satisfies Kind;
export type TwinNamespace = HawserObject<typeof twinNamespace>;

export const shadowPod = {
  kind: 'ShadowPod',
  plural: 'shadowpods',
  singular: 'shadowpod',
  shortNames: ['hpod'],
  scope: 'Namespaced',
  description:
    'ShadowPod is the record of an offloaded pod at its provider. The provider creates the real pod of the same name from it, and creates it again when it is lost.',
  spec: z.object({
    podUID: z
      .string()
      .min(1)
      .max(64)
      .describe('UID of the consumer’s pod. Example: 6c2f0e4e-6b7c-4b0e-9d1a-1f2f3a4b5c6d.'),
    labels: stringMap
      .optional()
      .describe('Labels of the consumer’s pod. Default: none. Example: {"app": "db"}.'),
    annotations: stringMap
      .optional()
      .describe('Annotations of the consumer’s pod. Default: none. Example: {"example.com/team": "shop"}.'),
    pod: opaque.describe(
      'PodSpec of the consumer’s pod. A pod that the provider does not allow is refused; the condition Admitted says why.',
    ),
    onDisconnect: onDisconnect
      .optional()
      .describe(
        'What the provider does with the pod while the consumer is away. Default: it keeps it running.',
      ),
  }),
  status: z.object({
    observedGeneration,
    conditions,
    podName: objectName.optional().describe('Name of the real pod.'),
    podUID: z.string().max(64).optional().describe('UID of the real pod.'),
    restarts: z.int().min(0).optional().describe('Number of times the real pod was created again.'),
    stoppedAt: z
      .string()
      .max(40)
      .optional()
      .describe(
        'Time at which the pod was stopped because its consumer was away. It runs again when the consumer asks for it.',
      ),
    pod: opaque.optional().describe('PodStatus of the real pod, with the provider’s addresses.'),
  }),
  columns: [
    { name: 'Phase', type: 'string', jsonPath: '.status.pod.phase' },
    statusOf('Admitted'),
    statusOf('Running'),
    { name: 'Reason', type: 'string', jsonPath: '.status.conditions[?(@.type=="Running")].reason' },
    { name: 'IP', type: 'string', jsonPath: '.status.pod.podIP', priority: 1 },
    messageOf('Admitted'),
    age,
  ],
  validations: [
    {
      rule: '!has(oldSelf.spec) || self.spec.podUID == oldSelf.spec.podUID',
      message: 'podUID never changes',
    },
  ],
} satisfies Kind;
export type ShadowPod = HawserObject<typeof shadowPod>;
