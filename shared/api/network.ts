import { z } from 'zod';
import { tunnelEndpoint } from './clusters.ts';
import {
  clusterID,
  conditions,
  dateTime,
  hostPort,
  key32,
  label,
  objectName,
  observedGeneration,
  prefix,
  type HawserObject,
  type Kind,
} from './meta.ts';

/** A range of another cluster under the prefix that this one knows it by. Same length. */
export const remap = z.object({
  real: prefix,
  mapped: prefix,
  state: z.enum(['InUse', 'Draining']),
  held: z
    .boolean()
    .optional()
    .describe(
      'Something of this cluster’s own has come to lie on it since it was chosen; it goes on all the same',
    ),
});
export type Remap = z.infer<typeof remap>;

const traffic = {
  receivedBytes: z.int().min(0),
  sentBytes: z.int().min(0),
};

const probes = z
  .object({ asked: z.int().min(0), lost: z.int().min(0) })
  .describe('Of the last path probes: how many were asked, and how many got no answer');

export const tunnel = {
  kind: 'Tunnel',
  plural: 'tunnels',
  singular: 'tunnel',
  shortNames: ['tun'],
  scope: 'Cluster',
  description: 'The network fabric to one remote cluster: endpoints, remappings, and whether packets pass.',
  spec: z.object({
    remoteCluster: clusterID,
    consumer: z.boolean().describe('This cluster offloads to the remote'),
    provider: z.boolean().describe('The remote offloads to this cluster'),
    open: z
      .boolean()
      .optional()
      .describe('Admit the declared ranges both ways instead of the consumer’s traffic only'),
    dialsInBand: z
      .boolean()
      .optional()
      .describe('This cluster’s controller reaches the remote’s gateway and API server through the tunnel'),
    servesInBand: z
      .boolean()
      .optional()
      .describe('The remote reaches this cluster’s gateway and API server through the tunnel'),
    remotePodCIDRs: z.array(prefix).max(64).describe('As the remote declares them'),
    remoteExternalCIDR: prefix.describe('As the remote declares it'),
    remoteEndpoints: z.array(tunnelEndpoint).max(16),
    remaps: z.array(remap).max(64).describe('Remote ranges as this cluster knows them; append-only'),
    remoteRemaps: z
      .array(z.object({ real: prefix, mapped: prefix }))
      .max(64)
      .describe('This cluster’s ranges as the remote knows them'),
    mtu: z.int().min(576).max(65_535).describe('Inner packets'),
    presharedKeyRevision: z
      .string()
      .max(64)
      .describe('Names the entry of the tunnel keys Secret; changes when a salt or cluster key does'),
  }),
  status: z.object({
    observedGeneration,
    conditions,
    latestHandshake: dateTime.optional(),
    roundTripMilliseconds: z.number().optional(),
    probes: probes.optional(),
    endpoint: hostPort.optional(),
    gatewayNode: z.string().max(253).optional(),
    pathMTU: z.int().min(0).max(65_535).optional().describe('Largest inner packet that probes found to pass'),
    traffic: z.object(traffic).optional(),
    collisions: z
      .array(z.object({ mapped: prefix, own: prefix }))
      .max(64)
      .optional()
      .describe(
        'Remaps in use that meet something of this cluster’s own; hawser remap approve lets them move',
      ),
  }),
  columns: [
    { name: 'Established', type: 'string', jsonPath: '.status.conditions[?(@.type=="Established")].status' },
    { name: 'Path', type: 'string', jsonPath: '.status.conditions[?(@.type=="PathVerified")].status' },
    { name: 'Remaps', type: 'string', jsonPath: '.spec.remaps[*].mapped' },
    { name: 'Endpoint', type: 'string', jsonPath: '.status.endpoint' },
    { name: 'Ready', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
    { name: 'MTU', type: 'integer', jsonPath: '.spec.mtu', priority: 1 },
    { name: 'Path MTU', type: 'integer', jsonPath: '.status.pathMTU', priority: 1 },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  ],
  validations: [
    { rule: 'self.metadata.name == self.spec.remoteCluster', message: 'the name is the remote cluster’s ID' },
  ],
} satisfies Kind;
export type Tunnel = HawserObject<typeof tunnel>;

/** What a node measured of one remote cluster. */
export const nodeSession = z.object({
  remoteCluster: clusterID,
  tunnelEndpoint: label.optional(),
  endpoint: hostPort.optional(),
  latestHandshake: dateTime.optional(),
  pathVerified: z.boolean(),
  pathMessage: z.string().max(1024).optional(),
  probedAt: dateTime.optional(),
  roundTripMilliseconds: z.number().optional(),
  probes: probes.optional(),
  pathMTU: z.int().min(0).max(65_535).optional().describe('Largest inner packet that probes found to pass'),
  ...traffic,
  drops: z.record(z.string().max(64), z.int().min(0)).optional(),
});
export type NodeSession = z.infer<typeof nodeSession>;

/** Something on a node that is not Hawser’s and may be in its way. */
export const hostProblem = z.object({
  reason: z.enum(['ReversePathFilter', 'ForeignMasquerade', 'ForeignDrop', 'ForwardingDisabled']),
  message: z.string().max(512).describe('What was seen, why it matters, what to do'),
});
export type HostProblem = z.infer<typeof hostProblem>;

/** What a node saw of one trace: probes that it sent itself, and how its counters moved meanwhile. */
export const nodeTrace = z.object({
  id: z.string().max(64),
  at: dateTime,
  address: z.string().max(45).optional().describe('Asked from here; absent: only counted'),
  source: z.string().max(45).optional(),
  asked: z.int().min(0),
  answered: z.int().min(0),
  roundTripMilliseconds: z.number().optional(),
  problem: z.string().max(512).optional(),
  peers: z
    .array(
      z.object({
        peer: z.string().max(253).describe('Node of this cluster, or remote cluster'),
        sentPackets: z.int().min(0),
        receivedPackets: z.int().min(0),
        drops: z.record(z.string().max(64), z.int().min(0)).optional(),
      }),
    )
    .max(64),
});
export type NodeTrace = z.infer<typeof nodeTrace>;

export const fabricNode = {
  kind: 'FabricNode',
  plural: 'fabricnodes',
  singular: 'fabricnode',
  shortNames: ['fn'],
  scope: 'Cluster',
  description: 'A node’s part in the fabric. The controller assigns the spec, the node reports the status.',
  spec: z.object({
    externalAddress: z
      .string()
      .max(45)
      .optional()
      .describe('The node’s own address of the external CIDR: how its host traffic is seen by remotes'),
    tunnelEndpoint: label.optional().describe('tunnel endpoint that this node holds'),
  }),
  status: z.object({
    observedGeneration,
    conditions,
    publicKey: key32.optional().describe('The node’s tunnel key; the tunnel endpoint’s, when it holds one'),
    endpoint: hostPort.optional().describe('Where the cluster’s other nodes reach it'),
    heldEndpoint: label.optional().describe('Tunnel endpoint that this node serves now'),
    appliedRevision: z.string().max(64).optional(),
    mappingRevision: z.string().max(64).optional().describe('Names the mapped addresses that it translates'),
    sessions: z.array(nodeSession).max(1024).optional(),
    features: z.record(z.string().max(64), z.string().max(128)).optional(),
    hostProblems: z
      .array(hostProblem)
      .max(16)
      .optional()
      .describe('What of this node outside Hawser may keep packets from passing'),
    refusals: z
      .array(
        z.object({
          remoteCluster: z.string().max(40).describe('Empty: of an address that was not known yet'),
          what: z.string().max(32),
          packets: z.int().min(0),
        }),
      )
      .max(256)
      .optional()
      .describe('Packets of consumers’ pods on this node that were refused, by what they were for'),
    trace: nodeTrace.optional().describe('The last one that the annotation hawser.dev/trace asked for'),
    version: z.string().max(64).optional(),
  }),
  columns: [
    { name: 'Address', type: 'string', jsonPath: '.spec.externalAddress' },
    { name: 'Tunnel endpoint', type: 'string', jsonPath: '.status.heldEndpoint' },
    { name: 'Endpoint', type: 'string', jsonPath: '.status.endpoint' },
    { name: 'Programmed', type: 'string', jsonPath: '.status.conditions[?(@.type=="Programmed")].status' },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  ],
  validations: [],
} satisfies Kind;
export type FabricNode = HawserObject<typeof fabricNode>;

export const addressMapping = {
  kind: 'AddressMapping',
  plural: 'addressmappings',
  singular: 'addressmapping',
  shortNames: ['am'],
  scope: 'Cluster',
  description:
    'An address of the external CIDR that stands for a pod of this cluster which runs at a provider, for other providers.',
  spec: z.object({
    address: z.string().max(45),
    target: z.string().max(45).describe('In this cluster’s terms'),
    remoteClusters: z.array(clusterID).max(128).describe('Who may use it'),
    pod: z
      .object({ namespace: label, name: objectName, uid: z.string().min(1).max(64) })
      .describe('Whose it is; it goes with the pod'),
    drainingSince: dateTime
      .optional()
      .describe('The pod is gone: nobody may use the address, and for a while nobody else is given it'),
  }),
  status: z.object({ observedGeneration, conditions }),
  columns: [
    { name: 'Address', type: 'string', jsonPath: '.spec.address' },
    { name: 'Target', type: 'string', jsonPath: '.spec.target' },
    { name: 'For', type: 'string', jsonPath: '.spec.remoteClusters[*]' },
    { name: 'Pod', type: 'string', jsonPath: '.spec.pod.name' },
    { name: 'Programmed', type: 'string', jsonPath: '.status.conditions[?(@.type=="Programmed")].status' },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  ],
  validations: [
    {
      rule: '!has(oldSelf.spec) || self.spec.address == oldSelf.spec.address && self.spec.pod.uid == oldSelf.spec.pod.uid',
      message: 'address and pod never change; another pod gets another AddressMapping',
    },
  ],
} satisfies Kind;
export type AddressMapping = HawserObject<typeof addressMapping>;
