import { z } from 'zod';
import { maximumGrant } from './grant.ts';
import { age, message, ready, reason, statusOf } from './columns.ts';
import {
  clusterID,
  conditions,
  dateTime,
  hostPort,
  apiServerURL,
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

/** A tunnel endpoint of a cluster, as other clusters see it. */
export const tunnelEndpoint = z.object({
  name: label.describe('Name of the tunnel endpoint, unique within its cluster. Example: 0.'),
  publicKey: key32.describe('WireGuard (X25519) public key of the tunnel endpoint, base64 of 32 bytes.'),
  addresses: z
    .array(hostPort)
    .max(8)
    .describe('Addresses at which the tunnel endpoint takes UDP packets. Example: 203.0.113.7:7470.'),
});
export type TunnelEndpoint = z.infer<typeof tunnelEndpoint>;

const signature = z
  .string()
  .max(128)
  .describe('Ed25519 signature over the payload text with its context, base64url.');

/** A short text with its signature. */
const signedText = z.object({
  payload: z.string().max(1024).describe('The signed JSON text, base64url.'),
  signature,
});
export type SignedText = z.infer<typeof signedText>;

/** A peer that missed more key successions than this must peer again. */
export const maximumSuccessions = 8;
export const keySuccessions = z
  .array(signedText)
  .max(maximumSuccessions)
  .describe(
    'Statements by which each cluster key named its successor, oldest first. Each is signed by the key that it replaces. Default: none.',
  );

/** A signed network document as it is sent and stored: the signed bytes, unchanged. */
export const signedDocument = z.object({
  payload: z.string().max(65_536).describe('The signed JSON document, base64url.'),
  signature,
  successions: keySuccessions.optional(),
});
export type SignedDocument = z.infer<typeof signedDocument>;

export const localCluster = {
  kind: 'LocalCluster',
  plural: 'localclusters',
  singular: 'localcluster',
  shortNames: ['hlc'],
  scope: 'Cluster',
  description:
    'LocalCluster describes this cluster as other clusters see it. There is one object, named self; the Helm chart creates it from its values.',
  spec: z.object({
    name: label
      .max(33)
      .optional()
      .describe(
        'Readable beginning of the cluster ID, used once when the ID is made at the first start. Default: cluster. Example: home.',
      ),
    podCIDRs: prefixes
      .optional()
      .describe('Address ranges of this cluster’s pods. Default: detected. Example: 10.244.0.0/16.'),
    serviceCIDRs: prefixes
      .optional()
      .describe('Address ranges of this cluster’s Services. Default: detected. Example: 10.96.0.0/16.'),
    nodeCIDRs: prefixes
      .optional()
      .describe(
        'Address ranges of this cluster’s nodes. Default: the /24 (IPv4) or /64 (IPv6) around each Node’s address. Example: 192.168.10.0/24.',
      ),
    reservedCIDRs: prefixes
      .optional()
      .describe(
        'Further ranges in use around the cluster that no remap may take. Default: none. Example: 172.16.0.0/12.',
      ),
    externalCIDR: prefix
      .optional()
      .describe(
        'Range whose addresses stand for what is not a pod of this cluster: its nodes and pods at third clusters. Default: a free /20 of 100.64.0.0/10. Example: 100.64.208.0/20.',
      ),
    remapPools: prefixes
      .optional()
      .describe(
        'Pools from which the ranges of remotes are remapped, in order of preference. Default: 100.64.0.0/10; once it is exhausted 10.128.0.0/9, 172.16.0.0/12 and 10.0.0.0/9; for IPv6, a /40 of unique local addresses. Example: 10.200.0.0/14.',
      ),
    acceptedRemoteCIDRs: z
      .array(
        z.object({
          remoteCluster: clusterID.describe('ID of the remote cluster. Example: milan-4q7xkd.'),
          cidrs: prefixes.describe(
            'Ranges of that remote, with all ranges inside them, that are not remapped. Example: 10.42.0.0/16.',
          ),
        }),
      )
      .max(256)
      .optional()
      .describe(
        'Ranges of remotes that are used here without remapping. Traffic of this cluster to such addresses goes to the remote, and to no other network that has them; a range that overlaps what this cluster uses is remapped nevertheless. Default: none.',
      ),
    gatewayURL: httpsURL
      .optional()
      .describe(
        'URL at which consumers reach the API gateway of this cluster. Default: the address of its Service. Example: https://203.0.113.7:7443.',
      ),
    apiServerURL: apiServerURL
      .optional()
      .describe(
        'URL at which consumers reach this cluster’s API server. Default: the server in the ConfigMap cluster-info of kube-public, or else the endpoint of the Service kubernetes. Example: https://203.0.113.5:6443.',
      ),
    apiServerCABundle: z
      .string()
      .max(65_536)
      .optional()
      .describe(
        'Certificates, in PEM, that sign the API server’s own. Default: the ConfigMap kube-root-ca.crt.',
      ),
    tunnelAddresses: z
      .array(hostPort)
      .max(8)
      .optional()
      .describe(
        'Addresses at which remotes reach this cluster’s tunnel endpoint. Default: those of its Service. Example: 203.0.113.8:7470.',
      ),
    mtu: z
      .int()
      .min(1280)
      .max(65_535)
      .optional()
      .describe('MTU of the path between the clusters, in bytes, outside the tunnel. Default: 1500.'),
    clusterKeyGeneration: z
      .int()
      .min(1)
      .optional()
      .describe(
        'Generation of the cluster key. Raising it by one replaces the key with a new one, which the old one signs. Default: 1.',
      ),
    maximumGrant: maximumGrant
      .optional()
      .describe(
        'The most that a peering token or an IncomingPeering may grant. Default: any amount of CPU, memory and pods; no enforcement None, no podSecurity privileged, no rawNetwork and no twinNamespaces.',
      ),
    dataPath: z
      .enum(['Isolated', 'Open'])
      .optional()
      .describe(
        'Isolated admits only traffic between a consumer and its own offloaded pods. Open admits all traffic between the declared pod ranges. Default: Isolated.',
      ),
  }),
  status: z.object({
    observedGeneration,
    conditions,
    clusterID: clusterID
      .optional()
      .describe('ID of this cluster, made once and never changed. Example: home-t6xrzg.'),
    publicKey: key32.optional().describe('Ed25519 cluster key in force, base64 of 32 bytes.'),
    keySuccessions: keySuccessions.optional(),
    clusterKeyGeneration: z.int().optional().describe('Generation of the cluster key in force.'),
    podCIDRs: prefixes.optional().describe('Ranges of this cluster’s pods in force.'),
    serviceCIDRs: prefixes.optional().describe('Ranges of this cluster’s Services in force.'),
    nodeCIDRs: prefixes.optional().describe('Ranges of this cluster’s nodes in force.'),
    externalCIDR: prefix.optional().describe('External CIDR in force.'),
    remapPools: prefixes
      .optional()
      .describe('Pools in force from which the ranges of remotes are remapped, in order of preference.'),
    gatewayURL: httpsURL.optional().describe('URL of the API gateway that is given to consumers.'),
    gatewayPin: sha256Hex
      .optional()
      .describe('SHA-256, in hexadecimal, of the SubjectPublicKeyInfo of the API gateway’s certificate.'),
    gatewayPinSince: dateTime.optional().describe('Time at which this pin replaced another one.'),
    gatewayStatement: signedDocument
      .optional()
      .describe(
        'The pin, signed by the cluster key, for consumers that know an earlier certificate of the API gateway.',
      ),
    apiServerURL: apiServerURL.optional().describe('URL of the API server that is given to consumers.'),
    apiServerAddresses: z
      .array(z.string().max(45))
      .max(64)
      .optional()
      .describe(
        'IP addresses of the API server: no consumer’s pod is allowed to reach them, and no remote’s range covers them.',
      ),
    mtu: z.int().optional().describe('MTU of packets inside the tunnel, in bytes.'),
    tunnelEndpoints: z
      .array(tunnelEndpoint)
      .max(64)
      .optional()
      .describe('Tunnel endpoints of this cluster with their keys and addresses.'),
    version: z.string().max(64).optional().describe('Version of Hawser that runs here. Example: 0.1.0.'),
  }),
  columns: [
    { name: 'ID', type: 'string', jsonPath: '.status.clusterID' },
    { name: 'Pods', type: 'string', jsonPath: '.status.podCIDRs[*]' },
    { name: 'Services', type: 'string', jsonPath: '.status.serviceCIDRs[*]' },
    { name: 'External', type: 'string', jsonPath: '.status.externalCIDR' },
    ready,
    reason,
    { name: 'Version', type: 'string', jsonPath: '.status.version' },
    { name: 'Gateway', type: 'string', jsonPath: '.status.gatewayURL', priority: 1 },
    { name: 'API server', type: 'string', jsonPath: '.status.apiServerURL', priority: 1 },
    message,
    age,
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
  shortNames: ['hrc'],
  scope: 'Cluster',
  description:
    'RemoteCluster describes another cluster: its key, how it is reached, and the network document that it declared. It is named by the cluster’s ID.',
  spec: z.object({
    clusterID: clusterID.describe(
      'ID of the remote cluster, equal to the object’s name. Example: away-gcpb4b.',
    ),
    publicKey: key32.describe(
      'Ed25519 cluster key of the remote, base64 of 32 bytes. A new key is accepted only when the old one signed it.',
    ),
    controlPlane: z
      .enum(['OutOfBand', 'InBand'])
      .default('OutOfBand')
      .describe(
        'How this cluster reaches the remote’s API gateway and API server: OutOfBand is beside the tunnel, InBand is inside it. Default: OutOfBand.',
      ),
    servesInBand: z
      .boolean()
      .optional()
      .describe(
        'Whether the remote reaches this cluster’s API gateway and API server inside the tunnel. Default: false.',
      ),
    keepTunnelUntil: dateTime
      .optional()
      .describe(
        'Time until which the tunnel is kept although no peering needs it yet. When no peering needs it then, this object is deleted. Default: none. Example: 2027-01-31T12:00:00Z.',
      ),
    tunnelAddresses: z
      .array(hostPort)
      .max(8)
      .optional()
      .describe(
        'Addresses at which this cluster reaches the remote’s tunnel endpoint. Default: those that the remote declares. Example: 203.0.113.8:7470.',
      ),
    gatewayURL: httpsURL
      .optional()
      .describe(
        'URL of the remote’s API gateway. Only a consumer has one. Default: none. Example: https://203.0.113.7:7443.',
      ),
    gatewayPin: sha256Hex
      .optional()
      .describe(
        'SHA-256, in hexadecimal, of the SubjectPublicKeyInfo of the certificate that the remote’s API gateway has to show. Default: none.',
      ),
    gatewayPinSince: dateTime
      .optional()
      .describe(
        'Time that the remote stated for this pin. An older statement is refused. Default: none. Example: 2027-01-31T12:00:00Z.',
      ),
    networkDocument: signedDocument
      .optional()
      .describe(
        'Network document of the remote as it was received: the valid one with the highest generation. Default: none.',
      ),
    version: z
      .string()
      .max(64)
      .optional()
      .describe('Version of Hawser that the remote reported. Default: none. Example: 0.1.0.'),
    features: z
      .array(z.string().max(64))
      .max(64)
      .optional()
      .describe('Optional features that the remote reported. Default: none.'),
  }),
  status: z.object({
    observedGeneration,
    conditions,
    localDocument: signedDocument.optional().describe('Network document of this cluster for the remote.'),
    localDocumentGeneration: z.int().optional().describe('Generation of this cluster’s network document.'),
    remoteDocumentGeneration: z.int().optional().describe('Generation of the remote’s network document.'),
    acknowledgedGeneration: z
      .int()
      .optional()
      .describe('Highest generation of this cluster’s network document that the remote confirmed to hold.'),
  }),
  columns: [
    { name: 'Control plane', type: 'string', jsonPath: '.spec.controlPlane' },
    statusOf('Authenticated'),
    statusOf('Compatible'),
    ready,
    reason,
    { name: 'Version', type: 'string', jsonPath: '.spec.version' },
    { name: 'Gateway', type: 'string', jsonPath: '.spec.gatewayURL', priority: 1 },
    message,
    age,
  ],
  validations: [{ rule: 'self.metadata.name == self.spec.clusterID', message: 'the name is the cluster ID' }],
} satisfies Kind;
export type RemoteCluster = HawserObject<typeof remoteCluster>;
