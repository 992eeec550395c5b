import { z } from 'zod';
import { conditions, label, observedGeneration, prefix, type HawserObject, type Kind } from './meta.ts';

/** A label's key with its prefix (Kubernetes, "Labels and Selectors": 253, slash, 63). */
const labelKey = z.string().min(1).max(317);
const labelValue = z.string().max(63);

/** As in Kubernetes. Empty: everything. */
export const labelSelector = z.object({
  matchLabels: z.record(labelKey, labelValue).meta({ maxProperties: 64 }).optional(),
  matchExpressions: z
    .array(
      z.object({
        key: labelKey,
        operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']),
        values: z.array(labelValue).max(64).optional(),
      }),
    )
    .max(64)
    .optional(),
});
export type LabelSelector = z.infer<typeof labelSelector>;

/** Peers of one rule, and of all rules of one policy together: each is a line in the kernel of every node there. */
export const mostPeers = 1024;
export const mostPeersInAll = 4096;

/** Ranges that one block leaves out: those of many remote clusters may be among them. */
export const mostExceptions = 512;

const peer = z.object({
  pods: z
    .object({
      namespaces: z
        .array(label)
        .max(256)
        .optional()
        .describe('Of the consumer, those with a twin here; absent: all of them'),
      selector: labelSelector,
    })
    .optional()
    .describe('The consumer’s own pods here'),
  block: z
    .object({ cidr: prefix, except: z.array(prefix).max(mostExceptions).optional() })
    .optional()
    .describe('Addresses in the provider’s terms: pods elsewhere one by one, or ranges'),
  dns: z.boolean().optional().describe('The provider’s DNS, in place of the consumer’s'),
});
export type PolicyPeer = z.infer<typeof peer>;

const port = z.object({
  protocol: z.enum(['TCP', 'UDP', 'SCTP']),
  port: z.string().min(1).max(15).optional().describe('A number, or the name of a container’s port'),
  endPort: z.int().min(1).max(65_535).optional(),
});
export type PolicyPort = z.infer<typeof port>;

const rule = z.object({
  peers: z.array(peer).max(mostPeers).optional().describe('One of them each; absent: everybody'),
  ports: z.array(port).max(64).optional().describe('Absent: all of them'),
});
export type PolicyRule = z.infer<typeof rule>;

export const shadowPolicy = {
  kind: 'ShadowPolicy',
  plural: 'shadowpolicies',
  singular: 'shadowpolicy',
  shortNames: ['spol'],
  scope: 'Namespaced',
  description:
    'The record of a NetworkPolicy of an offloaded namespace, its peers resolved; the provider makes a NetworkPolicy of what the isolation of its consumers permits.',
  spec: z.object({
    podSelector: labelSelector.describe('Labels of the consumer’s pods'),
    policyTypes: z
      .array(z.enum(['Ingress', 'Egress']))
      .min(1)
      .max(2),
    ingress: z.array(rule).max(128).optional(),
    egress: z.array(rule).max(128).optional(),
  }),
  status: z.object({ observedGeneration, conditions }),
  columns: [
    { name: 'Types', type: 'string', jsonPath: '.spec.policyTypes' },
    { name: 'Carried', type: 'string', jsonPath: '.status.conditions[?(@.type=="Carried")].status' },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  ],
  validations: [],
} satisfies Kind;
export type ShadowPolicy = HawserObject<typeof shadowPolicy>;
