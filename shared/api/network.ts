import { z } from 'zod';
import { tunnelEndpoint } from './clusters.ts';
import { age, message, messageOf, ready, reason, reasonOf, statusOf } from './columns.ts';
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

const real = prefix.describe('Range as its own cluster knows it. Example: 10.244.0.0/16.');
const mapped = prefix.describe(
  'Range as the other cluster knows it, of the same size. Example: 10.128.0.0/16.',
);

/** A range of another cluster, and the range of equal length by which this cluster knows it. */
export const remap = z.object({
  real,
  mapped,
  state: z
    .enum(['InUse', 'Draining'])
    .describe(
      'InUse translates every address of the range. Draining was replaced by another remap and translates only the addresses of pods that still run.',
    ),
  held: z
    .boolean()
    .optional()
    .describe(
      'Whether the mapped range has come to overlap something of this cluster since it was chosen. The remap stays in use until a person approves another one. Default: false.',
    ),
});
export type Remap = z.infer<typeof remap>;

const traffic = {
  receivedBytes: z.int().min(0).describe('Bytes received through the tunnel since the process started.'),
  sentBytes: z.int().min(0).describe('Bytes sent through the tunnel since the process started.'),
};

const probes = z
  .object({
    sent: z.int().min(0).describe('Number of the last path probes.'),
    lost: z.int().min(0).describe('Number of those that got no answer.'),
  })
  .describe('Result of the last path probes.');

const pathMTU = z
  .int()
  .min(0)
  .max(65_535)
  .describe('Largest packet inside the tunnel, in bytes, that path probes found to pass.');

const latestHandshake = dateTime.describe('Time of the latest WireGuard handshake.');
const roundTripMilliseconds = z.number().describe('Round-trip time of a probe, in milliseconds.');

const drops = z
  .record(z.string().max(64), z.int().min(0))
  .describe('Dropped packets by reason. Example: {"notAdmitted": 3}.');

