import { z } from 'zod';
import {
  clusterID,
  conditions,
  dateTime,
  hostPort,
  httpsURL,
  key32,
  label,
  observedGeneration,
  prefix,
  sha256Hex,
  type HawserObject,
  type Kind,
} from './meta.ts';

const prefixes = z.array(prefix).max(64);

/** A tunnel endpoint of a cluster as others see it. */
export const tunnelEndpoint = z.object({
  name: label,
  publicKey: key32,
  addresses: z.array(hostPort).max(8),
});
export type TunnelEndpoint = z.infer<typeof tunnelEndpoint>;

/** A short text with its signature. */
const signedText = z.object({
  payload: z.string().max(1024).describe('base64url of the JSON text'),
  signature: z.string().max(128).describe('base64url, Ed25519 over the payload text with its context'),
});
export type SignedText = z.infer<typeof signedText>;

/** A peer that was away for more successions of a key than these has to be peered with anew. */
export const maximumSuccessions = 8;
export const keySuccessions = z
  .array(signedText)
  .max(maximumSuccessions)
  .describe('By which keys succeeded each other, oldest first; each is signed by the key that it succeeds');

/** A network document in the form in which it travels and is stored: what was signed, byte for byte. */
export const signedDocument = z.object({
  payload: z.string().max(65_536).describe('base64url of the JSON document'),
  signature: z.string().max(128).describe('base64url, Ed25519 over the payload text with its context'),
  successions: keySuccessions.optional(),
});
export type SignedDocument = z.infer<typeof signedDocument>;

