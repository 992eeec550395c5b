import { z } from 'zod';
import { age, messageOf, reasonOf, statusOf } from './columns.ts';
import { conditions, label, observedGeneration, prefix, type HawserObject, type Kind } from './meta.ts';

/** A label's key with its prefix (Kubernetes, "Labels and Selectors": 253, slash, 63). */
const labelKey = z.string().min(1).max(317);
const labelValue = z.string().max(63);

/** As in Kubernetes. An empty selector matches everything. */
export const labelSelector = z.object({
  matchLabels: z
    .record(labelKey, labelValue)
    .meta({ maxProperties: 64 })
    .optional()
    .describe('Labels that a pod has to have, all of them. Default: none. Example: {"app": "db"}.'),
  matchExpressions: z
    .array(
      z.object({
        key: labelKey.describe('Key of the label. Example: app.'),
        operator: z
          .enum(['In', 'NotIn', 'Exists', 'DoesNotExist'])
          .describe('How the label is compared with the values.'),
        values: z
          .array(labelValue)
          .max(64)
          .optional()
          .describe('Values for In and NotIn. Default: none. Example: db.'),
      }),
    )
    .max(64)
    .optional()
    .describe('Conditions that the labels of a pod have to meet, all of them. Default: none.'),
});
export type LabelSelector = z.infer<typeof labelSelector>;

/**
 * Maximum of peers in one rule, and in all rules of one policy together: each takes memory in the kernel of every node there.
 */
export const mostPeers = 1024;
export const mostPeersInAll = 4096;

/** Maximum of excluded ranges of one block: they may include the ranges of many remote clusters. */
export const mostExceptions = 512;

const peer = z.object({
  pods: z
    .object({
      namespaces: z
        .array(label)
        .max(256)
        .optional()
        .describe(
          'Namespaces of the consumer that have a twin namespace here. Default: all of them. Example: shop.',
        ),
      selector: labelSelector.describe('Labels of those pods; empty selects all of them.'),
    })
    .optional()
    .describe('Pods of the same consumer that run at this provider. Default: none.'),
  block: z
    .object({
      cidr: prefix.describe('Range as the provider knows it. Example: 10.128.0.0/16.'),
      except: z
        .array(prefix)
        .max(mostExceptions)
        .optional()
        .describe('Ranges within it that are left out. Default: none. Example: 10.128.7.0/24.'),
    })
    .optional()
    .describe(
      'Addresses as the provider knows them: those of pods that run elsewhere, or ranges. Default: none.',
    ),
  dns: z
    .boolean()
    .optional()
    .describe('Whether the provider’s DNS is the peer, in place of the consumer’s. Default: false.'),
});
export type PolicyPeer = z.infer<typeof peer>;

const port = z.object({
  protocol: z.enum(['TCP', 'UDP', 'SCTP']).describe('Protocol of the port.'),
  port: z
    .string()
    .min(1)
    .max(15)
    .optional()
    .describe('Number of the port, or the name of a container’s port. Default: all ports. Example: 5432.'),
  endPort: z
    .int()
    .min(1)
    .max(65_535)
    .optional()
    .describe('Last port of a range that begins with port. Default: port alone. Example: 5440.'),
});
export type PolicyPort = z.infer<typeof port>;

const rule = z.object({
  peers: z.array(peer).max(mostPeers).optional().describe('Peers that the rule admits. Default: every peer.'),
  ports: z.array(port).max(64).optional().describe('Ports that the rule admits. Default: all ports.'),
});
export type PolicyRule = z.infer<typeof rule>;

export const shadowPolicy = {
  kind: 'ShadowPolicy',
  plural: 'shadowpolicies',
  singular: 'shadowpolicy',
  shortNames: ['hpol'],
  scope: 'Namespaced',
  description:
    'ShadowPolicy is the record of a NetworkPolicy of an offloaded namespace, with its peers resolved. The provider creates a NetworkPolicy from it, cut to what the isolation of its consumers permits.',
  spec: z.object({
    podSelector: labelSelector.describe('Pods that the policy applies to, by the consumer’s labels.'),
    policyTypes: z
      .array(z.enum(['Ingress', 'Egress']))
      .min(1)
      .max(2)
      .describe('Directions that the policy restricts.'),
    ingress: z
      .array(rule)
      .max(128)
      .optional()
      .describe('Rules that admit incoming traffic. Default: none is admitted.'),
    egress: z
      .array(rule)
      .max(128)
      .optional()
      .describe('Rules that admit outgoing traffic. Default: none is admitted.'),
  }),
  status: z.object({ observedGeneration, conditions }),
  columns: [
    { name: 'Types', type: 'string', jsonPath: '.spec.policyTypes[*]' },
    statusOf('Carried'),
    reasonOf('Carried'),
    messageOf('Carried'),
    age,
  ],
  validations: [],
} satisfies Kind;
export type ShadowPolicy = HawserObject<typeof shadowPolicy>;
