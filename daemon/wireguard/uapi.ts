/**
 * The text format of WireGuard's cross-platform userspace API: `get=1` and `set=1` requests, and their responses. Pure. Keys
 * are hexadecimal, addresses numeric; a request ends with an empty line.
 */
import { isIP, isIPv4 } from 'node:net';

import { normalizeCidr } from 'cidr-tools';

import type { DeviceConfiguration, PeerConfiguration, RouteConfiguration } from './configuration.ts';
import { decodeHexadecimalKey, decodeKey, encodeHexadecimalKey, encodeKey } from './keys.ts';
import { clamped, isZero, publicKeyOf } from './primitives.ts';
import type { DeviceStatus } from './status.ts';

/** The errno values that a client may see (asm-generic/errno.h); responses carry them negated, as clients expect. */
export const ERRNO = { EIO: 5, EINVAL: 22, EPROTO: 71, EADDRINUSE: 98 } as const;
export type Errno = (typeof ERRNO)[keyof typeof ERRNO];

/** A refused request, with the errno for its client. It never contains a value of the request, which may be a key. */
export class UapiError extends Error {
  override name = 'UapiError';
  readonly errno: Errno;

  constructor(errno: Errno, message: string, options?: ErrorOptions) {
    super(message, options);
    this.errno = errno;
  }
}

export interface PeerChange {
  /** Base64. */
  publicKey: string;
  remove: boolean;
  /** Do nothing if the peer doesn't exist. */
  updateOnly: boolean;
  /** `null`: none. Absent: as before. */
  presharedKey?: Uint8Array | null;
  endpoint?: string;
  persistentKeepaliveSeconds?: number;
  replaceAllowedIps: boolean;
  /** In order; `remove` removes a prefix from this peer. */
  allowedIps: { prefix: string; remove: boolean }[];
}

export interface SetRequest {
  /** `null`: none. Absent: as before. */
  privateKey?: Uint8Array | null;
  listenPort?: number;
  fwmark?: number;
  replacePeers: boolean;
  peers: PeerChange[];
}

/** Converts the zone of a link-local address, a name or a number, to an interface index; `null` if there is none. */
export type InterfaceIndex = (zone: string) => number | null;
/** The inverse, for display. */
export type InterfaceName = (index: number) => string | null;

const invalid = (what: string) => new UapiError(ERRNO.EINVAL, `invalid value for ${what}`);

function parseNumber(key: string, text: string, maximum: number): number {
  const value = /^(0x[0-9a-fA-F]{1,8}|\d{1,10})$/.test(text) ? Number(text) : Number.NaN;
  if (!(value <= maximum)) throw invalid(key);
  return value;
}

function parseTrue(key: string, text: string): true {
  if (text !== 'true') throw invalid(key);
  return true;
}

/** 32 bytes in hexadecimal; all zero means none. */
function parseSecret(key: string, text: string): Uint8Array | null {
  const bytes = decodeHexadecimalKey(text);
  if (bytes === null) throw invalid(key);
  return isZero(bytes) ? null : bytes;
}

/** Converts `192.0.2.1:51820` or `[2001:db8::1%zone]:51820` to the engine's form. */
export function parseEndpoint(text: string, interfaceIndex: InterfaceIndex): string {
  const match = /^(?:\[([0-9a-fA-F:.]+)(?:%([^\]\s%]{1,15}))?\]|([\d.]+)):(\d{1,5})$/.exec(text);
  if (match === null) throw invalid('endpoint');
  const [, six, zone, four, portText = ''] = match;
  const port = Number(portText);
  if (port > 65_535) throw invalid('endpoint');
  if (four !== undefined) {
    if (!isIPv4(four)) throw invalid('endpoint');
    return `${four}:${port}`;
  }
  if (six === undefined || isIP(six) !== 6) throw invalid('endpoint');
  if (zone === undefined) return `[${six}]:${port}`;
  const index = interfaceIndex(zone);
  if (index === null) throw invalid('endpoint');
  return `[${six}%${index}]:${port}`;
}

/** A prefix with its host bits cleared, in canonical text; a bare address is a prefix of its full length. */
export function parsePrefix(text: string): string {
  const match = /^([0-9a-fA-F:.]+)(?:\/(\d{1,3}))?$/.exec(text);
  const family = match?.[1] === undefined ? 0 : isIP(match[1]);
  if (family === 0) throw invalid('allowed_ip');
  const bits = family === 4 ? 32 : 128;
  const length = match?.[2] === undefined ? bits : Number(match[2]);
  if (length > bits) throw invalid('allowed_ip');
  return normalizeCidr(`${match?.[1]}/${length}`);
}

