import { z } from 'zod';
import {
  condition,
  conditions,
  dateTime,
  label,
  objectName,
  observedGeneration,
  type HawserObject,
  type Kind,
} from './meta.ts';

/** Free-form Kubernetes content that the provider checks by itself (`admit`), kept whole in the record. */
const opaque = z.record(z.string(), z.unknown()).meta({ 'x-kubernetes-preserve-unknown-fields': true });
const stringMap = z.record(z.string().max(317), z.string().max(65_536));

export const namespaceOffloading = {
  kind: 'NamespaceOffloading',
  plural: 'namespaceoffloadings',
  singular: 'namespaceoffloading',
  shortNames: ['nso'],
  scope: 'Namespaced',
  description: 'Lets the pods of its namespace run on providers. One object, named offloading.',
  spec: z.object({
    clusterSelector: z
      .object({ matchLabels: stringMap.optional() })
      .optional()
      .describe('Labels of virtual nodes; absent: every one'),
    podPlacement: z.enum(['Local', 'Remote', 'LocalAndRemote']),
    twinName: label
      .optional()
      .describe(
        'Name of the twin on every provider, default: namespace, dash, consumer ID; with a second peering of one provider, dash and the peering’s name follow',
      ),
    onDisconnect: z
      .object({ policy: z.enum(['Keep', 'StopAfter']), seconds: z.int().min(1).max(31_536_000).optional() })
      .optional()
      .describe(
        'What providers do with the pods while this cluster is away: Keep (default), or StopAfter so many seconds (default 300)',
      ),
  }),
  status: z.object({
    observedGeneration,
    conditions,
    remotes: z
      .array(
        z.object({
          peering: objectName.describe('Name of the OutgoingPeering'),
          twin: label.optional(),
          conditions: z.array(condition).max(8).optional(),
        }),
      )
      .max(256)
      .optional(),
  }),
  columns: [
    { name: 'Placement', type: 'string', jsonPath: '.spec.podPlacement' },
    { name: 'Twins', type: 'string', jsonPath: '.status.remotes[*].twin' },
    { name: 'Ready', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
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
  shortNames: ['twin'],
  scope: 'Namespaced',
  description:
    'A consumer’s wish for a namespace here that stands for one of its own. Lives in the tenant namespace.',
  spec: z.object({
    sourceNamespace: label,
    sourceUID: z.string().min(1).max(64),
    namespace: label.describe('Name wanted here'),
  }),
  status: z.object({
    observedGeneration,
    conditions,
    namespace: label.optional(),
  }),
  columns: [
    { name: 'Source', type: 'string', jsonPath: '.spec.sourceNamespace' },
    { name: 'Namespace', type: 'string', jsonPath: '.status.namespace' },
    { name: 'Bound', type: 'string', jsonPath: '.status.conditions[?(@.type=="Bound")].status' },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
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
  shortNames: ['shp'],
  scope: 'Namespaced',
  description:
    'The record of an offloaded pod; the provider keeps the real pod of the same name alive from it.',
  spec: z.object({
    podUID: z.string().min(1).max(64).describe('UID of the consumer’s pod'),
    labels: stringMap.optional(),
    annotations: stringMap.optional(),
    pod: opaque.describe('PodSpec as the consumer has it; what is not allowed is refused, and said'),
    onDisconnect: z
      .object({ policy: z.enum(['Keep', 'StopAfter']), seconds: z.int().min(1).max(31_536_000).optional() })
      .optional(),
  }),
  status: z.object({
    observedGeneration,
    conditions,
    podName: objectName.optional(),
    podUID: z.string().max(64).optional().describe('UID of the real pod'),
    restarts: z.int().min(0).optional().describe('How often the real pod was made again'),
    stoppedAt: z
      .string()
      .max(40)
      .optional()
      .describe(
        'The pod was stopped then, since its consumer was away; it runs again when the consumer asks',
      ),
    pod: opaque.optional().describe('PodStatus of the real pod, in the provider’s addresses'),
    lastChange: dateTime.optional(),
  }),
  columns: [
    { name: 'Phase', type: 'string', jsonPath: '.status.pod.phase' },
    { name: 'Admitted', type: 'string', jsonPath: '.status.conditions[?(@.type=="Admitted")].status' },
    { name: 'Running', type: 'string', jsonPath: '.status.conditions[?(@.type=="Running")].status' },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  ],
  validations: [
    {
      rule: '!has(oldSelf.spec) || self.spec.podUID == oldSelf.spec.podUID',
      message: 'podUID never changes',
    },
  ],
} satisfies Kind;
export type ShadowPod = HawserObject<typeof shadowPod>;
