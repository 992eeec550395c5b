/** One remote peer: its keys, its handshake, its timers, and the sessions that the engine holds for it. */
import type { PeerConfiguration } from './configuration.ts';
import { CookieGenerator } from './cookie.ts';
import type { ProtocolTimes } from './constants-of-protocol.ts';
import { PeerHandshake } from './handshake.ts';
import { PathMTU } from './path-mtu.ts';
import type { PathMTUTimes } from './path-mtu.ts';
import type { TimestampSource } from './tai64n.ts';
import { PeerTimers } from './timers.ts';

/** A session as known outside the engine, without keys. Times: monotonic milliseconds. */
export interface Session {
  localIndex: number;
  initiator: boolean;
  createdAt: number;
  /** For our initiation: a session that the peer initiated simultaneously takes precedence once the peer uses it. */
  yields: boolean;
}

/**
 * The session slots of the paper's section 5.1, mirrored from the engine: `current` encrypts; `previous` still decrypts
 * packets in flight; `next` was created as responder and waits for the first packet that confirms it. The engine keeps
 * decrypting with a replaced session for some seconds, since the peer may still use it.
 */
export class SessionSlots {
  previous: Session | null = null;
  current: Session | null = null;
  next: Session | null = null;

  /** Puts a new session in its slot; returns the indices that became free. */
  add(session: Session): number[] {
    const before = this.indices();
    if (!session.initiator) {
      this.next = session;
    } else if (this.next === null || session.yields) {
      this.previous = this.current;
      this.current = session;
    } else {
      // Simultaneous handshakes: our session is used, theirs only decrypts.
      this.previous = this.next;
      this.next = null;
      this.current = session;
    }
    return this.#freedSince(before);
  }

  /** The first authenticated packet of `next` arrived. Returns the freed indices; `null` when it isn't `next`. */
  confirm(localIndex: number): number[] | null {
    if (this.next?.localIndex !== localIndex) return null;
    const before = this.indices();
    this.previous = this.current;
    this.current = this.next;
    this.next = null;
    return this.#freedSince(before);
  }

  clear(): number[] {
    const before = this.indices();
    this.previous = null;
    this.current = null;
    this.next = null;
    return before;
  }

  indices(): number[] {
    return [this.previous, this.current, this.next]
      .filter((session) => session !== null)
      .map((session) => session.localIndex);
  }

  #freedSince(before: readonly number[]): number[] {
    const still = new Set(this.indices());
    return before.filter((index) => !still.has(index));
  }
}

export class Peer {
  readonly id: number;
  /** Base64, as configured. */
  readonly publicKey: string;
  readonly publicKeyBytes: Uint8Array;
  readonly handshake: PeerHandshake;
  readonly cookies: CookieGenerator;
  readonly timers: PeerTimers;
  /** One per peer: a shared one would run ahead of the clock with many peers, and be late after a restart. */
  readonly timestamps: TimestampSource;
  readonly slots = new SessionSlots();
  /** `null` if the path MTU isn't probed. */
  path: PathMTU | null = null;
  /** The peer's configuration and MTU as last passed to the engine. */
  configuration: PeerConfiguration | null = null;
  mtu = 0;
  /** Its current endpoint, by configuration or by an authenticated packet. */
  endpoint: string | undefined;
  /** The source of its last authenticated packet. */
  heardAt: string | undefined;
  /** Milliseconds since 1970; 0 means never. */
  latestHandshake = 0;
  /** Bytes of its authentic handshake messages, which the engine can't attribute. */
  handshakeBytesReceived = 0;

  constructor(
    id: number,
    publicKey: string,
    publicKeyBytes: Uint8Array,
    times: ProtocolTimes,
    jitter: (bound: number) => number,
    timestamps: TimestampSource,
  ) {
    this.id = id;
    this.publicKey = publicKey;
    this.publicKeyBytes = publicKeyBytes;
    this.handshake = new PeerHandshake(publicKeyBytes);
    this.cookies = new CookieGenerator(publicKeyBytes);
    this.timers = new PeerTimers(times, jitter);
    this.timestamps = timestamps;
  }

  /** Sets the configured MTU, and whether the path is probed. */
  configure(configuration: PeerConfiguration, times: PathMTUTimes): void {
    this.configuration = configuration;
    const { mtu, discoverPathMTU = false } = configuration;
    if (!discoverPathMTU || mtu === 0) this.path = null;
    else if (this.path === null) this.path = new PathMTU(times, mtu);
    else this.path.setCeiling(mtu);
    this.mtu = this.path?.mtu ?? mtu;
  }

  /** An authenticated packet came from this endpoint, which becomes the current one (roaming). */
  heard(endpoint: string): void {
    this.endpoint = endpoint;
    this.heardAt = endpoint;
  }

  /** The peer does not answer at its current endpoint: the next handshake goes to the other known one, if any. */
  turn(): void {
    const { endpoint: configured, returnsToConfigured = false } = this.configuration ?? {};
    if (!returnsToConfigured || configured === undefined) return;
    this.endpoint = this.endpoint === configured ? (this.heardAt ?? configured) : configured;
  }

  /** The value of `mtu` once this is configured. */
  mtuUnder({ mtu, discoverPathMTU = false }: PeerConfiguration): number {
    return discoverPathMTU && mtu > 0 ? (this.path?.under(mtu) ?? mtu) : mtu;
  }
}
