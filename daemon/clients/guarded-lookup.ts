/** Looks up names that other clusters chose: what a name leads to is looked at when it is dialled, as it may change. */
import { lookup, type LookupAddress } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { isLoopback, isNowhere } from '../../shared/net/dialable.ts';

/** The name leads nowhere that a remote may name. */
export class UndialableError extends Error {
  override readonly name = 'UndialableError';
  readonly code = 'UNDIALABLE';
}

/** The addresses of `found` that may be dialled for `host`. Throws UndialableError when there is none. */
export function dialableAddresses(host: string, found: readonly LookupAddress[]): LookupAddress[] {
  const dialable = found.filter(
    ({ address }) => !isNowhere(address) && (isLoopback(host) || !isLoopback(address)),
  );
  if (dialable.length > 0) return dialable;
  throw new UndialableError(
    `${host} leads to ${found.map(({ address }) => address).join(', ') || 'no address'}: this machine, link-local or metadata addresses are not dialled for a remote cluster`,
  );
}

/** As `dns.lookup`, without the addresses that are not dialled for a remote. */
export const guardedLookup: LookupFunction = (host, options, callback) => {
  lookup(host, { ...options, all: true }, (error, found) => {
    if (error !== null) {
      callback(error, []);
      return;
    }
    try {
      const addresses = dialableAddresses(host, found);
      const [first] = addresses;
      if (options.all === true) callback(null, addresses);
      else callback(null, first?.address ?? '', first?.family);
    } catch (refused) {
      callback(refused as NodeJS.ErrnoException, []);
    }
  });
};
