/**
 * Devices connected by an in-memory wire, in simulated time. The engine here is the simplest one: sessions, staging and
 * counters as described in the WireGuard paper, one packet at a time. One seed determines everything.
 */
import { Device } from '../../../daemon/wireguard/device.ts';
import type { DeviceEffect, Moment } from '../../../daemon/wireguard/effects.ts';
import type { DeviceConfiguration } from '../../../daemon/wireguard/configuration.ts';
import { MESSAGE_TRANSPORT, PROTOCOL_TIMES } from '../../../daemon/wireguard/constants-of-protocol.ts';
import type { ProtocolTimes } from '../../../daemon/wireguard/constants-of-protocol.ts';
import { open, seal } from '../../../daemon/wireguard/primitives.ts';
import type { Observation } from '../../../daemon/wireguard/timers.ts';

/** A generator of numbers in [0, 1) from a seed (mulberry32). */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function randomBytesOf(random: () => number): (length: number) => Uint8Array {
  return (length) => Uint8Array.from({ length }, () => Math.floor(random() * 256));
}

export interface Wire {
  /** Probabilities that a message is lost, duplicated, or delayed enough to be overtaken. */
  loss: number;
  duplicate: number;
  late: number;
  /** One-way delay in milliseconds; default 10. */
  delay?: number;
}

interface Keys {
  localIndex: number;
  remoteIndex: number;
  sendKey: Uint8Array;
  receiveKey: Uint8Array;
  initiator: boolean;
  createdAt: number;
  counter: bigint;
  seen: Set<bigint>;
}

interface EnginePeer {
  endpoint: string | undefined;
  previous: Keys | null;
  current: Keys | null;
  next: Keys | null;
  /** Replaced sessions that can still decrypt for a while. */
  lingering: { keys: Keys; until: number }[];
  staged: Uint8Array[];
  observation: Observation;
}

export interface Captured {
  at: number;
  from: string;
  to: string;
  bytes: Uint8Array;
}

const none = new Uint8Array(0);

function nonceOf(counter: bigint): Uint8Array {
  const nonce = new Uint8Array(12);
  new DataView(nonce.buffer).setBigUint64(4, counter, true);
  return nonce;
}

export class World {
  now = 1_000_000;
  /** Offset of the wall clock to the monotonic clock in milliseconds. */
  wallOffset = 1_700_000_000_000;
  wire: Wire = { loss: 0, duplicate: 0, late: 0 };
  /** All messages that were ever on the wire, including lost ones. */
  readonly captured: Captured[] = [];
  readonly random: () => number;
  readonly hosts = new Map<string, Host>();
  #order = 0;
  #events: { at: number; order: number; run: () => void }[] = [];

  constructor(seed: number) {
    this.random = generator(seed);
  }

  get moment(): Moment {
    return { monotonic: this.now, wall: this.now + this.wallOffset };
  }

  at(at: number, run: () => void): void {
    this.#events.push({ at, order: this.#order++, run });
  }

  transmit(from: string, to: string, bytes: Uint8Array): void {
    this.captured.push({ at: this.now, from, to, bytes: Uint8Array.from(bytes) });
    if (this.random() < this.wire.loss) return;
    const copies = this.random() < this.wire.duplicate ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      const delay = (this.wire.delay ?? 10) + (this.random() < this.wire.late ? 50 : 0) + copy;
      const copied = Uint8Array.from(bytes);
      this.at(this.now + delay, () => this.hosts.get(to)?.receive(copied, from, to));
    }
  }

  /** Advances the time by `milliseconds`. */
  run(milliseconds: number): void {
    const end = this.now + milliseconds;
    for (let step = 0; ; step++) {
      if (step > 2_000_000) throw new Error('the simulation does not come to rest');
      let due = end;
      for (const event of this.#events) due = Math.min(due, event.at);
      for (const host of new Set(this.hosts.values())) due = Math.min(due, host.nextTimeout() ?? end);
      if (due >= end && !this.#events.some((event) => event.at <= end) && due === end) {
        this.now = end;
        return;
      }
      this.now = Math.max(this.now, due);
      const ready = this.#events.filter((event) => event.at <= this.now);
      this.#events = this.#events.filter((event) => event.at > this.now);
      ready.sort((left, right) => left.at - right.at || left.order - right.order);
      for (const event of ready) event.run();
      for (const host of new Set(this.hosts.values())) host.timeout();
    }
  }
}