export const localCluster = {
  kind: 'LocalCluster',
  plural: 'localclusters',
  singular: 'localcluster',
  shortNames: ['lc'],
  scope: 'Cluster',
  description: 'This cluster as it presents itself to others. One object, named self.',
  spec: z.object({
    name: label
      .max(33)
      .optional()
      .describe('Readable beginning of the cluster ID; taken once, at first start'),
    podCIDRs: prefixes.optional().describe('Overrides detection'),
    serviceCIDRs: prefixes.optional().describe('Overrides detection'),
    nodeCIDRs: prefixes.optional().describe('Overrides detection'),
    reservedCIDRs: prefixes.optional().describe('Ranges that no remapping may touch'),
    externalCIDR: prefix.optional().describe('Addresses that stand for what is not a pod of this cluster'),
    remapPools: prefixes.optional().describe('Where free ranges for overlapping remotes are taken from'),
    gatewayURL: httpsURL.optional().describe('Overrides the address of the gateway Service'),
    apiServerURL: httpsURL.optional().describe('How consumers reach this API server'),
    apiServerCABundle: z.string().max(65_536).optional().describe('PEM; default kube-root-ca.crt'),
    tunnelAddresses: z
      .array(hostPort)
      .max(8)
      .optional()
      .describe('Overrides the addresses of the tunnel Services'),
    mtu: z.int().min(1280).max(65_535).optional().describe('Of the path between clusters; default 1500'),
    clusterKeyGeneration: z
      .int()
      .min(1)
      .optional()
      .describe('Raise it to have the cluster key succeeded by a new one, which the old one signs'),
    dataPath: z
      .enum(['Isolated', 'Open'])
      .optional()
      .describe('Isolated: only the consumer’s traffic crosses. Open: the declared ranges do'),
  }),
  status: z.object({
    observedGeneration,
    conditions,
    clusterID: clusterID.optional(),
    publicKey: key32.optional().describe('Ed25519 cluster key'),
    keySuccessions: keySuccessions.optional(),
    clusterKeyGeneration: z.int().optional().describe('Of the key in force'),
    podCIDRs: prefixes.optional(),
    serviceCIDRs: prefixes.optional(),
    nodeCIDRs: prefixes.optional(),
    externalCIDR: prefix.optional(),
    gatewayURL: httpsURL.optional(),
    gatewayPin: sha256Hex.optional().describe('SHA-256 of the gateway certificate’s SubjectPublicKeyInfo'),
    gatewayPinSince: dateTime.optional().describe('When that pin took the place of another'),
    gatewayStatement: signedDocument
      .optional()
      .describe('The pin as the cluster key signs it, for consumers that know another'),
    apiServerURL: httpsURL.optional(),
    apiServerAddresses: z
      .array(z.string().max(45))
      .max(16)
      .optional()
      .describe('Where the API server is, so that no consumer’s pod reaches it'),
    mtu: z.int().optional().describe('Inner packets'),
    tunnelEndpoints: z.array(tunnelEndpoint).max(16).optional(),
    version: z.string().max(64).optional(),
  }),
  columns: [
    { name: 'ID', type: 'string', jsonPath: '.status.clusterID' },
    { name: 'Pods', type: 'string', jsonPath: '.status.podCIDRs[*]' },
    { name: 'Services', type: 'string', jsonPath: '.status.serviceCIDRs[*]' },
    { name: 'External', type: 'string', jsonPath: '.status.externalCIDR' },
    { name: 'Ready', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
    { name: 'Gateway', type: 'string', jsonPath: '.status.gatewayURL', priority: 1 },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  ],
  validations: [
    { rule: "self.metadata.name == 'self'", message: 'there is one LocalCluster, and its name is self' },
  ],
} satisfies Kind;
export type LocalCluster = HawserObject<typeof localCluster>;

export const remoteCluster = {
  kind: 'RemoteCluster',
  plural: 'remoteclusters',
  singular: 'remotecluster',
  shortNames: ['rcl'],
  scope: 'Cluster',
  description:
    'Another cluster: who it is, how it is reached, what it declares of its network. Named by its ID.',
  spec: z.object({
    clusterID,
    publicKey: key32.describe('Ed25519 cluster key; a new one is taken only when the old one signed it'),
    controlPlane: z
      .enum(['OutOfBand', 'InBand'])
      .describe('How this cluster reaches its gateway and API server: beside the tunnel, or inside'),
    servesInBand: z
      .boolean()
      .optional()
      .describe('That cluster reaches this one’s gateway and API server inside the tunnel'),
    openUntil: dateTime
      .optional()
      .describe(
        'The tunnel is kept until then though no peering needs it yet; if none does by then, this object goes',
      ),
    tunnelAddresses: z
      .array(hostPort)
      .max(8)
      .optional()
      .describe('Where its tunnel is reached from here, when that is not what it declares'),
    gatewayURL: httpsURL.optional().describe('Where this cluster dials; only the consumer has one'),
    gatewayPin: sha256Hex.optional(),
    gatewayPinSince: dateTime
      .optional()
      .describe('Of the pin, as the remote stated it; an older statement is not taken any more'),
    networkDocument: signedDocument
      .optional()
      .describe('The remote’s network document as it came, with the highest generation that was valid'),
    version: z.string().max(64).optional(),
    features: z.array(z.string().max(64)).max(64).optional(),
  }),
  status: z.object({
    observedGeneration,
    conditions,
    localDocument: signedDocument.optional().describe('This cluster’s network document for that remote'),
    localDocumentGeneration: z.int().optional(),
    remoteDocumentGeneration: z.int().optional(),
    acknowledgedGeneration: z
      .int()
      .optional()
      .describe('Generation of ours that the remote confirmed to hold'),
  }),
  columns: [
    { name: 'Control plane', type: 'string', jsonPath: '.spec.controlPlane' },
    {
      name: 'Authenticated',
      type: 'string',
      jsonPath: '.status.conditions[?(@.type=="Authenticated")].status',
    },
    { name: 'Compatible', type: 'string', jsonPath: '.status.conditions[?(@.type=="Compatible")].status' },
    { name: 'Ready', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
    { name: 'Gateway', type: 'string', jsonPath: '.spec.gatewayURL', priority: 1 },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  ],
  validations: [{ rule: 'self.metadata.name == self.spec.clusterID', message: 'the name is the cluster ID' }],
} satisfies Kind;
export type RemoteCluster = HawserObject<typeof remoteCluster>;

export const lastSeen = dateTime.optional();
