/**
 * A WireGuard device as a pure state machine. Inputs are the configuration, handshake messages, the engine's requests and
 * the time; outputs are effects. It has no socket, clock or engine; `engine-driver.ts` performs the effects. Tests connect
 * two of them by a list of messages and simulate hours in milliseconds.
 */
import type { EngineDifference } from '../../native/index.d.ts';
import { checkConfiguration, EMPTY_CONFIGURATION } from './configuration.ts';
import type { DeviceConfiguration } from './configuration.ts';
import {
  DEFAULT_MAXIMUM_PEERS,
  INDEX_ATTEMPTS,
  LOAD_BACKLOG,
  LOAD_HOLD,
  OBSERVATION_INTERVAL,
} from './constants-of-implementation.ts';
import { PROTOCOL_TIMES } from './constants-of-protocol.ts';
import type { ProtocolTimes } from './constants-of-protocol.ts';
import { CookieChecker } from './cookie.ts';
import { HANDSHAKE_COUNTERS } from './effects.ts';
import type { DeviceEffect, DeviceEnvironment, DeviceInput, HandshakeCounter, Moment } from './effects.ts';
import { allocateNumbers, difference, enginePeer } from './diff.ts';
import { openPeerInitiation } from './handshake.ts';
import type { SessionKeys } from './handshake.ts';
import { decodeKey, encodeKey } from './keys.ts';
import { parseHandshakeMessage } from './messages.ts';
import type { HandshakeMessage } from './messages.ts';
import type { StaticKeys } from './noise.ts';
import { PATH_MTU_TIMES } from './path-mtu.ts';
import type { PathMTUTimes } from './path-mtu.ts';
import { Peer } from './peer.ts';
import { clamped, equal, erase, publicKeyOf } from './primitives.ts';
import { limitedSource, SourceLimiter } from './rate-limiter.ts';
import { TimestampSource } from './tai64n.ts';

const NANOSECONDS_PER_MILLISECOND = 1e6;

export class Device {
  readonly #environment: DeviceEnvironment;
  readonly #times: ProtocolTimes;
  readonly #pathTimes: PathMTUTimes;
  readonly #maximumPeers: number;
  /** The latest TAI64N timestamp sent to any removed peer: if such a peer is added again, it accepts only later ones. */
  #timestampsBefore = 0n;
  readonly #limiter = new SourceLimiter();
  readonly #peers = new Map<number, Peer>();
  /** Our session indices in use → their peer. */
  readonly #indices = new Map<number, Peer>();
  #configuration = EMPTY_CONFIGURATION;
  #numbers: ReadonlyMap<string, number> = new Map();
  #local: StaticKeys | null = null;
  #checker: CookieChecker | null = null;
  #loadUntil = 0;
  readonly counters: Record<HandshakeCounter, number>;

  constructor(
    environment: DeviceEnvironment,
    options: { times?: ProtocolTimes; pathTimes?: PathMTUTimes; maximumPeers?: number } = {},
  ) {
    this.#environment = environment;
    this.#times = options.times ?? PROTOCOL_TIMES;
    this.#pathTimes = options.pathTimes ?? PATH_MTU_TIMES;
    this.#maximumPeers = options.maximumPeers ?? DEFAULT_MAXIMUM_PEERS;
    this.counters = Object.fromEntries(HANDSHAKE_COUNTERS.map((name) => [name, 0])) as Record<
      HandshakeCounter,
      number
    >;
  }

  /** The current configuration. */
  get configuration(): DeviceConfiguration {
    return this.#configuration;
  }

  get peers(): Iterable<Peer> {
    return this.#peers.values();
  }

  /** Number of our indices used by handshakes and sessions. */
  get indicesInUse(): number {
    return this.#indices.size;
  }

  get publicKey(): Uint8Array | null {
    return this.#local?.publicKey ?? null;
  }

  /** Whether the peer has a session that can send now. */
  hasSession(peer: Peer, now: Moment): boolean {
    const current = peer.slots.current;
    return current !== null && now.monotonic - current.createdAt < this.#times.rejectAfterTime;
  }

  peerByPublicKey(publicKey: string): Peer | undefined {
    const number = this.#numbers.get(publicKey);
    return number === undefined ? undefined : this.#peers.get(number);
  }

