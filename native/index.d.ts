/**
 * The interface between the daemon and the packet engine.
 *
 * The daemon makes the decisions, the engine moves packets. The daemon passes plain data: a configuration, applied by
 * difference, and the short-lived keypairs of handshakes. The engine returns received handshake messages, requests ("this
 * peer needs a handshake"), and counters in shared memory. JavaScript never handles a data packet.
 *
 * The path of a packet. Entering: read from the TUN device, or received from a peer. Leaving: written to the TUN, or sent to
 * a peer.
 *
 *   from peer P                                      from the TUN
 *     admission of P on wire addresses                  source must lie in tunSources
 *     P.translation.in (source, destination)
 *     reverse path: routes(source) must include P
 *                        └──────────────┬───────────────┘
 *                   routes(destination) → local: write to the TUN
 *                                       → peer Q: Q.translation.out, admission of Q on wire addresses, MTU, seal
 *
 * Admission always uses the addresses on the wire (before translation when entering, after it when leaving), so that no
 * choice of remapping can change what is admitted.
 */

/** A prefix in text, IPv4 or IPv6, host bits zero: `10.1.0.0/16`, `fd00::/64`, `10.1.2.3/32`. */
export type Prefix = string;

/** `192.0.2.1:51820`, `[2001:db8::1]:51820`, `[fe80::1%3]:51820` (scope as interface index). */
export type Endpoint = string;

/** A pair of prefixes of equal length: the prefix is replaced, the host part kept. */
export interface PrefixMapping {
  from: Prefix;
  to: Prefix;
}

/** Applied to a packet's addresses; an address without a mapping stays unchanged. The longest match wins. */
export interface Translation {
  source: readonly PrefixMapping[];
  destination: readonly PrefixMapping[];
}

/** The groups of a prefix: bit n of `groups` means group n (0–31). */
export interface AdmissionEntry {
  prefix: Prefix;
  groups: number;
}

/**
 * A packet is admitted when the longest match of its local-side address and the longest match of its remote-side address
 * share a group. Local side: source when leaving, destination when entering. No match means no group, so the packet is
 * dropped.
 */
export interface Admission {
  local: readonly AdmissionEntry[];
  remote: readonly AdmissionEntry[];
}

export interface PeerConfiguration {
  /** Chosen by the caller, stable over the peer's lifetime, below `EngineOptions.maximumPeers`; index of its counters. */
  id: number;
  /** Destination of packets. Absent: unknown until an authenticated packet arrives (roaming). Setting it overrides roaming. */
  endpoint?: Endpoint;
  /** Largest inner packet to this peer, bytes; larger ones are answered with ICMP packet-too-big. 0 means the TUN's MTU. */
  mtu: number;
  /** Absent: no translation. */
  translation?: { in: Translation; out: Translation };
  /** Absent: everything that the routes allow is admitted (plain tunnel, own nodes). */
  admission?: Admission;
}

/** The longest prefix decides. Among several live peers a hash of the flow chooses one. */
export interface Route {
  prefix: Prefix;
  /** Peer ids, or `'local'`: the TUN device. */
  targets: readonly (number | 'local')[];
}

export interface EngineConfiguration {
  peers: readonly PeerConfiguration[];
  routes: readonly Route[];
  /** Allowed sources of packets from the TUN; absent means any (plain tunnel). */
  tunSources?: readonly Prefix[];
  /** Peers to skip among several targets of a route (dead tunnel endpoints). */
  deadPeers?: readonly number[];
  /** See `EngineDifference`. */
  switching?: boolean;
}

/**
 * The changes since the current configuration; removals first, then upserts. The engine builds the next immutable snapshot
 * from it and swaps one pointer, without losing packets in flight. A peer that stays keeps keys, endpoint and counters.
 */
export interface EngineDifference {
  removePeers?: readonly number[];
  upsertPeers?: readonly PeerConfiguration[];
  removeRoutes?: readonly Prefix[];
  upsertRoutes?: readonly Route[];
  tunSources?: readonly Prefix[] | null;
  deadPeers?: readonly number[];
  /**
   * False: packets of peers go to the TUN, never to another peer (plain WireGuard, whose allowed IPs may cover this host's own
   * addresses). Default true.
   */
  switching?: boolean;
}

