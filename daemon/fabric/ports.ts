/**
 * The port to the tunnel device. The fabric owns it; `roles/` implements it with the WireGuard device.
 */
import type { Admission, Translation } from '../../native/index.d.ts';

export interface DevicePeer {
  /** X25519, 32 bytes in base64; identifies the peer everywhere. */
  publicKey: string;
  /** 32 bytes. */
  presharedKey?: Uint8Array;
  /** `192.0.2.1:7470`, `[2001:db8::1]:7470`; host names are already resolved. */
  endpoint?: string;
  persistentKeepaliveSeconds: number;
  /** Largest inner packet to the peer, bytes. */
  mtu: number;
  /** Probes whether the path passes packets of that size, and uses the largest size that passes. */
  discoverPathMTU?: boolean;
  /** A peer that does not answer is sent handshakes at its configured endpoint too, not only at the last one it used. */
  returnsToConfigured?: boolean;
  /** Absent: no translation (own nodes). */
  translation?: { in: Translation; out: Translation };
  /** Absent: everything that the routes allow (own nodes). */
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
  /** Milliseconds since 1970; 0 means never. */
  latestHandshake: number;
  established: boolean;
  /** Largest inner packet that passed as a probe. */
  pathMTU?: number;
  receivedBytes: number;
  sentBytes: number;
  /** Counted in inner data packets. */
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
  /** Takes a complete configuration and applies the difference. Before `run` it is only stored. */
  configure(configuration: DeviceConfiguration): Promise<void>;
  /** A recent status; null before the device runs. */
  status(): DeviceStatus | null;
  /** Runs as long as the device exists; rejects when it fails, after which it may be called again. */
  run(signal: AbortSignal): Promise<void>;
}

/** Resolves a host name to addresses, the preferred ones first. Rejects when there are none. */
export type Resolve = (hostName: string, signal: AbortSignal) => Promise<readonly string[]>;

/** The two listeners for in-band consumers, at addresses that this node holds. */
export interface InBandPlan {
  gateway: string;
  apiServer: string;
  /** Remote cluster → its pods' ranges as this cluster knows them. */
  consumers: { remoteCluster: string; ranges: string[] }[];
}

/** Serves API gateway and API server at addresses of this node. The fabric owns the addresses; `inband/` implements the server. */
export interface InBandService {
  /** Where to listen, and for whom; undefined closes the listeners. Called once the kernel has the addresses. */
  update(plan: InBandPlan | undefined): void;
  run(signal: AbortSignal): Promise<void>;
}
