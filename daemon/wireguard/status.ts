/** A device's status: plain data without secrets. */
import type { DropReason, EngineFeatures } from '../../native/index.d.ts';
import type { HandshakeCounter } from './effects.ts';

/** Dropped packets by reason; reasons with count zero are absent. */
export type Drops = Partial<Record<DropReason, number>>;

export interface PeerStatus {
  /** Base64. */
  publicKey: string;
  /** Current endpoint; absent if unknown. */
  endpoint?: string;
  /** Milliseconds since 1970; 0 means never. */
  latestHandshake: number;
  /** Whether there is a session that can send now. */
  established: boolean;
  /** Largest inner packet that passed as a probe; absent if unknown. */
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
  /** The network interface's actual name. */
  name: string;
  /** UDP port in use. */
  port: number;
  /** Base64; `null` if no private key is set. */
  publicKey: string | null;
  features: EngineFeatures;
  /** Dropped packets that belong to no peer. */
  drops: Drops;
  /** Handshake messages without effect, and cookies sent. */
  handshakes: Record<HandshakeCounter, number>;
  peers: PeerStatus[];
}