  /**
   * Takes a complete configuration and returns the effects that lead to it from the current one. Throws a `ConfigurationError`
   * and changes nothing if it is invalid. `override`: public keys whose endpoint is set even if its configuration is unchanged.
   */
  configure(configuration: DeviceConfiguration, override: ReadonlySet<string> = new Set()): DeviceEffect[] {
    const { difference: change, commit } = this.prepare(configuration, override);
    const effects: DeviceEffect[] = change === null ? [] : [{ type: 'apply', difference: change }];
    return [...effects, ...commit()];
  }

  /**
   * The same in two steps, for a caller whose engine may refuse the difference: nothing changes until `commit`, which must be
   * called before anything else and returns the remaining effects.
   */
  prepare(
    configuration: DeviceConfiguration,
    override: ReadonlySet<string> = new Set(),
  ): { difference: EngineDifference | null; commit: () => DeviceEffect[] } {
    checkConfiguration(configuration, this.#maximumPeers);
    const numbers = allocateNumbers(this.#numbers, configuration.peers, this.#maximumPeers);
    const change = difference(
      { configuration: this.#configuration, numbers: this.#numbers },
      { configuration, numbers },
      override,
      (peer) => this.peerByPublicKey(peer.publicKey)?.mtuUnder(peer) ?? peer.mtu,
    );
    return { difference: change, commit: () => this.#commit(configuration, numbers, override) };
  }

  #commit(
    configuration: DeviceConfiguration,
    numbers: ReadonlyMap<string, number>,
    override: ReadonlySet<string>,
  ): DeviceEffect[] {
    const previous = new Map(this.#configuration.peers.map((peer) => [peer.publicKey, peer]));
    for (const [publicKey, number] of this.#numbers) {
      const peer = numbers.has(publicKey) ? undefined : this.#peers.get(number);
      if (peer !== undefined) this.#removePeer(peer);
    }
    for (const wanted of configuration.peers) {
      const number = numbers.get(wanted.publicKey);
      const key = decodeKey(wanted.publicKey);
      if (number === undefined || key === null) continue;
      let peer = this.#peers.get(number);
      if (peer === undefined) {
        peer = new Peer(
          number,
          wanted.publicKey,
          key,
          this.#times,
          (bound) => this.#below(bound),
          new TimestampSource(this.#timestampsBefore),
        );
        peer.handshake.setLocal(this.#local);
        this.#peers.set(number, peer);
      }
      peer.configure(wanted, this.#pathTimes);
      peer.handshake.setPresharedKey(wanted.presharedKey ?? null);
      peer.timers.setPersistentInterval(wanted.persistentKeepaliveSeconds * 1_000);
      const told = previous.get(wanted.publicKey)?.endpoint;
      if (wanted.endpoint !== undefined && (told !== wanted.endpoint || override.has(wanted.publicKey)))
        peer.endpoint = wanted.endpoint;
    }
    this.#configuration = configuration;
    this.#numbers = numbers;
    return this.#setPrivateKey(configuration.privateKey);
  }

  /** Handles an input. */
  handle(input: DeviceInput, now: Moment): DeviceEffect[] {
    if (input.type === 'handshake') return this.#handleHandshake(input, now);
    const peer = this.#peers.get(input.peer);
    if (peer === undefined) return [];
    switch (input.type) {
      case 'handshake-wanted':
        if (peer.timers.attempting || !peer.timers.mayInitiate(now.monotonic)) return [];
        if (this.#isRenewed(peer, now)) return [];
        return this.#initiate(peer, now, { retry: false, silent: false });
      case 'session-confirmed': {
        const freed = peer.slots.confirm(input.localIndex);
        if (freed === null) return [];
        this.#release(freed);
        // The peer's own handshake was answered in the meantime, so a second session would only replace the new one.
        this.#abandonHandshake(peer);
        return this.#sessionBegan(peer, now);
      }
      case 'endpoint-changed':
        peer.heard(input.endpoint);
        peer.path?.moved(now.monotonic);
        return this.#lookAtPath(peer, now);
      case 'probe-answered':
        peer.path?.answered(input.token, now.monotonic);
        return this.#lookAtPath(peer, now);
      case 'probe-refused':
        peer.path?.refused(input.token, now.monotonic);
        return this.#lookAtPath(peer, now);
      default:
        return input satisfies never;
    }
  }

  /** Advances the time. */
  handleTimeout(now: Moment): DeviceEffect[] {
    const effects: DeviceEffect[] = [];
    if (this.#local === null) return effects;
    for (const peer of this.#peers.values()) {
      const actions = peer.timers.advance(this.#environment.observe(peer.id), now.monotonic);
      for (const action of actions) {
        switch (action.type) {
          case 'initiate':
            if (!action.silent && this.#isRenewed(peer, now)) break;
            effects.push(...this.#initiate(peer, now, action));
            break;
          case 'keepalive':
            effects.push({ type: 'send-keepalive', peer: peer.id });
            break;
          case 'give-up':
            this.#abandonHandshake(peer);
            effects.push({
              type: 'log',
              level: 'info',
              peer: peer.publicKey,
              message: `no answer to handshakes for ${this.#times.rekeyAttemptTime / 1_000} s; waiting for the next packet`,
            });
            break;
          case 'erase-keys':
            effects.push(...this.#eraseKeys(peer));
            break;
        }
      }
      effects.push(...this.#lookAtPath(peer, now));
    }
    return effects;
  }

  /** When `handleTimeout` must be called at the latest, on the monotonic clock; `null`: only after another input. */
  nextTimeout(now: Moment): number | null {
    if (this.#local === null) return null;
    let next: number | null = null;
    for (const peer of this.#peers.values()) {
      const deadline = peer.timers.nextDeadline(this.#environment.observe(peer.id));
      if (deadline !== null && (next === null || deadline < next)) next = deadline;
      const probe = peer.path?.nextDeadline ?? null;
      if (probe !== null && (next === null || probe < next)) next = probe;
      if (peer.timers.needsObservation && (next === null || next > now.monotonic + OBSERVATION_INTERVAL))
        next = now.monotonic + OBSERVATION_INTERVAL;
    }
    return next;
  }

  /** Erases every secret. */
  close(): void {
    for (const peer of this.#peers.values()) this.#removePeer(peer);
    erase(this.#local?.privateKey);
    this.#local = null;
    this.#checker = null;
  }

  #setPrivateKey(privateKey: Uint8Array | null): DeviceEffect[] {
    const wanted = privateKey === null ? null : clamped(privateKey);
    if (
      wanted === null ? this.#local === null : this.#local !== null && equal(wanted, this.#local.privateKey)
    )
      return [];
    const effects: DeviceEffect[] = [];
    const old = this.#local;
    this.#local = wanted === null ? null : { privateKey: wanted, publicKey: publicKeyOf(wanted) };
    this.#checker =
      this.#local === null ? null : new CookieChecker(this.#local.publicKey, this.#environment.random);
    effects.push({ type: 'set-public-key', publicKey: this.#local?.publicKey ?? null });
    effects.push({ type: 'set-cookie-secret', secret: null });
    for (const peer of this.#peers.values()) {
      if (old !== null) effects.push(...this.#eraseKeys(peer));
      peer.handshake.setLocal(this.#local);
    }
    erase(old?.privateKey);
    return effects;
  }

  #handleHandshake(
    input: { source: string; destination: string; bytes: Uint8Array; backlog: number },
    now: Moment,
  ): DeviceEffect[] {
    const checker = this.#checker;
    if (checker === null || this.#local === null) return [];
    const message = parseHandshakeMessage(input.bytes);
    if (message === null) return this.#dropped('malformed');
    if (message.type === 'cookie-reply') {
      const peer = this.#indices.get(message.receiver);
      if (peer === undefined) return this.#dropped('unknownIndex');
      const taken = peer.cookies.consumeReply(message.nonce, message.sealedCookie, now.monotonic);
      return taken ? [] : this.#dropped('forged');
    }

    if (!checker.checkMac1(input.bytes)) return this.#dropped('wrongMac1');
    if (input.backlog >= LOAD_BACKLOG) this.#loadUntil = now.monotonic + LOAD_HOLD;
    if (now.monotonic < this.#loadUntil) {
      if (!checker.checkMac2(input.bytes, input.source, now.monotonic)) {
        this.counters.cookiesSent++;
        const known = checker.secret;
        const reply = checker.createReply(input.bytes, message.sender, input.source, now.monotonic);
        const { secret } = checker;
        return [
          ...(secret === null || secret === known ? [] : [{ type: 'set-cookie-secret', secret } as const]),
          { type: 'send-to', destination: input.source, bytes: reply, source: input.destination },
        ];
      }
      if (!this.#limiter.allow(limitedSource(input.source), now.monotonic))
        return this.#dropped('rateLimited');
    }
    return message.type === 'initiation'
      ? this.#handleInitiation(message, input, now, this.#local)
      : this.#handleResponse(message, input, now);
  }

  #handleInitiation(
    message: Extract<HandshakeMessage, { type: 'initiation' }>,
    from: { source: string; destination: string; bytes: Uint8Array },
    now: Moment,
    local: StaticKeys,
  ): DeviceEffect[] {
    const opened = openPeerInitiation(local, message.noise);
    if (opened === null) return this.#dropped('forged');
    const peer = this.peerByPublicKey(encodeKey(opened.remoteStatic));
    if (peer === undefined) return this.#dropped('unknownPeer');
    const accepted = peer.handshake.accept(opened, now.monotonic);
    if (accepted === 'forged') return this.#dropped('forged');
    if (accepted === 'replayed') return this.#dropped('replayed');
    if (accepted === 'too-frequent') return this.#dropped('tooFrequent');
    const localIndex = this.#freeIndex();
    const answer = peer.handshake.respond(accepted, message.sender, localIndex, this.#environment.random);
    if (answer === null) return this.#dropped('forged');

    peer.cookies.addMacs(answer.message, now.monotonic);
    peer.handshakeBytesReceived += from.bytes.length;
    peer.heard(from.source);
    peer.timers.handshakeReceived(now.monotonic);
    peer.timers.responseSent(now.monotonic);
    return [
      { type: 'set-endpoint', peer: peer.id, endpoint: from.source, source: from.destination },
      this.#addKeypair(peer, answer.session, now),
      { type: 'send-to-peer', peer: peer.id, bytes: answer.message },
    ];
  }

  #handleResponse(
    message: Extract<HandshakeMessage, { type: 'response' }>,
    from: { source: string; destination: string; bytes: Uint8Array },
    now: Moment,
  ): DeviceEffect[] {
    const peer = this.#indices.get(message.receiver);
    if (peer === undefined || peer.handshake.pendingIndex !== message.receiver)
      return this.#dropped('unknownIndex');
    const session = peer.handshake.consumeResponse(message.sender, message.noise);
    if (session === null) return this.#dropped('forged');
    peer.handshakeBytesReceived += from.bytes.length;
    peer.heard(from.source);
    peer.timers.handshakeReceived(now.monotonic);
    return [
      { type: 'set-endpoint', peer: peer.id, endpoint: from.source, source: from.destination },
      this.#addKeypair(peer, session, now),
      ...this.#sessionBegan(peer, now),
      // Confirms the session to the responder (section 5.1), with queued data or a keepalive.
      { type: 'send-keepalive', peer: peer.id },
    ];
  }

  /**
   * Whether the peer's handshake was just answered while a session that can send lasts: then we renew nothing, since a second
   * handshake would cross the first.
   */
  #isRenewed(peer: Peer, now: Moment): boolean {
    const { next } = peer.slots;
    return (
      next !== null && now.monotonic - next.createdAt < this.#times.rekeyTimeout && this.hasSession(peer, now)
    );
  }

  #initiate(peer: Peer, now: Moment, how: { retry: boolean; silent: boolean }): DeviceEffect[] {
    if (this.#local === null || peer.endpoint === undefined || !peer.handshake.usable) {
      peer.timers.attemptsEnded();
      return [];
    }
    this.#abandonHandshake(peer);
    if (how.silent) peer.turn();
    const localIndex = this.#freeIndex();
    const timestamp = peer.timestamps.next(now.wall);
    const bytes = peer.handshake.initiate(localIndex, timestamp, this.#environment.random);
    if (bytes === null) return [];
    this.#indices.set(localIndex, peer);
    peer.cookies.addMacs(bytes, now.monotonic);
    peer.timers.initiationSent(now.monotonic, how.retry);
    const effects: DeviceEffect[] = [{ type: 'send-to-peer', peer: peer.id, bytes }];
    // The cached source address may be the reason for the missing answer.
    if (how.silent) effects.unshift({ type: 'set-endpoint', peer: peer.id, endpoint: peer.endpoint });
    return effects;
  }

  #addKeypair(peer: Peer, session: SessionKeys, now: Moment): DeviceEffect {
    const { localIndex, initiator } = session;
    this.#indices.set(localIndex, peer);
    const yields = initiator && this.#yields(peer);
    this.#release(peer.slots.add({ localIndex, initiator, createdAt: now.monotonic, yields }));
    peer.timers.keysDerived(now.monotonic);
    const createdAt = BigInt(Math.round(now.monotonic * NANOSECONDS_PER_MILLISECOND));
    return { type: 'add-keypair', peer: peer.id, keypair: { ...session, createdAt, yields } };
  }

  /**
   * Simultaneous handshakes give two sessions, and both ends must choose the same one, or each would renew its own forever.
   * Between two Hawser devices the session of the greater public key wins; other implementations are unaffected, since they
   * drop their own initiation when they answer ours.
   */
  #yields(peer: Peer): boolean {
    return this.#local !== null && isGreater(peer.publicKeyBytes, this.#local.publicKey);
  }

  #sessionBegan(peer: Peer, now: Moment): DeviceEffect[] {
    const current = peer.slots.current;
    if (current === null) return [];
    peer.timers.sessionBegan(current.createdAt, current.initiator);
    peer.latestHandshake = now.wall;
    const role = current.initiator ? 'initiator' : 'responder';
    return [{ type: 'log', level: 'debug', peer: peer.publicKey, message: `handshake complete as ${role}` }];
  }

  /** Sends the probe that is due, and updates the engine when another packet size is known to pass. */
  #lookAtPath(peer: Peer, now: Moment): DeviceEffect[] {
    const { path, configuration } = peer;
    if (path === null || configuration === null) return [];
    const probe = path.advance(this.hasSession(peer, now), now.monotonic);
    const effects: DeviceEffect[] = [];
    if (path.mtu !== peer.mtu) {
      const message = `the path takes inner packets of ${path.mtu} bytes, of ${configuration.mtu} configured; before: ${peer.mtu}`;
      peer.mtu = path.mtu;
      const upsertPeers = [enginePeer(configuration, peer.id, path.mtu, false)];
      effects.push({ type: 'apply', difference: { upsertPeers } });
      effects.push({ type: 'log', level: 'debug', peer: peer.publicKey, message });
    }
    if (probe !== null) effects.push({ type: 'send-probe', peer: peer.id, ...probe });
    return effects;
  }

  #abandonHandshake(peer: Peer): void {
    const index = peer.handshake.pendingIndex;
    peer.handshake.abandon();
    if (index !== null) this.#release([index]);
  }

  #eraseKeys(peer: Peer): DeviceEffect[] {
    this.#abandonHandshake(peer);
    this.#release(peer.slots.clear());
    peer.timers.keysErased();
    return [{ type: 'clear-keypairs', peer: peer.id }];
  }

  #removePeer(peer: Peer): void {
    this.#abandonHandshake(peer);
    this.#release(peer.slots.clear());
    peer.handshake.erase();
    if (peer.timestamps.last > this.#timestampsBefore) this.#timestampsBefore = peer.timestamps.last;
    this.#peers.delete(peer.id);
  }

  #release(indices: readonly number[]): void {
    for (const index of indices) this.#indices.delete(index);
  }

  #dropped(counter: HandshakeCounter): [] {
    this.counters[counter]++;
    return [];
  }

  /** An unpredictable index that is not in use. */
  #freeIndex(): number {
    for (let attempt = 0; attempt < INDEX_ATTEMPTS; attempt++) {
      const bytes = this.#environment.random(4);
      const index = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0);
      if (!this.#indices.has(index) && !this.#environment.indexTaken(index)) return index;
    }
    throw new Error(
      `no free session index in ${INDEX_ATTEMPTS} random attempts: the random source is broken`,
    );
  }

  /** Uniform below `bound`, up to a bias of 2^-32 · bound. */
  #below(bound: number): number {
    const bytes = this.#environment.random(4);
    const value = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0);
    return Math.floor((value / 2 ** 32) * bound);
  }
}

/** Lexicographic order of the bytes; public keys need no constant-time comparison. */
function isGreater(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.compare(left, right) > 0;
}
