/** Names to addresses by the system's resolver. It cannot be called off: who waits for it is let go, and the answer is lost. */
import { lookup } from 'node:dns/promises';
import { addressFamily } from '../../shared/net/cidr.ts';

/** All addresses of a name. Rejects with the signal's reason, or when the name is not known. */
export async function resolveName(name: string, signal: AbortSignal): Promise<string[]> {
  signal.throwIfAborted();
  const { promise: ended, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const found = await Promise.race([lookup(name, { all: true }), ended]);
    return found.map(({ address }) => address);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** By which a pod speaks to its API server (Kubernetes, Accessing the API from a Pod); undefined: this is no pod. */
export function apiServerOf(environment: Readonly<Record<string, string | undefined>>): string | undefined {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = environment;
  if (!host) return undefined;
  return `https://${addressFamily(host) === 6 ? `[${host}]` : host}:${port}`;
}

/** The host of a URL, without the brackets of IPv6. */
export function hostOf(url: string | undefined): string | undefined {
  return url === undefined ? undefined : new URL(url).hostname.replace(/^\[(.*)\]$/, '$1');
}
