import { z } from 'zod';
import { age, message, messageOf, ready, reason, reasonOf, statusOf } from './columns.ts';
import { grant } from './grant.ts';
import {
  clusterID,
  conditions,
  dateTime,
  apiServerURL,
  key32,
  label,
  objectName,
  observedGeneration,
  quantity,
  sha256Hex,
  type HawserObject,
  type Kind,
} from './meta.ts';

/** The desired state of a peering. */
export const desired = z
  .enum(['Active', 'Cordoned', 'Drained'])
  .describe(
    'Active lets new pods come. Cordoned lets no new pods come. Drained moves the pods away as well, keeping disruption budgets.',
  );

const desiredInSpec = desired
  .default('Active')
  .describe(
    'State that this side wants of the peering; the stricter of both sides holds. Active lets new pods come. Cordoned lets no new pods come. Drained moves the pods away too, keeping disruption budgets. Default: Active.',
  );

const peering = label
  .max(20)
  .describe(
    'Name of the peering, which tells several peerings of the same two clusters apart. Example: default.',
  );

const tenantNamespace = label
  .optional()
  .describe('Namespace at the provider that holds the objects of this peering.');

const residue = z
  .array(z.string().max(512))
  .max(64)
  .optional()
  .describe('What could not be removed, each with the command that removes it.');

