import { z } from 'zod';
import { grant } from './grant.ts';
import {
  clusterID,
  conditions,
  dateTime,
  httpsURL,
  key32,
  label,
  objectName,
  observedGeneration,
  quantity,
  sha256Hex,
  type HawserObject,
  type Kind,
} from './meta.ts';

/** What a person wants of a peering while it lives. */
export const desired = z
  .enum(['Active', 'Cordoned', 'Drained'])
  .describe('Cordoned: no new pods. Drained: pods leave, respecting disruption budgets');

const ready = {
  name: 'Ready',
  type: 'string' as const,
  jsonPath: '.status.conditions[?(@.type=="Ready")].status',
};
const why = {
  name: 'Status',
  type: 'string' as const,
  jsonPath: '.status.conditions[?(@.type=="Ready")].message',
  priority: 1 as const,
};
const age = { name: 'Age', type: 'date' as const, jsonPath: '.metadata.creationTimestamp' };

export const peeringToken = {
  kind: 'PeeringToken',
  plural: 'peeringtokens',
  singular: 'peeringtoken',
  shortNames: ['pt'],
  scope: 'Namespaced',
  description: 'A pre-shared secret that one consumer may redeem once for a peering, and what it grants.',
  spec: z.object({
    secretHash: sha256Hex.describe('SHA-256 of the secret; the secret itself is shown once and kept nowhere'),
    expiresAt: dateTime,
    expectedCluster: clusterID.optional().describe('Only this consumer may redeem it'),
    grant,
    issuedBy: z.string().max(512).optional().describe('User name of whoever asked for it'),
    revoked: z.boolean().optional(),
  }),
  status: z.object({
    observedGeneration,
    conditions,
    redeemedBy: z
      .object({ clusterID, publicKey: key32, peering: label, at: dateTime })
      .optional()
      .describe('Written once, by compare-and-swap'),
  }),
  columns: [
    { name: 'Expires', type: 'string', jsonPath: '.spec.expiresAt' },
    { name: 'Consumer', type: 'string', jsonPath: '.status.redeemedBy.clusterID' },
    { name: 'Redeemable', type: 'string', jsonPath: '.status.conditions[?(@.type=="Redeemable")].status' },
    age,
  ],
  validations: [
    {
      rule: '!has(oldSelf.spec) || self.spec.secretHash == oldSelf.spec.secretHash',
      message: 'secretHash never changes; issue another token',
    },
  ],
} satisfies Kind;
export type PeeringToken = HawserObject<typeof peeringToken>;

const used = z.object({ cpu: quantity, memory: quantity, pods: z.int().min(0) });

/** How a provider sees a peering, as it tells the consumer alone. No secrets, nothing of others. */
export const peeringState = z.object({
  version: z.string().max(64),
  desired,
  tenantReady: z.boolean(),
  grant,
  used: used.optional(),
  tunnel: z
    .object({ established: z.boolean(), pathVerified: z.boolean(), latestHandshake: dateTime.optional() })
    .optional()
    .describe('Absent: the provider has none yet'),
  problems: z
    .array(z.object({ type: z.string().max(64).describe('Of the condition'), message: z.string().max(512) }))
    .max(16)
    .describe('What is not as it should be, a sentence each'),
});
export type PeeringState = z.infer<typeof peeringState>;

/** What came of asking the provider for it. */
export const providerReport = z.object({
  requestedAt: dateTime,
  request: z
    .string()
    .max(64)
    .optional()
    .describe('The wish to ask (annotation hawser.dev/ask-provider) that this answers'),
  state: peeringState.optional().describe('As it was told last'),
  reportedAt: dateTime.optional(),
  clockOffsetSeconds: z
    .number()
    .optional()
    .describe('How far the provider’s clock is ahead of this cluster’s'),
  problem: z
    .object({ reason: z.string().max(64), message: z.string().max(1024) })
    .optional()
    .describe('Why it told nothing at that time'),
});
export type ProviderReport = z.infer<typeof providerReport>;

