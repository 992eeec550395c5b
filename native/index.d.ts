/**
 * The seam between the daemon and the packet engine.
 *
 * The daemon decides, the engine moves packets. What the daemon hands over is plain data: a configuration, applied
 * by difference, and short-lived keypairs as handshakes end. What comes back: handshake messages of foreign origin,
 * wishes ("this peer needs a handshake"), and counters in shared memory. JavaScript never touches a data packet.
 *
 * A packet's way. Entering means: from the TUN device, or opened from a peer. Leaving: to the TUN, or sealed to a peer.
 *
 *   from peer P                                      from the TUN
 *     admission of P on wire addresses                  source must lie in tunSources
 *     P.translation.in (source, destination)
 *     reverse path: routes(source) must include P
 *                        └──────────────┬───────────────┘
 *                   routes(destination) → local: write to the TUN
 *                                       → peer Q: Q.translation.out, admission of Q on wire addresses, MTU, seal
 *
 * Admission always speaks the addresses of the wire (before translation when entering, after it when leaving), so that
 * no choice of remapping can ever change what is admitted.
 */

/** A prefix in text, IPv4 or IPv6, host bits zero: `10.1.0.0/16`, `fd00::/64`, `10.1.2.3/32`. */
export type Prefix = string;

/** `192.0.2.1:51820`, `[2001:db8::1]:51820`, `[fe80::1%3]:51820` (scope as interface index). */
export type Endpoint = string;

/** An equally long pair of prefixes: the host part is kept, the prefix exchanged. */
export interface PrefixMapping {
  from: Prefix;
  to: Prefix;
}

/** Applied to a packet's addresses; an address that no mapping covers stays as it is. Longest match wins. */
export interface Translation {
  source: readonly PrefixMapping[];
  destination: readonly PrefixMapping[];
}

/** A set of addresses that belongs to groups: bit n of `groups` says that it is in group n (0–31). */
export interface AdmissionEntry {
  prefix: Prefix;
  groups: number;
}

/**
 * A packet is admitted when the longest match of its local-side address and the longest match of its remote-side address
 * share a group. Local side: source when leaving, destination when entering. No match is no group: fail closed.
 */
export interface Admission {
  local: readonly AdmissionEntry[];
  remote: readonly AdmissionEntry[];
}

export interface PeerConfiguration {
  /** Chosen by the caller, stable over the peer's life, below `EngineOptions.maximumPeers`; index of its counters. */
  id: number;
  /** Where to send. Absent: unknown until an authenticated packet arrives (roaming). Setting it overrides roaming. */
  endpoint?: Endpoint;
  /** Largest inner packet towards this peer, bytes; larger ones are answered with packet-too-big. 0: the TUN's. */
  mtu: number;
  /** Absent: nothing is translated. */
  translation?: { in: Translation; out: Translation };
  /** Absent: everything that the routes allow is admitted (bare tunnel, own nodes). */
  admission?: Admission;
}

/** Longest prefix decides. Several peers: one is chosen by a hash of the flow among those marked live. */
export interface Route {
  prefix: Prefix;
  /** Peer ids, or `'local'`: the TUN device. */
  targets: readonly (number | 'local')[];
}

export interface EngineConfiguration {
  peers: readonly PeerConfiguration[];
  routes: readonly Route[];
  /** Sources that packets read from the TUN may have; absent: any (bare tunnel). */
  tunSources?: readonly Prefix[];
  /** Peers among several targets of a route to leave out (dead slots). */
  deadPeers?: readonly number[];
  /** See `EngineDifference`. */
  switching?: boolean;
}

/**
 * What changed since the configuration now in force; removals first, then upserts. The engine builds the next immutable
 * snapshot from it and swaps one pointer; no packet in flight is lost. A peer that stays keeps keys, endpoint, counters.
 */
