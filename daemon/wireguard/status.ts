/** What a device tells about itself: plain data, without any secret. */
import type { DropReason, EngineFeatures } from '../../native/index.d.ts';
import type { HandshakeCounter } from './effects.ts';

/** Packets dropped, by reason; reasons that never occurred are left out. */
export type Drops = Partial<Record<DropReason, number>>;

export interface PeerStatus {
  /** Base64. */
  publicKey: string;
  /** Where it was last; absent: unknown. */
  endpoint?: string;
  /** Milliseconds since 1970; 0: never. */
  latestHandshake: number;
  /** Whether there is a session that can seal now. */
  established: boolean;
  /** Largest inner packet that probes found to pass; absent: not found out. */
  pathMTU?: number;
  /** Outer UDP payload of authentic messages, handshakes included. */
  receivedBytes: number;
  sentBytes: number;
  /** Inner data packets. */
  receivedPackets: number;
  sentPackets: number;
  drops: Drops;
}

export interface DeviceStatus {
  /** The network interface's name, as it was made. */
  name: string;
  /** UDP port in use. */
  port: number;
  /** Base64; `null`: no private key is set. */
  publicKey: string | null;
  features: EngineFeatures;
  /** What could not be attributed to a peer. */
  drops: Drops;
  /** Handshake messages that led to nothing, and cookies sent. */
  handshakes: Record<HandshakeCounter, number>;
  peers: PeerStatus[];
}