export const tunnel = {
  kind: 'Tunnel',
  plural: 'tunnels',
  singular: 'tunnel',
  shortNames: ['htun'],
  scope: 'Cluster',
  description:
    'Tunnel is the network to one remote cluster: its tunnel endpoints, the remaps of both sides, and whether packets pass. The controller creates it; it is named by the remote cluster’s ID.',
  spec: z.object({
    remoteCluster: clusterID.describe('ID of the remote cluster. Example: away-gcpb4b.'),
    consumer: z.boolean().describe('Whether this cluster offloads to the remote.'),
    provider: z.boolean().describe('Whether the remote offloads to this cluster.'),
    dataPath: z
      .enum(['Isolated', 'Open'])
      .optional()
      .describe(
        'Isolated admits only traffic between a consumer and its own offloaded pods. Open admits all traffic between the declared pod ranges. Default: Isolated.',
      ),
    dialsInBand: z
      .boolean()
      .optional()
      .describe(
        'Whether this cluster’s controller reaches the remote’s API gateway and API server through the tunnel. Default: false.',
      ),
    servesInBand: z
      .boolean()
      .optional()
      .describe(
        'Whether the remote reaches this cluster’s API gateway and API server through the tunnel. Default: false.',
      ),
    remotePodCIDRs: z
      .array(prefix)
      .max(64)
      .describe('Pod ranges as the remote declares them. Example: 10.244.0.0/16.'),
    remoteExternalCIDR: prefix.describe('External CIDR as the remote declares it. Example: 100.64.208.0/20.'),
    remoteServiceCIDRs: z
      .array(prefix)
      .max(16)
      .optional()
      .describe(
        'Service ranges as the remote declares them. Pods that run here for the remote are refused packets to them. Default: none. Example: 10.96.0.0/16.',
      ),
    remoteTunnelEndpoints: z
      .array(tunnelEndpoint)
      .max(16)
      .describe('Tunnel endpoints of the remote with their keys and addresses.'),
    remaps: z
      .array(remap)
      .max(64)
      .describe('Remote ranges as this cluster knows them. Remaps are added, never changed in place.'),
    remoteRemaps: z
      .array(z.object({ real, mapped }))
      .max(64)
      .describe('Ranges of this cluster as the remote knows them.'),
    mtu: z
      .int()
      .min(576)
      .max(65_535)
      .describe('MTU of packets inside the tunnel, in bytes: the smaller of both sides. Example: 1420.'),
    presharedKeyRevision: z
      .string()
      .max(64)
      .describe(
        'Name of the pre-shared key in the Secret of the tunnel keys. It changes with a salt or a cluster key of either side. Example: 3f9a1c.',
      ),
  }),
  status: z.object({
    observedGeneration,
    conditions,
    latestHandshake: latestHandshake.optional(),
    roundTripMilliseconds: roundTripMilliseconds.optional(),
    probes: probes.optional(),
    endpoint: hostPort
      .optional()
      .describe('Address at which the remote’s tunnel endpoint is reached. Example: 203.0.113.8:7470.'),
    gatewayNode: z
      .string()
      .max(253)
      .optional()
      .describe('Gateway node of this cluster that has the session.'),
    pathMTU: pathMTU.optional(),
    traffic: z.object(traffic).optional().describe('Traffic of the gateway node’s session with the remote.'),
    collisions: z
      .array(
        z.object({
          mapped: prefix.describe('Mapped range of the remap.'),
          own: prefix.describe('Range of this cluster that it overlaps.'),
        }),
      )
      .max(64)
      .optional()
      .describe(
        'Remaps in use that overlap something of this cluster. The command hawser remap approve allows them to be replaced.',
      ),
    waitingRanges: z
      .array(
        z.object({
          real: prefix.describe('Range as the remote declares it.'),
          reason: z
            .enum(['NeedsApproval', 'NoFreeRange', 'InUseOtherwise', 'NotFree'])
            .describe(
              'NeedsApproval: the remote would exceed its share of addresses. NoFreeRange: no pool has a free range. InUseOtherwise: accepted without remapping, and remapped until approved. NotFree: accepted without remapping, but it overlaps another range.',
            ),
          mapped: prefix.optional().describe('Range in use here for it meanwhile.'),
          meets: prefix.optional().describe('Range that it overlaps.'),
        }),
      )
      .max(64)
      .optional()
      .describe('Ranges that the remote declares and that are not remapped yet, or not used as accepted.'),
  }),
  columns: [
    statusOf('Established'),
    statusOf('PathVerified', 'Path'),
    { name: 'Remaps', type: 'string', jsonPath: '.spec.remaps[*].mapped' },
    { name: 'Endpoint', type: 'string', jsonPath: '.status.endpoint' },
    ready,
    reason,
    { name: 'Gateway node', type: 'string', jsonPath: '.status.gatewayNode', priority: 1 },
    { name: 'MTU', type: 'integer', jsonPath: '.spec.mtu', priority: 1 },
    { name: 'Path MTU', type: 'integer', jsonPath: '.status.pathMTU', priority: 1 },
    message,
    age,
  ],
  validations: [
    { rule: 'self.metadata.name == self.spec.remoteCluster', message: 'the name is the remote cluster’s ID' },
  ],
} satisfies Kind;
export type Tunnel = HawserObject<typeof tunnel>;

/** The measurements of a node for one remote cluster. */
export const nodeSession = z.object({
  remoteCluster: clusterID.describe('ID of the remote cluster.'),
  tunnelEndpoint: label.optional().describe('Tunnel endpoint of the remote that the session is with.'),
  endpoint: hostPort.optional().describe('Address of the remote’s tunnel endpoint.'),
  latestHandshake: latestHandshake.optional(),
  pathVerified: z.boolean().describe('Whether a probe crossed the tunnel and came back.'),
  pathMessage: z.string().max(1024).optional().describe('Why the path is not verified.'),
  probedAt: dateTime.optional().describe('Time of the latest probe.'),
  roundTripMilliseconds: roundTripMilliseconds.optional(),
  probes: probes.optional(),
  pathMTU: pathMTU.optional(),
  ...traffic,
  drops: drops.optional(),
});
export type NodeSession = z.infer<typeof nodeSession>;

