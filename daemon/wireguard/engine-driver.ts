/**
 * The I/O around the pure device: a packet engine, its events, one timer, two clocks. It makes no decisions. It runs on the
 * event loop that created it; `worker.ts` gives it one of its own.
 */
import { randomBytes } from 'node:crypto';

import type { Engine, EngineEvent, EngineOptions } from '../../native/index.d.ts';
import { ConfigurationError } from './configuration.ts';
import type { DeviceConfiguration } from './configuration.ts';
import { DEFAULT_MAXIMUM_PEERS } from './constants-of-implementation.ts';
import type { ProtocolTimes } from './constants-of-protocol.ts';
import { CounterReader } from './counters.ts';
import { Device } from './device.ts';
import type { DeviceEffect, Moment } from './effects.ts';
import { EngineFailure } from './engine-failure.ts';
import { encodeKey } from './keys.ts';
import type { PathMTUTimes } from './path-mtu.ts';
import { erase } from './primitives.ts';
import type { RandomBytes } from './primitives.ts';
import { selfTest, warmUp } from './self-test.ts';
import type { DeviceStatus } from './status.ts';

/** The longest delay of a JavaScript timer, milliseconds. */
const LONGEST_TIMER = 2 ** 31 - 1;

export type LogLevel = 'debug' | 'info' | 'error';
export type Log = (level: LogLevel, message: string, facts?: Record<string, string | number>) => void;

export interface EngineShellOptions {
  tun: EngineOptions['tun'];
  /** UDP port at start; 0 means any. */
  port: number;
  fwmark?: number;
  threadPairs?: number;
  maximumPeers?: number;
  /** Whether packets may be forwarded from peer to peer; `false` in plain WireGuard. */
  relay: boolean;
  /** Differ from the protocol's only in tests. */
  times?: ProtocolTimes;
  pathTimes?: PathMTUTimes;
  random?: RandomBytes;
  /** Milliseconds since 1970. */
  wallClock?: () => number;
  log: Log;
}

export class EngineShell {
  readonly #engine: Engine;
  readonly #device: Device;
  readonly #counters: CounterReader;
  readonly #wallClock: () => number;
  readonly #log: Log;
  readonly #ended = Promise.withResolvers<EngineFailure | null>();
  #port: number;
  /** As configured; 0 means any. */
  #wantedPort: number;
  #fwmark: number;
  #timer: NodeJS.Timeout | null = null;
  #drainScheduled = false;
  #closed = false;

