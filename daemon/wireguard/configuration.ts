/**
 * A device's complete configuration, and its validation. Peers are identified by public key in base64, as in WireGuard's
 * own tools; the engine's numbers for them are internal to this folder.
 */
import type { Admission, Endpoint, Prefix, Translation } from '../../native/index.d.ts';
import { KEY_LENGTH } from './constants-of-protocol.ts';
import { decodeKey } from './keys.ts';

export interface PeerConfiguration {
  /** 32 bytes in base64. */
  publicKey: string;
  /** 32 bytes; all zero or absent means none. */
  presharedKey?: Uint8Array;
  /** `192.0.2.1:51820`, `[2001:db8::1]:51820`; the caller resolves names. Absent: wait for the peer's handshake. */
  endpoint?: Endpoint;
  /** Seconds; 0 means off; at most 65,535. */
  persistentKeepaliveSeconds: number;
  /** Largest inner packet to this peer, bytes; 0 means the TUN device's MTU. */
  mtu: number;
  /**
   * Probes whether the path passes packets of `mtu` bytes, and uses a smaller size where it doesn't. Other WireGuard
   * implementations don't answer the probes, so nothing changes for them, except that probes keep a session alive like a
   * persistent keepalive.
   */
  discoverPathMTU?: boolean;
  /**
   * Sends handshakes to a silent peer alternately at its configured endpoint and at the last one it used. Plain WireGuard uses
   * only the latter: a packet from the old address that arrives just after a new endpoint was configured would leave both
   * sides sending to an address where no peer listens.
   */
  returnsToConfigured?: boolean;
  translation?: { in: Translation; out: Translation };
  admission?: Admission;
}

export interface RouteConfiguration {
  prefix: Prefix;
  /** Public keys, or `'local'` for the TUN device. */
  targets: readonly string[];
}

export interface DeviceConfiguration {
  /** 32 bytes; with `null` the device sends and accepts nothing. */
  privateKey: Uint8Array | null;
  /** UDP port; 0 means any. */
  port: number;
  /** SO_MARK of sent packets; 0 means none. */
  fwmark: number;
  peers: readonly PeerConfiguration[];
  routes: readonly RouteConfiguration[];
  /** Allowed source addresses of packets from the TUN device; absent means any. */
  tunSources?: readonly Prefix[];
  /** Public keys to skip where a route has several targets. */
  deadPeers?: readonly string[];
}

/** An invalid configuration, and why. No part of it was applied. */
export class ConfigurationError extends Error {
  override name = 'ConfigurationError';
}

/** The configuration of a new device: silent, without peers. */
export const EMPTY_CONFIGURATION: DeviceConfiguration = {
  privateKey: null,
  port: 0,
  fwmark: 0,
  peers: [],
  routes: [],
};

function isWholeNumber(value: number, maximum: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= maximum;
}

/** Throws a `ConfigurationError` for the first error. Prefixes and endpoints are checked by the engine. */
export function checkConfiguration(configuration: DeviceConfiguration, maximumPeers: number): void {
  const fail = (message: string): never => {
    throw new ConfigurationError(message);
  };
  if (configuration.privateKey !== null && configuration.privateKey.length !== KEY_LENGTH)
    fail(`a private key has ${KEY_LENGTH} bytes, not ${configuration.privateKey.length}`);
  if (!isWholeNumber(configuration.port, 65_535))
    fail(`the port ${configuration.port} is not within 0–65535`);
  if (!isWholeNumber(configuration.fwmark, 0xffff_ffff))
    fail(`the firewall mark ${configuration.fwmark} is not a 32-bit number`);
  if (configuration.peers.length > maximumPeers)
    fail(`${configuration.peers.length} peers are more than this device was made for (${maximumPeers})`);

  const known = new Set<string>();
  for (const peer of configuration.peers) {
    if (decodeKey(peer.publicKey) === null)
      fail(`a peer's public key is not 32 bytes in base64: ${JSON.stringify(peer.publicKey)}`);
    if (known.has(peer.publicKey)) fail(`the peer ${peer.publicKey} is there twice`);
    known.add(peer.publicKey);
    if (peer.presharedKey !== undefined && peer.presharedKey.length !== KEY_LENGTH)
      fail(`the pre-shared key of ${peer.publicKey} has not ${KEY_LENGTH} bytes`);
    if (!isWholeNumber(peer.persistentKeepaliveSeconds, 65_535))
      fail(`the persistent keepalive of ${peer.publicKey} is not within 0–65535 s`);
    if (!isWholeNumber(peer.mtu, 65_535)) fail(`the MTU of ${peer.publicKey} is not within 0–65535`);
  }

  const prefixes = new Set<string>();
  for (const route of configuration.routes) {
    if (prefixes.has(route.prefix)) fail(`the route ${route.prefix} is there twice`);
    prefixes.add(route.prefix);
    if (route.targets.length === 0) fail(`the route ${route.prefix} leads nowhere`);
    for (const target of route.targets)
      if (target !== 'local' && !known.has(target))
        fail(`the route ${route.prefix} leads to ${target}, which is not a peer of this device`);
  }
  for (const dead of configuration.deadPeers ?? [])
    if (!known.has(dead)) fail(`${dead} is marked dead, but is not a peer of this device`);
}
