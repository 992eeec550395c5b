/**
 * Addresses that are not dialled if a remote names them: a request from inside this cluster would reach services that trust
 * their neighbours (OWASP, Server-Side Request Forgery).
 */
import { addressFamily, anyContains, readRanges } from './cidr.ts';
import { metadataRanges } from './metadata.ts';

/** Unspecified, multicast, reserved, and IPv4 addresses written as IPv6 ones (RFC 6890); link-local and metadata services. */
const nowhere = [
  ...readRanges(['0.0.0.0/8', '224.0.0.0/3', '::/128', 'ff00::/8', '::ffff:0:0/96']),
  ...metadataRanges,
];
const loopback = readRanges(['127.0.0.0/8', '::1/128']);

/** Whether no remote can have the address. Loopback is not included: see `isLoopback`. */
export function isNowhere(address: string): boolean {
  return anyContains(nowhere, address);
}

/** Whether a host, a name or an address, is the machine itself (names: RFC 6761, section 6.3). */
export function isLoopback(host: string): boolean {
  if (addressFamily(host) !== undefined) return anyContains(loopback, host);
  return /^(.+\.)?localhost\.?$/i.test(host);
}

/**
 * Whether a URL from a remote may be dialled. One on this machine may be if an administrator named one on this machine for the
 * same remote, `known`. A DNS name passes here; its addresses are checked when it is dialled.
 */
export function isDialable(url: string, known: string | undefined): boolean {
  const host = hostOf(url);
  if (host === undefined) return false;
  if (isLoopback(host)) return known !== undefined && isLoopback(hostOf(known) ?? '');
  return addressFamily(host) === undefined || !isNowhere(host);
}

/** In the canonical form of URLs (WHATWG URL, host parsing): `0x7f.1` is 127.0.0.1. */
function hostOf(url: string): string | undefined {
  const hostname = URL.parse(url)?.hostname;
  return hostname === undefined || hostname === '' ? undefined : hostname.replace(/^\[|\]$/g, '');
}
