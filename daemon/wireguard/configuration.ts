/**
 * What a device is told, whole, and the checks on it. Peers are named by public key in base64, as everywhere in WireGuard's
 * own tools; the engine's numbers for them are this room's affair.
 */
import type { Admission, Endpoint, Prefix, Translation } from '../../native/index.d.ts';
import { KEY_LENGTH } from './constants-of-protocol.ts';
import { decodeKey } from './keys.ts';

export interface PeerConfiguration {
  /** 32 bytes in base64. */
  publicKey: string;
  /** 32 bytes; all zero or absent: none. */
  presharedKey?: Uint8Array;
  /** `192.0.2.1:51820`, `[2001:db8::1]:51820`; names are resolved by the caller. Absent: wait until the peer calls. */
  endpoint?: Endpoint;
  /** 0: off; at most 65,535. */
  persistentKeepaliveSeconds: number;
  /** Largest inner packet towards this peer, bytes; 0: the TUN device's. */
  mtu: number;
  /**
   * Finds out by probes whether the path takes as much as `mtu` says, and uses less where it doesn't. Peers of another make don't
   * answer them, so they change nothing there; they keep a session alive as a persistent keepalive does.
   */
  discoverPathMTU?: boolean;
  /**
   * A peer that is not heard is called where it is configured to be and where it was heard last, in turns. Plain WireGuard calls it
   * where it was heard last alone: a packet from the former address that comes just after the address was configured anew
   * leaves both sides calling where nobody is.
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
  /** 32 bytes; `null`: the device is silent. */
  privateKey: Uint8Array | null;
  /** UDP port, 0: any. */
  port: number;
  /** SO_MARK of what is sent, 0: none. */
  fwmark: number;
  peers: readonly PeerConfiguration[];
  routes: readonly RouteConfiguration[];
  /** Sources that packets from the TUN device may have; absent: any. */
  tunSources?: readonly Prefix[];
  /** Public keys to leave out where a route has several targets. */
  deadPeers?: readonly string[];
}

/** A configuration that can't be applied, and why. Nothing of it was applied. */
export class ConfigurationError extends Error {
  override name = 'ConfigurationError';
}

/** The configuration of a device that was just made: silent, without peers. */
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

/** Throws a `ConfigurationError` for the first thing that is wrong. Prefixes and endpoints are the engine's to check. */
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
