/** Validates keys and endpoints in text as strictly as the tunnel device does. */
import { addressFamily } from '../../shared/net/cidr.ts';
import { isLoopback, isNowhere } from '../../shared/net/dialable.ts';

/** 32 bytes in base64, in the one canonical spelling: the last digit holds four bits only. */
const key = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;

export function isTunnelKey(text: string): boolean {
  return key.test(text);
}

/** `192.0.2.1:7470`, `[2001:db8::1]:7470` → the address. */
export function addressOf(endpoint: string): string {
  return endpoint.slice(0, endpoint.lastIndexOf(':')).replace(/^\[|\]$/g, '');
}

/** Whether the text is an address with a port to which packets can be sent for a remote. */
export function isEndpoint(text: string): boolean {
  const port = text.slice(text.lastIndexOf(':') + 1);
  if (!/^[1-9][0-9]{0,4}$/.test(port) || Number(port) > 65_535) return false;
  const address = addressOf(text);
  const family = addressFamily(address);
  if (family === undefined || text !== (family === 6 ? `[${address}]:${port}` : `${address}:${port}`))
    return false;
  return !isNowhere(address) && !isLoopback(address);
}
