/**
 * What the fabric needs of the tunnel device. The fabric owns this port; `roles/` puts the WireGuard device behind it.
 */
import type { Admission, Translation } from '../../native/index.d.ts';

export interface DevicePeer {
  /** X25519, 32 bytes in base64: the peer's name everywhere. */
  publicKey: string;
  /** 32 bytes. */
  presharedKey?: Uint8Array;
  /** `192.0.2.1:7470`, `[2001:db8::1]:7470`; names are resolved before. */
  endpoint?: string;
  persistentKeepaliveSeconds: number;
  /** Largest inner packet towards it, bytes. */
  mtu: number;
  /** Probes whether the path takes that much, and uses what it takes. */
  discoverPathMTU?: boolean;
  /** A peer that is not heard is called where it is configured to be as well as where it was heard last. */
  returnsToConfigured?: boolean;
  /** Absent: nothing is translated (own nodes). */
  translation?: { in: Translation; out: Translation };
  /** Absent: all that the routes allow (own nodes). */
  admission?: Admission;
}

export interface DeviceRoute {
  prefix: string;
  /** Public keys of peers, or `local`. */
  targets: readonly string[];
}

export interface DeviceConfiguration {
  privateKey: Uint8Array | null;
  port: number;
  fwmark: number;
  peers: readonly DevicePeer[];
  routes: readonly DeviceRoute[];
  tunSources?: readonly string[];
  deadPeers?: readonly string[];
}

export interface DevicePeerStatus {
  publicKey: string;
  endpoint?: string;
  /** Milliseconds since 1970; 0: never. */
  latestHandshake: number;
  established: boolean;
  /** Largest inner packet that probes found to pass. */
  pathMTU?: number;
  receivedBytes: number;
  sentBytes: number;
  /** Inner data packets. */
  receivedPackets?: number;
  sentPackets?: number;
  drops: Partial<Record<string, number>>;
}

export interface DeviceStatus {
  features: object;
  drops: Partial<Record<string, number>>;
  peers: readonly DevicePeerStatus[];
}

export interface TunnelDevice {
  /** Takes a whole configuration; only the difference is applied. Before `run` it is kept until then. */
  configure(configuration: DeviceConfiguration): Promise<void>;
  /** Recent; null before the device runs. */
  status(): DeviceStatus | null;
  /** Lasts as long as the device; rejects when it fails, and may be called again then. */
  run(signal: AbortSignal): Promise<void>;
}

/** Looks a host name up: addresses, best first. Rejects when there is none. */
export type Resolve = (hostName: string, signal: AbortSignal) => Promise<readonly string[]>;

/** What in-band consumers reach of this cluster: two ports, at addresses that this node holds. */
export interface InBandPlan {
  gateway: string;
  apiServer: string;
  /** Remote cluster → its pods' ranges as this cluster knows them. */
  consumers: { remoteCluster: string; ranges: string[] }[];
}

/** What answers for gateway and API server at addresses of this node. The fabric owns the addresses, `inband/` answers. */
export interface InBandService {
  /** Where, and to whom; undefined: nowhere. Called when the kernel holds the addresses. */
  update(plan: InBandPlan | undefined): void;
  run(signal: AbortSignal): Promise<void>;
}
