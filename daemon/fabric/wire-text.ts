/** Validates keys and endpoints in text as strictly as the tunnel device does. */
import { addressFamily, parseRange } from '../../shared/net/cidr.ts';

/** 32 bytes in base64, in the one canonical spelling: the last digit holds four bits only. */
const key = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;

export function isTunnelKey(text: string): boolean {
  return key.test(text);
}

/** `192.0.2.1:7470`, `[2001:db8::1]:7470` → the address. */
export function addressOf(endpoint: string): string {
  return endpoint.slice(0, endpoint.lastIndexOf(':')).replace(/^\[|\]$/g, '');
}

/** Not a unicast destination: unspecified, loopback, multicast, broadcast (RFC 6890). */
const nowhere = ['0.0.0.0/8', '127.0.0.0/8', '224.0.0.0/3', '::/127', 'ff00::/8', '::ffff:0:0/96'].map(
  (text) => parseRange(text),
);

/** Whether the text is an address with a port to which packets can be sent. */
export function isEndpoint(text: string): boolean {
  const port = text.slice(text.lastIndexOf(':') + 1);
  if (!/^[1-9][0-9]{0,4}$/.test(port) || Number(port) > 65_535) return false;
  const address = addressOf(text);
  const family = addressFamily(address);
  if (family === undefined || text !== (family === 6 ? `[${address}]:${port}` : `${address}:${port}`))
    return false;
  const { start } = parseRange(address);
  return !nowhere.some((range) => range.family === family && range.start <= start && start <= range.end);
}
