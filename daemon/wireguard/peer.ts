/** One remote peer: its keys, its handshake, its timers, and which sessions the engine holds for it. */
import type { PeerConfiguration } from './configuration.ts';
import { CookieGenerator } from './cookie.ts';
import type { ProtocolTimes } from './constants-of-protocol.ts';
import { PeerHandshake } from './handshake.ts';
import { PathMTU } from './path-mtu.ts';
import type { PathMTUTimes } from './path-mtu.ts';
import type { TimestampSource } from './tai64n.ts';
import { PeerTimers } from './timers.ts';

/** A session as far as it is known outside the engine: no keys. Times: monotonic milliseconds. */
export interface Session {
  localIndex: number;
  initiator: boolean;
  createdAt: number;
  /** Of our initiation: a session that the peer initiated at the same time goes before it, once the peer uses that. */
  yields: boolean;
}

/**
 * The places of the paper's section 5.1, mirrored from the engine: `current` seals; `previous` still opens what was on its
 * way; `next` was made as responder and waits for the first packet that proves the initiator has it too. What leaves them
 * opens for some seconds more in the engine, as the peer may not know yet that it has been replaced.
 */
export class SessionSlots {
  previous: Session | null = null;
  current: Session | null = null;
  next: Session | null = null;

  /** Puts a new session in its place; answers with the indices that are free again. */
  add(session: Session): number[] {
    const before = this.indices();
    if (!session.initiator) {
      this.next = session;
    } else if (this.next === null || session.yields) {
      this.previous = this.current;
      this.current = session;
    } else {
      // Both called at once, and ours goes before theirs, which is good for opening only.
      this.previous = this.next;
      this.next = null;
      this.current = session;
    }
    return this.#freedSince(before);
  }

  /** The first authenticated packet of `next` came. Answers with the freed indices, `null` when it isn't `next`. */
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
  /** Its own: a common one would run ahead of the clock when many are called at once, and a restart would be a replay. */
  readonly timestamps: TimestampSource;
  readonly slots = new SessionSlots();
  /** `null`: its path's MTU isn't looked for. */
  path: PathMTU | null = null;
  /** What the engine was told last, of the peer and of its MTU. */
  configuration: PeerConfiguration | null = null;
  mtu = 0;
  /** Where it was last, by configuration or by an authenticated packet. */
  endpoint: string | undefined;
  /** Where its last authenticated packet came from. */
  heardAt: string | undefined;
  /** Milliseconds since 1970; 0: never. */
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

  /** Its MTU as configured, and whether more is to be found out about it. */
  configure(configuration: PeerConfiguration, times: PathMTUTimes): void {
    this.configuration = configuration;
    const { mtu, discoverPathMTU = false } = configuration;
    if (!discoverPathMTU || mtu === 0) this.path = null;
    else if (this.path === null) this.path = new PathMTU(times, mtu);
    else this.path.setCeiling(mtu);
    this.mtu = this.path?.mtu ?? mtu;
  }

  /** An authenticated packet came from there: that is where it is now. */
  heard(endpoint: string): void {
    this.endpoint = endpoint;
    this.heardAt = endpoint;
  }

  /** It is not heard at its present endpoint: the next call goes to the other one that is known, if there is one. */
  turn(): void {
    const { endpoint: configured, returnsToConfigured = false } = this.configuration ?? {};
    if (!returnsToConfigured || configured === undefined) return;
    this.endpoint = this.endpoint === configured ? (this.heardAt ?? configured) : configured;
  }

  /** What `mtu` will be once it is configured so. */
  mtuUnder({ mtu, discoverPathMTU = false }: PeerConfiguration): number {
    return discoverPathMTU && mtu > 0 ? (this.path?.under(mtu) ?? mtu) : mtu;
  }
}