export interface EngineDifference {
  removePeers?: readonly number[];
  upsertPeers?: readonly PeerConfiguration[];
  removeRoutes?: readonly Prefix[];
  upsertRoutes?: readonly Route[];
  tunSources?: readonly Prefix[] | null;
  deadPeers?: readonly number[];
  /**
   * False: whatever a peer may send goes to the TUN, never to another peer (plain WireGuard, where allowed IPs may well cover
   * this host's own addresses). True from the start.
   */
  switching?: boolean;
}

/** One transport keypair (WireGuard paper, section 5.4.5). The arrays are copied, and may be zeroed by the caller. */
export interface Keypair {
  /** Index by which the peer names this session to us; chosen by us, unpredictable, unique within the engine. */
  localIndex: number;
  /** Index by which we name it to the peer. */
  remoteIndex: number;
  /** 32 bytes each. */
  sendKey: Uint8Array;
  receiveKey: Uint8Array;
  /** The initiator may send at once; the responder waits for the first authenticated packet (paper, section 5.1). */
  initiator: boolean;
  /** Nanoseconds on the engine's clock (`now()`); the limits REKEY_AFTER_TIME and REJECT_AFTER_TIME count from here. */
  createdAt: bigint;
  /**
   * Of an initiator: when a responder's keypair waits to be confirmed, because both called at once, it goes on waiting and
   * becomes current when the peer uses it. False or absent: it only opens what comes.
   */
  yields?: boolean;
}

export type EngineEvent =
  /**
   * A handshake message whose mac1 is right for the current public key (cookie replies: any). Of types 2 and 3 only what names
   * the last initiation or response that was sent to a peer.
   */
  | { type: 'handshake'; source: Endpoint; destination: string; bytes: Uint8Array }
  /** Data waits for a peer without a usable session, or a session asks for its successor; at most one per peer per second. */
  | { type: 'handshake-wanted'; peer: number; reason: 'no-session' | 'rekey-messages' | 'rekey-time' }
  /** The first authenticated packet of a `next` keypair arrived: it is current now (handshake complete for a responder). */
  | { type: 'session-confirmed'; peer: number; localIndex: number }
  /** An authenticated packet came from another address. */
  | { type: 'endpoint-changed'; peer: number; endpoint: Endpoint }
  /** The peer received the path probe of this token as big as it was sent; once for each `sendPathProbe` at most. */
  | { type: 'probe-answered'; peer: number; token: number }
  /** The TUN device was removed or its descriptor failed; the engine has stopped moving packets. */
  | { type: 'tun-closed'; message: string }
  /** The UDP socket failed for good. */
  | { type: 'udp-failed'; message: string };

export interface EngineOptions {
  /** Opens or creates this device (IFF_TUN | IFF_NO_PI | IFF_VNET_HDR, offloads where the kernel takes them). */
  tun: { name: string; mtu: number } | { fileDescriptor: number };
  /** 0: any port. Both families are opened; IPv6 only where the kernel has it. */
  port: number;
  /** SO_MARK of outgoing packets, 0 for none. */
  fwmark?: number;
  /** Pairs of threads (TUN→UDP, UDP→TUN); default 1. */
  threadPairs?: number;
  /** Capacity of the counters' shared memory; default 1024. */
  maximumPeers?: number;
  /** Handshake messages held for JavaScript at most; further ones are dropped and counted. Default 1024. */
  handshakeQueue?: number;
  /** Order of preference; the first that passes known answers and is measured fastest is used. Default: all. */
  aead?: readonly ('ipsec-mb' | 'openssl-low-level' | 'openssl-evp')[];
  /** Called on the loop that made the engine when events wait; call `drain()` then. */
  onEvents: () => void;
}

/** What the kernel and libraries allowed, chosen at start; shown in status. */
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
  | 'receivedBytes' // as WireGuard counts: outer payload of authenticated transport messages, and handshakes
  | 'sentBytes'
  | 'receivedPackets' // inner data packets
  | 'sentPackets'
  | 'lastDataReceived' // engine clock, ns; 0 never
  | 'lastDataSent'
  | 'lastReceived' // any authenticated transport message, keepalives too
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
  | 'noSession' // staging full or peer without keys
  | 'noEndpoint'
  | 'tooBig'
  | 'timeExceeded'
  | 'sendFailed'
  | 'tunWriteFailed'
  | 'badMac1'
  | 'handshakeQueueFull'
  | 'handshakeRate'
  | 'sealFailed' // the cipher's library failed; the packet was not sent
  | 'congestionUnannounced'; // marked on its way although its sender knows no marks: as good as lost there (RFC 6040)