/** A foreign setting of a node that may interfere with Hawser. */
export const hostProblem = z.object({
  reason: z
    .enum(['ReversePathFilter', 'ForeignMasquerade', 'ForeignDrop', 'ForwardingDisabled', 'RouteRefused'])
    .describe('Kind of the problem.'),
  message: z.string().max(512).describe('What was found, why it matters, and what to do.'),
});
export type HostProblem = z.infer<typeof hostProblem>;

/** A node's results of one trace: its own probes, and the changes of its counters during that time. */
export const nodeTrace = z.object({
  id: z.string().max(64).describe('ID of the request, from the annotation.'),
  at: dateTime.describe('Time of the measurement.'),
  address: z
    .string()
    .max(45)
    .optional()
    .describe('Address that this node probed. Absent when it only counted packets.'),
  source: z.string().max(45).optional().describe('Source address of the probes.'),
  sent: z.int().min(0).describe('Number of probes that were sent.'),
  answered: z.int().min(0).describe('Number of probes that were answered.'),
  roundTripMilliseconds: roundTripMilliseconds.optional(),
  problem: z.string().max(512).optional().describe('Why nothing was measured.'),
  peers: z
    .array(
      z.object({
        peer: z.string().max(253).describe('Name of a node of this cluster, or ID of a remote cluster.'),
        sentPackets: z.int().min(0).describe('Packets sent to the peer during the measurement.'),
        receivedPackets: z.int().min(0).describe('Packets received from the peer during the measurement.'),
        drops: drops.optional(),
      }),
    )
    .max(64)
    .describe('Packets that crossed the node’s tunnel device during the measurement, for each peer.'),
});
export type NodeTrace = z.infer<typeof nodeTrace>;

/** A network that a node uses, and that no remote's range may cover. */
export const nodeNetwork = z.object({
  range: prefix.describe('Range, or single address. Example: 192.168.50.0/24.'),
  what: z
    .enum(['Route', 'Resolver', 'APIServer'])
    .describe(
      'Destination of a route other than a default one, DNS server, or address by which the node daemon speaks to the API server.',
    ),
});

/** A node reports at most this many; further ones are merged into fewer, wider ranges. */
export const maximumNetworks = 128;

export const fabricNode = {
  kind: 'FabricNode',
  plural: 'fabricnodes',
  singular: 'fabricnode',
  shortNames: ['hnode'],
  scope: 'Cluster',
  description:
    'FabricNode is one node’s part in the network between clusters. The controller assigns the spec, the node reports the status. It has the node’s name.',
  spec: z.object({
    externalAddress: z
      .string()
      .max(45)
      .optional()
      .describe(
        'Address of the external CIDR that stands for this node at remotes. Default: none until the controller assigns one. Example: 100.64.208.16.',
      ),
    tunnelEndpoint: label
      .optional()
      .describe(
        'Tunnel endpoint that this node is to hold, which makes it a gateway node. Default: none. Example: 0.',
      ),
  }),
  status: z.object({
    observedGeneration,
    conditions,
    publicKey: key32
      .optional()
      .describe('WireGuard public key of the node: that of the tunnel endpoint when it holds one.'),
    endpoint: hostPort
      .optional()
      .describe(
        'Address at which the other nodes of this cluster reach the node. Example: 192.168.10.4:7470.',
      ),
    heldTunnelEndpoint: label.optional().describe('Tunnel endpoint that this node serves now.'),
    appliedRevision: z
      .string()
      .max(64)
      .optional()
      .describe('Revision of the node’s plan that the kernel and the tunnel were given.'),
    mappingRevision: z
      .string()
      .max(64)
      .optional()
      .describe('Revision of the address mappings that the gateway node translates.'),
    sessions: z
      .array(nodeSession)
      .max(1024)
      .optional()
      .describe('What a gateway node measured, one entry for each remote cluster.'),
    features: z
      .record(z.string().max(64), z.string().max(128))
      .optional()
      .describe('What the node’s kernel and tunnel offer. Example: {"offload": "gso,gro"}.'),
    networks: z
      .array(nodeNetwork)
      .max(maximumNetworks)
      .optional()
      .describe('Networks that the node uses and that no remote’s range may cover.'),
    hostProblems: z
      .array(hostProblem)
      .max(16)
      .optional()
      .describe('Settings of the node outside Hawser that can keep packets from passing.'),
    refusals: z
      .array(
        z.object({
          remoteCluster: z
            .string()
            .max(40)
            .describe('ID of the consumer. Empty for an address whose pod was not known yet.'),
          reason: z.string().max(32).describe('What the packets were for. Example: metadata.'),
          packets: z.int().min(0).describe('Number of packets.'),
        }),
      )
      .max(256)
      .optional()
      .describe('Packets of consumers’ pods on this node that the isolation refused.'),
    trace: nodeTrace
      .optional()
      .describe('Result of the latest trace that the annotation hawser.dev/trace requested.'),
    version: z.string().max(64).optional().describe('Version of Hawser that runs on the node.'),
  }),
  columns: [
    { name: 'Address', type: 'string', jsonPath: '.spec.externalAddress' },
    { name: 'Tunnel endpoint', type: 'string', jsonPath: '.status.heldTunnelEndpoint' },
    { name: 'Endpoint', type: 'string', jsonPath: '.status.endpoint' },
    statusOf('Programmed'),
    reasonOf('Programmed'),
    { name: 'Problems', type: 'string', jsonPath: '.status.hostProblems[*].reason' },
    { name: 'Version', type: 'string', jsonPath: '.status.version', priority: 1 },
    messageOf('Programmed'),
    age,
  ],
  validations: [],
} satisfies Kind;
export type FabricNode = HawserObject<typeof fabricNode>;

