/** Ports, the tunnel device and fixed addresses that several processes share. */

/** Ports, equal in all clusters, so that firewall rules are the same everywhere. */
export const ports = {
  /** UDP, tunnel, on every node and at the tunnel endpoint's Service. */
  tunnel: 7470,
  /** HTTPS of the gateway. */
  gateway: 7443,
  /** Plain HTTP of the gateway's probes and metrics, cluster-internal. */
  gatewayMetrics: 7444,
  /** UDP, path probes inside the tunnel. */
  probe: 7471,
  /** HTTPS of the API server, inside the tunnel. */
  apiServer: 6443,
  /** HTTPS, kubelet API of the virtual nodes. */
  kubelet: 10250,
  /** HTTPS, admission webhook of the controller. */
  webhook: 7445,
  /** Plain HTTP, probes and metrics of the controller / of the node. */
  controllerMetrics: 7446,
  nodeMetrics: 7447,
} as const;

/** Name of the TUN device. Some eBPF CNIs ignore devices whose names begin with `cni`. */
export const tunDevice = 'cni-hawser0';

/** Offsets of fixed addresses in the external CIDR. */
export const externalOffsets = { probe: 1, gateway: 2, apiServer: 3, dns: 4, firstNode: 16 } as const;