export const peeringToken = {
  kind: 'PeeringToken',
  plural: 'peeringtokens',
  singular: 'peeringtoken',
  shortNames: ['htoken'],
  scope: 'Namespaced',
  description:
    'PeeringToken is the provider’s record of a peering token: a secret that one consumer may redeem once for a peering, with what it grants. It lies in Hawser’s namespace.',
  spec: z.object({
    secretHash: sha256Hex.describe(
      'SHA-256 of the secret, in hexadecimal. The secret itself is shown once and stored nowhere.',
    ),
    expiresAt: dateTime.describe(
      'Time from which the token cannot be redeemed. Example: 2027-01-31T12:00:00Z.',
    ),
    consumer: clusterID
      .optional()
      .describe(
        'ID of the only cluster that may redeem the token. Default: any cluster. Example: home-t6xrzg.',
      ),
    grant: grant.describe('What the peering may use of this cluster.'),
    issuedBy: z
      .string()
      .max(512)
      .optional()
      .describe('User or command that issued the token. Default: none. Example: alice.'),
    revoked: z.boolean().optional().describe('Whether the token was revoked. Default: false.'),
  }),
  status: z.object({
    observedGeneration,
    conditions,
    redeemedBy: z
      .object({
        clusterID: clusterID.describe('ID of the consumer.'),
        publicKey: key32.describe('Ed25519 cluster key of the consumer, base64 of 32 bytes.'),
        peering: label.describe('Name of the peering.'),
        at: dateTime.describe('Time of the redemption.'),
      })
      .optional()
      .describe('Consumer that redeemed the token. It is written once, by compare-and-swap.'),
  }),
  columns: [
    { name: 'For', type: 'string', jsonPath: '.spec.consumer' },
    { name: 'Redeemed by', type: 'string', jsonPath: '.status.redeemedBy.clusterID' },
    statusOf('Redeemable'),
    reasonOf('Redeemable'),
    { name: 'CPU', type: 'string', jsonPath: '.spec.grant.cpu', priority: 1 },
    { name: 'Memory', type: 'string', jsonPath: '.spec.grant.memory', priority: 1 },
    { name: 'Pods', type: 'integer', jsonPath: '.spec.grant.pods', priority: 1 },
    { name: 'Issued by', type: 'string', jsonPath: '.spec.issuedBy', priority: 1 },
    // Not of type date: kubectl shows a date as the time since then, which is negative until the token expires.
    { name: 'Expires', type: 'string', jsonPath: '.spec.expiresAt' },
    messageOf('Redeemable'),
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

const used = z
  .object({
    cpu: quantity.describe('CPU that all pods together request.'),
    memory: quantity.describe('Memory that all pods together request.'),
    pods: z.int().min(0).describe('Number of pods that have not ended.'),
    extendedResources: grant.shape.extendedResources.describe(
      'Devices and huge pages that all pods together request, of those that are granted.',
    ),
  })
  .describe('What the pods of the peering use of the grant.');

/** How a provider sees a peering, as reported to that consumer only. It contains no secrets, and nothing about others. */
export const peeringState = z.object({
  version: z.string().max(64).describe('Version of Hawser at the provider.'),
  desired,
  tenantReady: z.boolean().describe('Whether the tenant namespace and its rights are in place.'),
  grant: grant.describe('What the peering may use.'),
  used: used.optional(),
  tunnel: z
    .object({
      established: z.boolean().describe('Whether the provider has a session with this cluster.'),
      pathVerified: z.boolean().describe('Whether a probe of the provider crossed the tunnel and came back.'),
      latestHandshake: dateTime.optional().describe('Time of the latest WireGuard handshake.'),
    })
    .optional()
    .describe('Tunnel as the provider sees it. Absent while it has none.'),
  problems: z
    .array(
      z.object({
        type: z.string().max(64).describe('Type of the condition that the problem comes from.'),
        reason: z.string().max(64).optional().describe('Reason of that condition, for programs.'),
        message: z.string().max(512).describe('The problem as a sentence.'),
      }),
    )
    .max(16)
    .describe('What keeps the peering from working at the provider.'),
});
export type PeeringState = z.infer<typeof peeringState>;

/** The result of the latest request for the provider report. */
export const providerReport = z.object({
  requestedAt: dateTime.describe('Time at which the provider was last asked.'),
  request: z
    .string()
    .max(64)
    .optional()
    .describe('Value of the annotation hawser.dev/ask-provider that this report answers.'),
  state: peeringState.optional().describe('Latest report of the provider.'),
  reportedAt: dateTime.optional().describe('Time of that report, by the provider’s clock.'),
  clockOffsetSeconds: z
    .number()
    .optional()
    .describe('Seconds by which the provider’s clock is ahead of this cluster’s.'),
  problem: z
    .object({
      reason: z.string().max(64).describe('Cause, as one word in UpperCamelCase.'),
      message: z.string().max(1024).describe('Cause, as a sentence.'),
    })
    .optional()
    .describe('Why the provider gave no report when it was last asked.'),
});
export type ProviderReport = z.infer<typeof providerReport>;

export const outgoingPeering = {
  kind: 'OutgoingPeering',
  plural: 'outgoingpeerings',
  singular: 'outgoingpeering',
  shortNames: ['hout'],
  scope: 'Cluster',
  description:
    'OutgoingPeering is a peering at its consumer: which provider, which virtual node, and its state. Deleting it ends the peering.',
  spec: z.object({
    remoteCluster: clusterID.describe('ID of the provider. Example: away-gcpb4b.'),
    peering,
    tokenSecretName: objectName
      .optional()
      .describe(
        'Secret in Hawser’s namespace whose key "token" holds the peering token. It is deleted once the token is redeemed. Default: none. Example: hawser-token-away-gcpb4b.',
      ),
    capacity: z
      .object({
        cpu: quantity.describe('CPU of the virtual node. Default: the grant’s. Example: 2.'),
        memory: quantity.describe('Memory of the virtual node. Default: the grant’s. Example: 4Gi.'),
        pods: z.int().min(1).describe('Pods of the virtual node. Default: the grant’s. Example: 20.'),
      })
      .partial()
      .optional()
      .describe(
        'Upper bound of what the virtual node offers to the scheduler; it never offers more than the grant. Default: the grant.',
      ),
    nodeName: objectName.describe('Name of the virtual node. Example: hawser-away-gcpb4b.'),
    desired: desiredInSpec,
  }),
  status: z.object({
    observedGeneration,
    conditions,
    tenantNamespace,
    grant: grant.optional().describe('What the provider grants to the peering.'),
    providerDesired: desired
      .optional()
      .describe('State that the provider wants of the peering, from its signed network document.'),
    identity: z
      .object({
        expiresAt: dateTime.describe('Time at which the identity expires.'),
        renewAfter: dateTime.describe('Time from which the controller renews it.'),
        apiServerURL: apiServerURL.describe('URL of the provider’s API server.'),
        secretName: objectName.describe('Secret in Hawser’s namespace that holds the identity.'),
      })
      .optional()
      .describe('Identity by which this cluster speaks to the provider’s API server.'),
    phases: z
      .array(
        z.object({
          name: z.string().max(64).describe('Type of the condition. Example: Authenticated.'),
          at: dateTime.describe('Time at which the condition first was True.'),
        }),
      )
      .max(32)
      .optional()
      .describe('Time at which each condition first was True, which shows what took how long.'),
    providerReport: providerReport.optional().describe('How the provider sees this peering.'),
    residue,
  }),
  columns: [
    { name: 'Provider', type: 'string', jsonPath: '.spec.remoteCluster' },
    { name: 'Node', type: 'string', jsonPath: '.spec.nodeName' },
    { name: 'Desired', type: 'string', jsonPath: '.spec.desired' },
    ready,
    reason,
    { name: 'CPU', type: 'string', jsonPath: '.status.grant.cpu', priority: 1 },
    { name: 'Memory', type: 'string', jsonPath: '.status.grant.memory', priority: 1 },
    { name: 'Pods', type: 'integer', jsonPath: '.status.grant.pods', priority: 1 },
    { name: 'Identity expires', type: 'string', jsonPath: '.status.identity.expiresAt', priority: 1 },
    message,
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
  shortNames: ['hin'],
  scope: 'Cluster',
  description:
    'IncomingPeering is a peering at its provider: which consumer, what it is granted, and what it uses. Deleting it ends the peering.',
  spec: z.object({
    remoteCluster: clusterID.describe('ID of the consumer. Example: home-t6xrzg.'),
    peering,
    grant: grant.describe(
      'What the consumer may use of this cluster. A change reaches the consumer at once.',
    ),
    desired: desiredInSpec,
    tokenName: objectName
      .optional()
      .describe(
        'PeeringToken by which the consumer was last authorized. Default: none. Example: token-5b1d0c7e.',
      ),
  }),
  status: z.object({
    observedGeneration,
    conditions,
    tenantNamespace,
    identitySecretName: objectName
      .optional()
      .describe(
        'Secret that the consumer’s identity is bound to. Deleting it ends every credential of this peering at once.',
      ),
    used: used.optional(),
    revokedTokenName: z
      .string()
      .max(253)
      .optional()
      .describe(
        'Value of spec.tokenName when the consumer was revoked. Only another peering token authorizes it again.',
      ),
    residue,
  }),
  columns: [
    { name: 'Consumer', type: 'string', jsonPath: '.spec.remoteCluster' },
    { name: 'CPU', type: 'string', jsonPath: '.status.used.cpu' },
    { name: 'Max CPU', type: 'string', jsonPath: '.spec.grant.cpu' },
    { name: 'Memory', type: 'string', jsonPath: '.status.used.memory' },
    { name: 'Max memory', type: 'string', jsonPath: '.spec.grant.memory' },
    { name: 'Pods', type: 'integer', jsonPath: '.status.used.pods' },
    { name: 'Max pods', type: 'integer', jsonPath: '.spec.grant.pods' },
    { name: 'Desired', type: 'string', jsonPath: '.spec.desired' },
    ready,
    reason,
    message,
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