  /** Runs the self-test, then opens TUN and UDP at once; throws the kernel's error. */
  constructor(makeEngine: (options: EngineOptions) => Engine, options: EngineShellOptions) {
    const maximumPeers = options.maximumPeers ?? DEFAULT_MAXIMUM_PEERS;
    const random = options.random ?? ((length) => Uint8Array.from(randomBytes(length)));
    selfTest(random);
    this.#wallClock = options.wallClock ?? Date.now;
    this.#log = options.log;
    this.#engine = makeEngine({
      tun: options.tun,
      port: options.port,
      maximumPeers,
      ...(options.fwmark === undefined ? {} : { fwmark: options.fwmark }),
      ...(options.threadPairs === undefined ? {} : { threadPairs: options.threadPairs }),
      onEvents: () => this.#guarded(() => this.#drain()),
    });
    warmUp(random, () => this.#closed);
    if (!options.relay) this.#engine.apply({ switching: false });
    this.#port = this.#engine.port;
    this.#wantedPort = options.port;
    this.#fwmark = options.fwmark ?? 0;
    this.#counters = new CounterReader(this.#engine.counters, this.#engine.counterLayout, maximumPeers);
    this.#device = new Device(
      {
        random,
        indexTaken: (index) => this.#engine.hasIndex(index),
        observe: (peer) => this.#counters.observation(peer),
      },
      {
        maximumPeers,
        ...(options.times === undefined ? {} : { times: options.times }),
        ...(options.pathTimes === undefined ? {} : { pathTimes: options.pathTimes }),
      },
    );
  }

  get name(): string {
    return this.#engine.tunName;
  }

  /** Resolves when the device ends: `null` after `close()`, otherwise the reason. Never rejects. */
  get ended(): Promise<EngineFailure | null> {
    return this.#ended.promise;
  }

  /** The current configuration, with the actual port and the endpoints found by roaming. */
  get configuration(): DeviceConfiguration {
    const configuration = this.#device.configuration;
    return {
      ...configuration,
      port: this.#port,
      fwmark: this.#fwmark,
      peers: configuration.peers.map((peer) => {
        const endpoint = this.#device.peerByPublicKey(peer.publicKey)?.endpoint;
        return endpoint === undefined ? peer : { ...peer, endpoint };
      }),
    };
  }

  /**
   * Applies a complete configuration by its difference from the current one. Throws a `ConfigurationError` or the kernel's
   * error (such as a port in use); peers, routes and keys are then unchanged.
   */
  configure(configuration: DeviceConfiguration, override: ReadonlySet<string> = new Set()): void {
    if (this.#closed) throw new ConfigurationError('the device is closed');
    const prepared = this.#device.prepare(configuration, override);
    if (configuration.port !== this.#port && configuration.port !== this.#wantedPort)
      this.#port = this.#engine.setPort(configuration.port);
    this.#wantedPort = configuration.port;
    if (configuration.fwmark !== this.#fwmark) {
      this.#engine.setFwmark(configuration.fwmark);
      this.#fwmark = configuration.fwmark;
    }
    if (prepared.difference !== null) this.#engine.apply(prepared.difference);
    this.#perform(prepared.commit());
    this.#perform(this.#device.handleTimeout(this.#now()));
    this.#arm();
  }

  status(): DeviceStatus {
    const now = this.#now();
    const publicKey = this.#device.publicKey;
    return {
      name: this.#engine.tunName,
      port: this.#port,
      publicKey: publicKey === null ? null : encodeKey(publicKey),
      features: { ...this.#engine.features },
      drops: this.#counters.drops('engine'),
      handshakes: { ...this.#device.counters },
      peers: [...this.#device.peers].map((peer) => ({
        publicKey: peer.publicKey,
        ...(peer.endpoint === undefined ? {} : { endpoint: peer.endpoint }),
        latestHandshake: peer.latestHandshake,
        established: this.#device.hasSession(peer, now),
        ...(peer.path?.measured === undefined ? {} : { pathMTU: peer.path.measured }),
        receivedBytes: this.#counters.peer(peer.id, 'receivedBytes') + peer.handshakeBytesReceived,
        sentBytes: this.#counters.peer(peer.id, 'sentBytes'),
        receivedPackets: this.#counters.peer(peer.id, 'receivedPackets'),
        sentPackets: this.#counters.peer(peer.id, 'sentPackets'),
        drops: this.#counters.drops(peer.id),
      })),
    };
  }

  /** Ends the device: erases keys, closes TUN and UDP. Idempotent. */
  close(): void {
    this.#end(null);
  }

  #end(failure: EngineFailure | null): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#device.close();
    this.#engine.close();
    this.#ended.resolve(failure);
  }

  #now(): Moment {
    return { monotonic: Number(this.#engine.now()) / 1e6, wall: this.#wallClock() };
  }

  #scheduleDrain(): void {
    if (this.#drainScheduled || this.#closed) return;
    this.#drainScheduled = true;
    setImmediate(() => {
      this.#drainScheduled = false;
      this.#guarded(() => this.#drain());
    });
  }

  /** Handles one batch, then yields to the event loop, so that a flood of handshakes starves neither timers nor configuration. */
  #drain(): void {
    // An already scheduled batch will handle these too.
    if (this.#drainScheduled) return;
    const { events, more } = this.#engine.drain();
    for (const [position, event] of events.entries()) {
      if (this.#closed) return;
      this.#handle(event, events.length - position - 1);
    }
    if (more) this.#scheduleDrain();
    this.#arm();
  }

  #handle(event: EngineEvent, backlog: number): void {
    switch (event.type) {
      case 'handshake':
        this.#perform(this.#device.handle({ ...event, backlog }, this.#now()));
        break;
      case 'handshake-wanted':
      case 'session-confirmed':
      case 'endpoint-changed':
      case 'probe-answered':
        this.#perform(this.#device.handle(event, this.#now()));
        break;
      case 'tun-closed':
        this.#end(new EngineFailure('tun-closed', `the network interface is gone: ${event.message}`));
        break;
      case 'udp-failed':
        this.#end(new EngineFailure('udp-failed', `the UDP socket failed: ${event.message}`));
        break;
    }
  }

  #perform(effects: readonly DeviceEffect[]): void {
    const engine = this.#engine;
    for (const effect of effects) {
      switch (effect.type) {
        case 'set-public-key':
          engine.setPublicKey(effect.publicKey);
          break;
        case 'set-cookie-secret':
          engine.setCookieSecret(effect.secret);
          break;
        case 'apply':
          engine.apply(effect.difference);
          break;
        case 'add-keypair':
          engine.addKeypair(effect.peer, effect.keypair);
          erase(effect.keypair.sendKey, effect.keypair.receiveKey);
          break;
        case 'clear-keypairs':
          engine.clearKeypairs(effect.peer);
          break;
        case 'send-to-peer':
          engine.sendToPeer(effect.peer, effect.bytes);
          break;
        case 'send-to':
          engine.sendTo(effect.destination, effect.bytes, effect.source);
          break;
        case 'set-endpoint':
          if (effect.source === undefined) engine.setEndpoint(effect.peer, effect.endpoint);
          else engine.setEndpoint(effect.peer, effect.endpoint, effect.source);
          break;
        case 'send-keepalive':
          engine.sendKeepalive(effect.peer);
          break;
        case 'send-probe':
          this.#sendProbe(effect);
          break;
        case 'log':
          this.#log(effect.level, effect.message, { peer: effect.peer });
          break;
      }
    }
  }

  /** A probe that is refused at once is followed by the next size at once; a search always ends. */
  #sendProbe({ peer, token, size }: { peer: number; token: number; size: number }): void {
    if (this.#engine.sendPathProbe(peer, token, size) !== 'too-big') return;
    this.#perform(this.#device.handle({ type: 'probe-refused', peer, token }, this.#now()));
  }

  #arm(): void {
    if (this.#closed) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const now = this.#now();
    const next = this.#device.nextTimeout(now);
    if (next === null) return;
    const delay = Math.min(Math.max(0, Math.ceil(next - now.monotonic)), LONGEST_TIMER);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#guarded(() => {
        this.#perform(this.#device.handleTimeout(this.#now()));
        this.#arm();
      });
    }, delay);
  }

  /** An unexpected error must end only this device, and in an orderly way. */
  #guarded(run: () => void): void {
    if (this.#closed) return;
    try {
      run();
    } catch (error) {
      this.#log('error', error instanceof Error ? (error.stack ?? error.message) : String(error));
      this.#end(
        new EngineFailure('internal', `the tunnel device failed: ${String(error)}`, { cause: error }),
      );
    }
  }
}