export class Host {
  readonly world: World;
  device: Device;
  address: string;
  readonly received: Uint8Array[] = [];
  /** Arrived transport messages that no session could decrypt; and those that were duplicates. */
  refused = 0;
  repeated = 0;
  readonly effects: DeviceEffect[] = [];
  backlog = 0;
  #peers = new Map<number, EnginePeer>();
  #times: ProtocolTimes;
  #wantedAt = new Map<number, number>();

  constructor(world: World, address: string, times: ProtocolTimes = PROTOCOL_TIMES) {
    this.world = world;
    this.address = address;
    this.#times = times;
    this.device = this.#newDevice();
    world.hosts.set(address, this);
  }

  #newDevice(): Device {
    return new Device(
      {
        random: randomBytesOf(this.world.random),
        indexTaken: () => false,
        observe: (peer) =>
          this.#peers.get(peer)?.observation ?? {
            lastDataReceived: 0,
            lastDataSent: 0,
            lastReceived: 0,
            lastSent: 0,
          },
      },
      { times: this.#times, maximumPeers: 256 },
    );
  }

  /** Drops all state, like a restarted process. */
  restart(configuration: DeviceConfiguration): void {
    this.#peers = new Map();
    this.#wantedAt = new Map();
    this.device = this.#newDevice();
    this.configure(configuration);
  }

  /** Gives this host another address; with `keepOld` packets in flight to the old one still arrive. */
  move(address: string, { keepOld = false } = {}): void {
    if (!keepOld) this.world.hosts.delete(this.address);
    this.address = address;
    this.world.hosts.set(address, this);
  }

  configure(configuration: DeviceConfiguration): void {
    this.#apply(this.device.configure(configuration));
  }

  nextTimeout(): number | null {
    return this.device.nextTimeout(this.world.moment);
  }

  timeout(): void {
    this.#apply(this.device.handleTimeout(this.world.moment));
  }

  endpointOf(peer: number): string | undefined {
    return this.#peers.get(peer)?.endpoint;
  }

  sessionOf(peer: number): Keys | null {
    return this.#peers.get(peer)?.current ?? null;
  }

  send(peer: number, text: string): void {
    this.#peers.get(peer)?.staged.push(new TextEncoder().encode(text));
    this.#flush(peer, false);
  }

  receive(bytes: Uint8Array, source: string, destination: string): void {
    if (bytes[0] !== MESSAGE_TRANSPORT) {
      const input = { type: 'handshake', source, destination, bytes, backlog: this.backlog } as const;
      this.#apply(this.device.handle(input, this.world.moment));
      return;
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const index = view.getUint32(4, true);
    const counter = view.getBigUint64(8, true);
    for (const [id, peer] of this.#peers) {
      const late = peer.lingering.filter(({ until }) => this.world.now < until).map(({ keys }) => keys);
      const keys = [peer.previous, peer.current, peer.next, ...late].find(
        (slot) => slot?.localIndex === index,
      );
      if (!keys || this.world.now - keys.createdAt >= this.#times.rejectAfterTime) continue;
      const plaintext = open(keys.receiveKey, bytes.subarray(16), none, nonceOf(counter));
      if (plaintext === null) break;
      if (keys.seen.has(counter)) {
        this.repeated++;
        return;
      }
      keys.seen.add(counter);
      peer.observation.lastReceived = this.world.now;
      if (peer.endpoint !== source) {
        peer.endpoint = source;
        this.#event({ type: 'endpoint-changed', peer: id, endpoint: source });
      }
      if (peer.next === keys) {
        this.#linger(peer, peer.previous);
        peer.previous = peer.current;
        peer.current = keys;
        peer.next = null;
        this.#event({ type: 'session-confirmed', peer: id, localIndex: index });
        if (peer.staged.length > 0) this.#flush(id, false);
      }
      if (plaintext.length > 0) {
        peer.observation.lastDataReceived = this.world.now;
        this.received.push(plaintext);
      }
      return;
    }
    this.refused++;
  }

  #linger(peer: EnginePeer, keys: Keys | null): void {
    if (keys === null) return;
    const until = this.world.now + this.#times.keepaliveTimeout + this.#times.rekeyTimeout;
    peer.lingering = [...peer.lingering.filter((old) => this.world.now < old.until), { keys, until }];
  }

  #event(input: Parameters<Device['handle']>[0]): void {
    this.#apply(this.device.handle(input, this.world.moment));
  }

  #want(id: number): void {
    if (this.world.now - (this.#wantedAt.get(id) ?? 0) < 1_000) return;
    this.#wantedAt.set(id, this.world.now);
    this.#event({ type: 'handshake-wanted', peer: id });
  }

  /** Sends staged packets, or an empty packet if `empty`. */
  #flush(id: number, empty: boolean): void {
    const peer = this.#peers.get(id);
    if (peer === undefined) return;
    const keys = peer.current;
    if (keys === null || this.world.now - keys.createdAt >= this.#times.rejectAfterTime) {
      this.#want(id);
      return;
    }
    const packets = peer.staged.splice(0);
    if (packets.length === 0 && empty) packets.push(none);
    for (const packet of packets) {
      const padded = new Uint8Array(Math.ceil(packet.length / 16) * 16);
      padded.set(packet);
      const message = new Uint8Array(16 + padded.length + 16);
      const view = new DataView(message.buffer);
      message[0] = MESSAGE_TRANSPORT;
      view.setUint32(4, keys.remoteIndex, true);
      view.setBigUint64(8, keys.counter, true);
      message.set(seal(keys.sendKey, padded, none, nonceOf(keys.counter)), 16);
      keys.counter++;
      peer.observation.lastSent = this.world.now;
      if (packet.length > 0) peer.observation.lastDataSent = this.world.now;
      if (peer.endpoint !== undefined) this.world.transmit(this.address, peer.endpoint, message);
    }
    if (keys.initiator && this.world.now - keys.createdAt >= this.#times.rekeyAfterTime) this.#want(id);
  }

  #apply(effects: readonly DeviceEffect[]): void {
    for (const effect of effects) {
      this.effects.push(effect);
      const peer = 'peer' in effect && typeof effect.peer === 'number' ? this.#peers.get(effect.peer) : null;
      switch (effect.type) {
        case 'apply':
          for (const id of effect.difference.removePeers ?? []) this.#peers.delete(id);
          for (const { id, endpoint } of effect.difference.upsertPeers ?? []) {
            const known = this.#peers.get(id);
            if (known) known.endpoint = endpoint ?? known.endpoint;
            else
              this.#peers.set(id, {
                endpoint,
                previous: null,
                current: null,
                next: null,
                lingering: [],
                staged: [],
                observation: { lastDataReceived: 0, lastDataSent: 0, lastReceived: 0, lastSent: 0 },
              });
          }
          break;
        case 'add-keypair': {
          if (!peer) break;
          const keys: Keys = {
            ...effect.keypair,
            sendKey: Uint8Array.from(effect.keypair.sendKey),
            receiveKey: Uint8Array.from(effect.keypair.receiveKey),
            createdAt: Number(effect.keypair.createdAt) / 1e6,
            counter: 0n,
            seen: new Set(),
          };
          if (!keys.initiator) {
            this.#linger(peer, peer.next);
            peer.next = keys;
          } else {
            this.#linger(peer, peer.previous);
            if (peer.next === null || effect.keypair.yields) peer.previous = peer.current;
            else {
              this.#linger(peer, peer.current);
              peer.previous = peer.next;
              peer.next = null;
            }
            peer.current = keys;
          }
          break;
        }
        case 'clear-keypairs':
          if (peer) {
            peer.previous = peer.current = peer.next = null;
            peer.lingering = [];
          }
          break;
        case 'set-endpoint':
          if (peer) peer.endpoint = effect.endpoint;
          break;
        case 'send-to-peer':
          if (peer?.endpoint) this.world.transmit(this.address, peer.endpoint, effect.bytes);
          break;
        case 'send-to':
          this.world.transmit(this.address, effect.destination, effect.bytes);
          break;
        // This wire has no size limit, and answers no probes.
        case 'send-probe':
          break;
        case 'send-keepalive':
          this.#flush(effect.peer, true);
          break;
        case 'set-public-key':
        case 'set-cookie-secret':
        case 'log':
          break;
      }
    }
  }
}