/** One transport keypair (WireGuard paper, section 5.4.5). The arrays are copied, and may be zeroed by the caller. */
export interface Keypair {
  /** Our index of the session, which the peer sends; unpredictable, unique within the engine. */
  localIndex: number;
  /** The peer's index of the session, which we send. */
  remoteIndex: number;
  /** 32 bytes each. */
  sendKey: Uint8Array;
  receiveKey: Uint8Array;
  /** The initiator may send at once; the responder waits for the first authenticated packet (paper, section 5.1). */
  initiator: boolean;
  /** Nanoseconds on the engine's clock (`now()`); the limits REKEY_AFTER_TIME and REJECT_AFTER_TIME count from here. */
  createdAt: bigint;
  /**
   * For an initiator, after simultaneous handshakes: a responder keypair that waits for confirmation keeps waiting, and becomes
   * current when the peer uses it. False or absent: it only decrypts.
   */
  yields?: boolean;
}

export type EngineEvent =
  /**
   * A handshake message with a valid mac1 for the current public key (cookie replies have none). Messages of types 2 and 3 are
   * passed only if they refer to the last initiation or response sent to a peer.
   */
  | { type: 'handshake'; source: Endpoint; destination: string; bytes: Uint8Array }
  /** Data waits for a peer without a usable session, or a session needs a successor; at most one per peer and second. */
  | { type: 'handshake-wanted'; peer: number; reason: 'no-session' | 'rekey-messages' | 'rekey-time' }
  /** The first authenticated packet of a `next` keypair arrived, which makes it current (handshake complete for a responder). */
  | { type: 'session-confirmed'; peer: number; localIndex: number }
  /** An authenticated packet came from another address. */
  | { type: 'endpoint-changed'; peer: number; endpoint: Endpoint }
  /** The peer received the path probe with this token in full size; at most once per `sendPathProbe`. */
  | { type: 'probe-answered'; peer: number; token: number }
  /** The TUN device was removed or its descriptor failed; the engine has stopped moving packets. */
  | { type: 'tun-closed'; message: string }
  /** The UDP socket failed for good. */
  | { type: 'udp-failed'; message: string };

export interface EngineOptions {
  /** Opens or creates this device (IFF_TUN | IFF_NO_PI | IFF_VNET_HDR, with offloads where the kernel supports them). */
  tun: { name: string; mtu: number } | { fileDescriptor: number };
  /** 0 means any port. Both families are opened; IPv6 only where the kernel supports it. */
  port: number;
  /** SO_MARK of outgoing packets; 0 means none. */
  fwmark?: number;
  /** Pairs of threads (TUN→UDP, UDP→TUN); default 1. */
  threadPairs?: number;
  /** Capacity for peers, which is the number of rows in the counters' shared memory; default 1024. */
  maximumPeers?: number;
  /** Maximum number of handshake messages queued for JavaScript; further ones are dropped and counted. Default 1024. */
  handshakeQueue?: number;
  /** Candidates; of those that pass the test vectors the fastest is used. Default: all. */
  aead?: readonly ('ipsec-mb' | 'openssl-low-level' | 'openssl-evp')[];
  /** Called on the event loop that created the engine when events are queued; call `drain()` then. */
  onEvents: () => void;
}

/** Features of kernel and libraries in use, chosen at start; shown in the status. */
export interface EngineFeatures {
  aead: string;
  tunVnetHeader: boolean;
  tunTcpSegmentation: boolean;
  tunUdpSegmentation: boolean;
  udpSegmentation: boolean;
  udpReceiveCoalescing: boolean;
  ipv6: boolean;
  threadPairs: number;
}

/** Layout of the counters: u64 each, little-endian, one row per peer id, then one row for the whole engine (index maximumPeers). */
export interface CounterLayout {
  /** Numbers of u64 per row. */
  stride: number;
  /** Name → position in a row. Rows of peers hold at least the names in `PeerCounter` and every drop reason. */
  columns: Readonly<Record<string, number>>;
  dropReasons: readonly DropReason[];
}

export type PeerCounter =
  | 'receivedBytes' // as in WireGuard: outer payload of authenticated transport messages, and handshakes
  | 'sentBytes'
  | 'receivedPackets' // inner data packets
  | 'sentPackets'
  | 'lastDataReceived' // engine clock, ns; 0 means never
  | 'lastDataSent'
  | 'lastReceived' // any authenticated transport message, including keepalives
  | 'lastSent'
  | 'keepalivesReceived';

