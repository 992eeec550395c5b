/**
 * All inputs of a node's plan, as plain values. The plan depends on no Kubernetes object, no clock and no kernel. Ranges and
 * addresses are parsed where the objects are read (`node/read-input.ts`).
 */
import type { ParsedMapping } from '../../../shared/net/address-mapping.ts';
import type { Host, Range } from '../../../shared/net/cidr.ts';

/** A node of this cluster in the fabric. */
export interface InputNode {
  name: string;
  /** Address by which the cluster's other nodes reach it. */
  address?: Host;
  /** `address:port` of its tunnel. */
  endpoint?: string;
  /** X25519, base64. */
  publicKey?: string;
  /** Its own address of the external CIDR. */
  externalAddress?: Host;
  /** Tunnel endpoint that it holds, on which the controller and the node agree. */
  tunnelEndpoint?: string;
}

export interface InputEndpoint {
  name: string;
  publicKey: string;
  /** Resolved address and port. */
  endpoint?: string;
}

/** A remote range and the range under which this cluster knows it. */
export interface InputRemap {
  real: Range;
  mapped: Range;
  state: 'InUse' | 'Draining';
  held?: boolean | undefined;
}

/** A remote cluster with a tunnel. */
export interface InputTunnel {
  remoteCluster: string;
  /** This cluster offloads to the remote. */
  consumer: boolean;
  /** The remote offloads to this cluster. */
  provider: boolean;
  /** Declared ranges are admitted both ways. */
  open: boolean;
  /** This cluster's controller reaches the remote's gateway and API server through the tunnel. */
  dialsInBand: boolean;
  /** The remote reaches this cluster's gateway and API server through the tunnel. */
  servesInBand: boolean;
  remotePodCIDRs: readonly Range[];
  remoteExternalCIDR: Range;
  /** Services of the remote, which no packet reaches from here. */
  remoteServiceCIDRs?: readonly Range[];
  tunnelEndpoints: readonly InputEndpoint[];
  remaps: readonly InputRemap[];
  /** This cluster's ranges as the remote knows them. */
  remoteRemaps: readonly ParsedMapping[];
  mtu: number;
  /** Absent if it is not derived yet or this node holds no tunnel endpoint. */
  presharedKey?: Uint8Array;
}

/** A pod with an address of its own, now or soon, that has not finished. */
export interface InputPod {
  namespace: string;
  name: string;
  node: string;
  addresses: readonly Host[];
}

/** An address of the external CIDR by which these remotes reach an own pod that runs at another remote. */
export interface InputMapping {
  address: Host;
  /** As this cluster knows it. */
  target: Host;
  remoteClusters: readonly string[];
}

export interface PlanInput {
  node: InputNode & {
    /** MTU of the path to the cluster's other nodes. */
    underlayMTU: number;
    /** Ranges that Kubernetes has assigned to its pods; whether pods use them depends on the network plugin. */
    podCIDRs?: readonly Range[];
  };
  cluster: {
    podCIDRs: readonly Range[];
    serviceCIDRs: readonly Range[];
    nodeCIDRs: readonly Range[];
    externalCIDR?: Range;
    apiServerAddresses?: readonly Host[];
  };
  /** Addresses of the API server as this node reaches it. */
  apiServer?: readonly Host[];
  /** The other nodes. */
  nodes: readonly InputNode[];
  /** Older ones first: what two claim belongs to the older one. */
  tunnels: readonly InputTunnel[];
  pods: readonly InputPod[];
  /** Addresses of this cluster's own Hawser controller. */
  controllers: readonly Host[];
  /** Namespaces that stand for a consumer's: namespace → remote cluster. */
  twins: ReadonlyMap<string, string>;
  /**
   * The same from the labels of the namespaces, which every node watches; a revoked consumer is listed until its pods are
   * gone.
   */
  tenants: ReadonlyMap<string, string>;
  /** Pods of consumers on all nodes. */
  tenantPods: readonly InputPod[];
  /** Addresses of DNS servers that every pod may query. */
  resolvers: readonly Host[];
  /** Virtual nodes of this cluster: node name → remote cluster. */
  virtualNodes: ReadonlyMap<string, string>;
  /** AddressMappings that are in use. */
  addressMappings: readonly InputMapping[];
  /** Hash of all of them, as the controller computes it. */
  mappingRevision: string;
  /** What could not be read and is left out: one sentence each. */
  unreadable: readonly string[];
}