export class Engine {
  constructor(options: EngineOptions);
  readonly tunName: string;
  readonly port: number;
  readonly features: EngineFeatures;
  /** SharedArrayBuffer viewed as u64; layout in `counterLayout`. */
  readonly counters: BigUint64Array;
  readonly counterLayout: CounterLayout;
  /** CLOCK_BOOTTIME (so that sleep counts), nanoseconds. */
  now(): bigint;

  /** Our static public key: the key of mac1 checks (hash of label and key is made inside). Null: silence. */
  setPublicKey(publicKey: Uint8Array | null): void;
  /**
   * What cookies are made with (32 bytes, copied), for the two minutes that they live: initiations that carry one come before
   * those of strangers, and have a rate of their own. Null: none was given out.
   */
  setCookieSecret(secret: Uint8Array | null): void;
  apply(difference: EngineDifference): void;

  /**
   * As initiator: becomes current, the old current becomes previous. As responder: becomes next, until the first packet of the
   * peer that uses it. What loses its place opens what comes for 15 s more.
   */
  addKeypair(peer: number, keypair: Keypair): void;
  /** Zeroes all keys of the peer. */
  clearKeypairs(peer: number): void;
  /** Local indices in use, to choose unpredictable ones that are free. */
  hasIndex(localIndex: number): boolean;

  /** Sends a handshake message to the peer's endpoint (sticky source), counted to the peer. False: no endpoint. */
  sendToPeer(peer: number, bytes: Uint8Array): boolean;
  /** Sends to any address, from `source` when given (cookie replies and responses leave from the address that was asked). */
  sendTo(destination: Endpoint, bytes: Uint8Array, source?: string): boolean;
  /** An authenticated handshake message is an authenticated packet: the peer roams to where it came from. */
  setEndpoint(peer: number, endpoint: Endpoint, source?: string): void;
  endpoint(peer: number): Endpoint | undefined;
  /** Sends an empty transport message, or flushes what is staged; wants a handshake when there is no session. */
  sendKeepalive(peer: number): void;

  /**
   * Sends a probe of `size` bytes (as an inner packet counts them) that no router may fragment; a peer of this make answers it.
   * `too-big`: this machine's own interface refuses it. An earlier one that is still unanswered is forgotten.
   */
  sendPathProbe(peer: number, token: number, size: number): 'sent' | 'too-big' | 'no-session';

  /**
   * At most 256 events, and whether more wait: then it must be called again, as `onEvents` isn't before all were taken. What
   * concerns a removed peer is left out, so there may be none and yet more.
   */
  drain(): { events: EngineEvent[]; more: boolean };

  /** Moves to another port (0: any) while running; returns it. */
  setPort(port: number): number;
  setFwmark(mark: number): void;

  /** Stops the threads, closes socket and TUN, zeroes keys. Idempotent. */
  close(): void;
}

/** AEADs this machine can run, with measured MB/s at 1420 bytes; for status and bench. */
export function measureAead(): { name: string; megabytesPerSecond: number; passed: boolean }[];

/** Index of a network interface by its name, whether or not it has a carrier or an address; 0: there is none. */
export function interfaceIndex(name: string): number;

/** Name of a network interface by its index; null: there is none. */
export function interfaceName(index: number): string | null;

/** X25519 (RFC 7748) of the program's OpenSSL on 32 raw bytes each; null: the program has none. */
export const x25519: {
  /** Null: the product is zero (a point of low order). */
  multiply(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | null;
  publicKeyOf(privateKey: Uint8Array): Uint8Array;
} | null;