export const outgoingPeering = {
  kind: 'OutgoingPeering',
  plural: 'outgoingpeerings',
  singular: 'outgoingpeering',
  shortNames: ['op'],
  scope: 'Cluster',
  description: 'A peering as its consumer sees it: which provider, which virtual node, how far it is.',
  spec: z.object({
    remoteCluster: clusterID,
    peering: label.max(20).describe('Tells apart several peerings with the same provider'),
    tokenSecretName: objectName
      .optional()
      .describe('Secret in Hawser’s namespace whose key "token" holds the peering token; removed once spent'),
    requests: z
      .object({ cpu: quantity, memory: quantity, pods: z.int().min(1) })
      .partial()
      .optional(),
    nodeName: objectName,
    desired,
  }),
  status: z.object({
    observedGeneration,
    conditions,
    tenantNamespace: label.optional(),
    grant: grant.optional(),
    providerDesired: desired.optional().describe('What the provider wants of it, by its signed document'),
    identity: z
      .object({ expiresAt: dateTime, renewAfter: dateTime, apiServerURL: httpsURL, secretName: objectName })
      .optional(),
    /** When each condition first turned true, so that a person sees what took how long. */
    phases: z
      .array(z.object({ name: z.string().max(64), at: dateTime }))
      .max(32)
      .optional(),
    provider: providerReport.optional(),
    residue: z
      .array(z.string().max(512))
      .max(64)
      .optional()
      .describe('What could not be removed, and how it can be'),
  }),
  columns: [
    { name: 'Remote', type: 'string', jsonPath: '.spec.remoteCluster' },
    { name: 'Node', type: 'string', jsonPath: '.spec.nodeName' },
    { name: 'Desired', type: 'string', jsonPath: '.spec.desired' },
    ready,
    why,
    age,
  ],
  validations: [
    {
      rule: '!has(oldSelf.spec) || self.spec.remoteCluster == oldSelf.spec.remoteCluster && self.spec.peering == oldSelf.spec.peering && self.spec.nodeName == oldSelf.spec.nodeName',
      message: 'remoteCluster, peering and nodeName never change; make another peering',
    },
  ],
} satisfies Kind;
export type OutgoingPeering = HawserObject<typeof outgoingPeering>;

export const incomingPeering = {
  kind: 'IncomingPeering',
  plural: 'incomingpeerings',
  singular: 'incomingpeering',
  shortNames: ['inp'],
  scope: 'Cluster',
  description: 'A peering as its provider sees it: which consumer, what it may use, what it uses.',
  spec: z.object({
    remoteCluster: clusterID,
    peering: label.max(20),
    grant,
    desired,
    tokenName: objectName.optional(),
  }),
  status: z.object({
    observedGeneration,
    conditions,
    tenantNamespace: label.optional(),
    identitySecretName: objectName
      .optional()
      .describe('Deleting it revokes every token of this peering at once'),
    used: used.optional(),
    revokedToken: z
      .string()
      .max(253)
      .optional()
      .describe(
        'tokenName of the peering when its identity was revoked: only another one lets the consumer in again',
      ),
    residue: z.array(z.string().max(512)).max(64).optional(),
  }),
  columns: [
    { name: 'Remote', type: 'string', jsonPath: '.spec.remoteCluster' },
    { name: 'CPU', type: 'string', jsonPath: '.status.used.cpu' },
    { name: 'Memory', type: 'string', jsonPath: '.status.used.memory' },
    { name: 'Pods', type: 'integer', jsonPath: '.status.used.pods' },
    { name: 'Desired', type: 'string', jsonPath: '.spec.desired' },
    ready,
    why,
    age,
  ],
  validations: [
    {
      rule: '!has(oldSelf.spec) || self.spec.remoteCluster == oldSelf.spec.remoteCluster && self.spec.peering == oldSelf.spec.peering',
      message: 'remoteCluster and peering never change',
    },
  ],
} satisfies Kind;
export type IncomingPeering = HawserObject<typeof incomingPeering>;