export const addressMapping = {
  kind: 'AddressMapping',
  plural: 'addressmappings',
  singular: 'addressmapping',
  shortNames: ['hmap'],
  scope: 'Cluster',
  description:
    'AddressMapping gives a pod of this cluster that runs at one provider an address of the external CIDR, by which other providers reach it.',
  spec: z.object({
    address: z.string().max(45).describe('Address of the external CIDR. Example: 100.64.208.130.'),
    target: z.string().max(45).describe('Address of the pod as this cluster knows it. Example: 10.128.1.4.'),
    remoteClusters: z
      .array(clusterID)
      .max(128)
      .describe('IDs of the remote clusters that may use the address. Example: away-gcpb4b.'),
    pod: z
      .object({
        namespace: label.describe('Namespace of the pod. Example: shop.'),
        name: objectName.describe('Name of the pod. Example: db-0.'),
        uid: z
          .string()
          .min(1)
          .max(64)
          .describe('UID of the pod. Example: 6c2f0e4e-6b7c-4b0e-9d1a-1f2f3a4b5c6d.'),
      })
      .describe('Pod that the address stands for. The mapping is deleted with the pod.'),
    drainingSince: dateTime
      .optional()
      .describe(
        'Time at which the pod was gone. From then on the address is closed, and it is given to another pod only after a while. Default: none. Example: 2027-01-31T12:00:00Z.',
      ),
  }),
  status: z.object({ observedGeneration, conditions }),
  columns: [
    { name: 'Address', type: 'string', jsonPath: '.spec.address' },
    { name: 'Target', type: 'string', jsonPath: '.spec.target' },
    { name: 'For', type: 'string', jsonPath: '.spec.remoteClusters[*]' },
    { name: 'Namespace', type: 'string', jsonPath: '.spec.pod.namespace' },
    { name: 'Pod', type: 'string', jsonPath: '.spec.pod.name' },
    statusOf('Programmed'),
    reasonOf('Programmed'),
    messageOf('Programmed'),
    age,
  ],
  validations: [
    {
      rule: '!has(oldSelf.spec) || self.spec.address == oldSelf.spec.address && self.spec.pod.uid == oldSelf.spec.pod.uid',
      message: 'address and pod never change; another pod gets another AddressMapping',
    },
  ],
} satisfies Kind;
export type AddressMapping = HawserObject<typeof addressMapping>;
