/**
 * Where nothing is dialled because a remote said so: it would be a request from inside this cluster, to a service that trusts
 * whoever is near it (OWASP, Server-Side Request Forgery).
 */
import { addressFamily, anyContains, readRanges } from './cidr.ts';
import { metadataRanges } from './metadata.ts';

/** Unspecified, multicast, reserved, and IPv4 addresses written as IPv6 ones (RFC 6890); link-local and metadata services. */
const nowhere = [
  ...readRanges(['0.0.0.0/8', '224.0.0.0/3', '::/128', 'ff00::/8', '::ffff:0:0/96']),
  ...metadataRanges,
];
const loopback = readRanges(['127.0.0.0/8', '::1/128']);

/** Whether an address is one that no remote has. Loopback is: it is for `isLoopback` to say. */
export function isNowhere(address: string): boolean {
  return anyContains(nowhere, address);
}

/** Whether a host, a name or an address, is the machine itself (names: RFC 6761, section 6.3). */
export function isLoopback(host: string): boolean {
  if (addressFamily(host) !== undefined) return anyContains(loopback, host);
  return /^(.+\.)?localhost\.?$/i.test(host);
}

/**
 * Whether a URL that a remote states may be dialled. One on this machine may if a person named one on this machine for the
 * same remote, `known`. A name passes here; its addresses are looked at when it is dialled.
 */
export function isDialable(url: string, known: string | undefined): boolean {
  const host = hostOf(url);
  if (host === undefined) return false;
  if (isLoopback(host)) return known !== undefined && isLoopback(hostOf(known) ?? '');
  return addressFamily(host) === undefined || !isNowhere(host);
}

/** In the one spelling that URLs have (WHATWG URL, host parsing): `0x7f.1` is 127.0.0.1. */
function hostOf(url: string): string | undefined {
  const hostname = URL.parse(url)?.hostname;
  return hostname === undefined || hostname === '' ? undefined : hostname.replace(/^\[|\]$/g, '');
}