export type DropReason =
  | 'malformed'
  | 'unknownSession'
  | 'authentication'
  | 'replay'
  | 'keyExpired'
  | 'sourceNotAllowed' // reverse path, or not in tunSources
  | 'notAdmitted'
  | 'noRoute'
  | 'noSession' // staging queue full, or peer without keys
  | 'noEndpoint'
  | 'tooBig'
  | 'timeExceeded'
  | 'sendFailed'
  | 'tunWriteFailed'
  | 'badMac1'
  | 'handshakeQueueFull'
  | 'handshakeRate'
  | 'sealFailed' // the crypto library failed; the packet was not sent
  | 'congestionUnannounced'; // ECN-marked on the path although the sender does not support ECN: must be dropped (RFC 6040)

export class Engine {
  constructor(options: EngineOptions);
  readonly tunName: string;
  readonly port: number;
  readonly features: EngineFeatures;
  /** SharedArrayBuffer viewed as u64; layout in `counterLayout`. */
  readonly counters: BigUint64Array;
  readonly counterLayout: CounterLayout;
  /** CLOCK_BOOTTIME, which includes suspend, in nanoseconds. */
  now(): bigint;

  /** Our static public key, from which the engine derives the key of mac1 checks. Null: no handshake message is accepted. */
  setPublicKey(publicKey: Uint8Array | null): void;
  /**
   * The secret of cookies (32 bytes, copied), valid for two minutes: initiations with a valid cookie take precedence over
   * others, and have a rate limit of their own. Null: no cookie was sent yet.
   */
  setCookieSecret(secret: Uint8Array | null): void;
  apply(difference: EngineDifference): void;

  /**
   * As initiator: becomes current, and the old current becomes previous. As responder: becomes next until the peer's first
   * packet that uses it. A replaced keypair still decrypts for 15 s.
   */
  addKeypair(peer: number, keypair: Keypair): void;
  /** Zeroes all keys of the peer. */
  clearKeypairs(peer: number): void;
  /** Whether a local index is in use, for choosing a free one. */
  hasIndex(localIndex: number): boolean;

  /** Sends a handshake message to the peer's endpoint (sticky source), counted for the peer. False: no endpoint. */
  sendToPeer(peer: number, bytes: Uint8Array): boolean;
  /** Sends to any address, from `source` if given (cookie replies and responses leave from the address that received the request). */
  sendTo(destination: Endpoint, bytes: Uint8Array, source?: string): boolean;
  /** Roams the peer to the source of an authenticated handshake message. */
  setEndpoint(peer: number, endpoint: Endpoint, source?: string): void;
  endpoint(peer: number): Endpoint | undefined;
  /** Sends an empty transport message, or flushes staged packets; requests a handshake when there is no session. */
  sendKeepalive(peer: number): void;

  /**
   * Sends a probe of `size` bytes (inner packet size) with DF set; a Hawser peer answers it. `too-big`: the local interface
   * refuses it. An earlier unanswered probe is dropped.
   */
  sendPathProbe(peer: number, token: number, size: number): 'sent' | 'too-big' | 'no-session';

  /**
   * At most 256 events, and whether more are queued: then it must be called again, since `onEvents` is called only after the
   * queue was emptied. Events of removed peers are skipped, so the list may be empty although more are queued.
   */
  drain(): { events: EngineEvent[]; more: boolean };

  /** Changes the port (0 means any) while running; returns the new one. */
  setPort(port: number): number;
  setFwmark(mark: number): void;

  /** Stops the threads, closes socket and TUN, zeroes keys. Idempotent. */
  close(): void;
}

/** AEAD implementations available on this machine, with measured MB/s at 1420 bytes; for status and benchmarks. */
export function measureAead(): { name: string; megabytesPerSecond: number; passed: boolean }[];

/** Index of a network interface by its name, whether or not it has a carrier or an address; 0: there is none. */
export function interfaceIndex(name: string): number;

/** Name of a network interface by its index; null: there is none. */
export function interfaceName(index: number): string | null;

/** X25519 (RFC 7748) of the OpenSSL in the Node binary, on 32 raw bytes each; null if there is none. */
export const x25519: {
  /** Null: the product is zero (a point of low order). */
  multiply(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | null;
  publicKeyOf(privateKey: Uint8Array): Uint8Array;
} | null;
