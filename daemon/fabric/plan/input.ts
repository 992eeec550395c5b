/**
 * All inputs of a node's plan, as plain values. The plan depends on no Kubernetes object, no clock and no kernel.
 */

/** A node of this cluster in the fabric. */
export interface InputNode {
  name: string;
  /** Address by which the cluster's other nodes reach it. */
  address?: string;
  /** `address:port` of its tunnel. */
  endpoint?: string;
  /** X25519, base64. */
  publicKey?: string;
  /** Its own address of the external CIDR. */
  externalAddress?: string;
  /** Tunnel endpoint that it holds, on which the controller and the node agree. */
  tunnelEndpoint?: string;
}

export interface InputEndpoint {
  name: string;
  publicKey: string;
  /** Resolved address and port. */
  endpoint?: string;
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
  remotePodCIDRs: readonly string[];
  remoteExternalCIDR: string;
  tunnelEndpoints: readonly InputEndpoint[];
  remaps: readonly {
    real: string;
    mapped: string;
    state: 'InUse' | 'Draining';
    held?: boolean | undefined;
  }[];
  /** This cluster's ranges as the remote knows them. */
  remoteRemaps: readonly { real: string; mapped: string }[];
  mtu: number;
  /** Absent if it is not derived yet or this node holds no tunnel endpoint. */
  presharedKey?: Uint8Array;
}

/** A pod with an address of its own, now or soon, that has not finished. */
export interface InputPod {
  namespace: string;
  name: string;
  node: string;
  addresses: readonly string[];
}

/** An address of the external CIDR by which these remotes reach an own pod that runs at another remote. */
export interface InputMapping {
  address: string;
  /** As this cluster knows it. */
  target: string;
  remoteClusters: readonly string[];
}

export interface PlanInput {
  node: InputNode & {
    /** MTU of the path to the cluster's other nodes. */
    underlayMTU: number;
    /** Ranges that Kubernetes has assigned to its pods; whether pods use them depends on the network plugin. */
    podCIDRs?: readonly string[];
  };
  cluster: {
    podCIDRs: readonly string[];
    serviceCIDRs: readonly string[];
    nodeCIDRs: readonly string[];
    externalCIDR?: string;
    apiServerAddresses?: readonly string[];
  };
  /** Addresses of the API server as this node reaches it. */
  apiServer?: readonly string[];
  /** The other nodes. */
  nodes: readonly InputNode[];
  /** Older ones first: what two claim belongs to the older one. */
  tunnels: readonly InputTunnel[];
  pods: readonly InputPod[];
  /** Addresses of this cluster's own Hawser controller. */
  controllers: readonly string[];
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
  resolvers: readonly string[];
  /** Virtual nodes of this cluster: node name → remote cluster. */
  virtualNodes: ReadonlyMap<string, string>;
  /** AddressMappings that are in use. */
  addressMappings: readonly InputMapping[];
}