/** Parses the lines of a `set` request after the first. Throws a `UapiError` for the first invalid one. */
export function parseSet(lines: readonly string[], interfaceIndex: InterfaceIndex): SetRequest {
  const request: SetRequest = { replacePeers: false, peers: [] };
  let peer: PeerChange | null = null;
  for (const line of lines) {
    const separator = line.indexOf('=');
    if (separator <= 0) throw new UapiError(ERRNO.EPROTO, 'a line without a key and a value');
    const key = line.slice(0, separator);
    const value = line.slice(separator + 1);
    if (key === 'public_key') {
      const publicKey = decodeHexadecimalKey(value);
      if (publicKey === null) throw invalid(key);
      peer = {
        publicKey: encodeKey(publicKey),
        remove: false,
        updateOnly: false,
        replaceAllowedIps: false,
        allowedIps: [],
      };
      request.peers.push(peer);
    } else if (peer === null) setOfDevice(request, key, value);
    else setOfPeer(peer, key, value, interfaceIndex);
  }
  return request;
}

function setOfDevice(request: SetRequest, key: string, value: string): void {
  switch (key) {
    case 'private_key':
      request.privateKey = parseSecret(key, value);
      break;
    case 'listen_port':
      request.listenPort = parseNumber(key, value, 65_535);
      break;
    case 'fwmark':
      request.fwmark = value === '' ? 0 : parseNumber(key, value, 0xffff_ffff);
      break;
    case 'replace_peers':
      request.replacePeers = parseTrue(key, value);
      break;
    default:
      throw new UapiError(ERRNO.EINVAL, 'unknown key for a device');
  }
}

function setOfPeer(peer: PeerChange, key: string, value: string, interfaceIndex: InterfaceIndex): void {
  switch (key) {
    case 'remove':
      peer.remove = parseTrue(key, value);
      break;
    case 'update_only':
      peer.updateOnly = parseTrue(key, value);
      break;
    case 'preshared_key':
      peer.presharedKey = parseSecret(key, value);
      break;
    case 'endpoint':
      peer.endpoint = parseEndpoint(value, interfaceIndex);
      break;
    case 'persistent_keepalive_interval':
      peer.persistentKeepaliveSeconds = parseNumber(key, value, 65_535);
      break;
    case 'replace_allowed_ips':
      peer.replaceAllowedIps = parseTrue(key, value);
      // Prefixes listed before this line are replaced too.
      peer.allowedIps = [];
      break;
    case 'allowed_ip': {
      const remove = value.startsWith('-');
      const prefix = parsePrefix(remove || value.startsWith('+') ? value.slice(1) : value);
      peer.allowedIps.push({ prefix, remove });
      break;
    }
    case 'protocol_version':
      if (value !== '1') throw invalid(key);
      break;
    default:
      throw new UapiError(ERRNO.EINVAL, 'unknown key for a peer');
  }
}

/**
 * Applies a `set` request to a configuration. In plain WireGuard a prefix belongs to one peer: adding it to a second one
 * removes it from the first. `override` lists peers whose endpoint was set, even to its current value.
 */
export function applySet(
  configuration: DeviceConfiguration,
  request: SetRequest,
): { configuration: DeviceConfiguration; override: Set<string> } {
  const privateKey = request.privateKey === undefined ? configuration.privateKey : request.privateKey;
  const own = privateKey === null ? null : encodeKey(publicKeyOf(clamped(privateKey)));
  const peers = new Map<string, PeerConfiguration>();
  const owners = new Map<string, string>();
  const override = new Set<string>();
  if (!request.replacePeers) {
    for (const peer of configuration.peers) peers.set(peer.publicKey, peer);
    for (const { prefix, targets } of configuration.routes)
      if (targets[0] !== undefined) owners.set(prefix, targets[0]);
  }
  const forgetPrefixes = (publicKey: string) => {
    for (const [prefix, owner] of owners) if (owner === publicKey) owners.delete(prefix);
  };

  for (const change of request.peers) {
    const known = peers.get(change.publicKey);
    if (change.remove) {
      peers.delete(change.publicKey);
      override.delete(change.publicKey);
      forgetPrefixes(change.publicKey);
      continue;
    }
    // A device is not its own peer; scripts may pass the same list of peers to all their hosts.
    if (change.publicKey === own || (known === undefined && change.updateOnly)) continue;
    const { presharedKey: _old, ...kept } = known ?? {
      publicKey: change.publicKey,
      persistentKeepaliveSeconds: 0,
      mtu: 0,
    };
    const presharedKey = change.presharedKey === undefined ? known?.presharedKey : change.presharedKey;
    peers.set(change.publicKey, {
      ...kept,
      persistentKeepaliveSeconds: change.persistentKeepaliveSeconds ?? kept.persistentKeepaliveSeconds,
      ...(change.endpoint === undefined ? {} : { endpoint: change.endpoint }),
      ...(presharedKey === undefined || presharedKey === null ? {} : { presharedKey }),
    });
    if (change.endpoint !== undefined) override.add(change.publicKey);
    if (change.replaceAllowedIps) forgetPrefixes(change.publicKey);
    for (const { prefix, remove } of change.allowedIps)
      if (!remove) owners.set(prefix, change.publicKey);
      else if (owners.get(prefix) === change.publicKey) owners.delete(prefix);
  }
  if (own !== null && peers.delete(own)) forgetPrefixes(own);

  const routes: RouteConfiguration[] = [...owners].map(([prefix, owner]) => ({ prefix, targets: [owner] }));
  return {
    configuration: {
      ...configuration,
      privateKey,
      port: request.listenPort ?? configuration.port,
      fwmark: request.fwmark ?? configuration.fwmark,
      peers: [...peers.values()],
      routes,
    },
    override,
  };
}

/** The lines of the response to `get=1`, without the errno. Contains secrets, so only for the socket. */
export function formatGet(
  configuration: DeviceConfiguration,
  status: DeviceStatus,
  interfaceName: InterfaceName,
): string[] {
  const lines: string[] = [];
  if (configuration.privateKey !== null)
    lines.push(`private_key=${encodeHexadecimalKey(clamped(configuration.privateKey))}`);
  lines.push(`listen_port=${status.port}`);
  if (configuration.fwmark !== 0) lines.push(`fwmark=${configuration.fwmark}`);
  const allowed = new Map<string, string[]>();
  for (const { prefix, targets } of configuration.routes)
    for (const target of targets) {
      const prefixes = allowed.get(target);
      if (prefixes === undefined) allowed.set(target, [prefix]);
      else prefixes.push(prefix);
    }
  const statuses = new Map(status.peers.map((peer) => [peer.publicKey, peer]));
  for (const peer of configuration.peers) {
    const publicKey = decodeKey(peer.publicKey);
    if (publicKey === null) continue;
    const seen = statuses.get(peer.publicKey);
    const seconds = Math.floor((seen?.latestHandshake ?? 0) / 1_000);
    const nanoseconds = Math.round(((seen?.latestHandshake ?? 0) - seconds * 1_000) * 1e6);
    lines.push(
      `public_key=${encodeHexadecimalKey(publicKey)}`,
      `preshared_key=${encodeHexadecimalKey(peer.presharedKey ?? new Uint8Array(32))}`,
      'protocol_version=1',
    );
    if (seen?.endpoint !== undefined) lines.push(`endpoint=${withZoneName(seen.endpoint, interfaceName)}`);
    lines.push(
      `last_handshake_time_sec=${seconds}`,
      `last_handshake_time_nsec=${nanoseconds}`,
      `tx_bytes=${seen?.sentBytes ?? 0}`,
      `rx_bytes=${seen?.receivedBytes ?? 0}`,
      `persistent_keepalive_interval=${peer.persistentKeepaliveSeconds}`,
    );
    for (const prefix of allowed.get(peer.publicKey) ?? []) lines.push(`allowed_ip=${prefix}`);
  }
  return lines;
}

function withZoneName(endpoint: string, interfaceName: InterfaceName): string {
  return endpoint.replace(/%(\d+)\]/, (zone, index: string) => {
    const name = interfaceName(Number(index));
    return name === null ? zone : `%${name}]`;
  });
}

/** The end of every response. */
export function formatErrno(errno: Errno | 0): string {
  return `errno=${errno === 0 ? 0 : -errno}\n\n`;
}
