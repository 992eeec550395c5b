/** Resolves names by the system resolver. It cannot be cancelled: on abort the promise rejects and the answer is dropped. */
import { lookup } from 'node:dns/promises';
import { addressFamily } from '../../shared/net/cidr.ts';

/** All addresses of a name. Rejects with the signal's reason, or when the name is unknown. */
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

/** URL by which a pod reaches its API server (Kubernetes, "Accessing the API from a Pod"); undefined outside a pod. */
export function apiServerOf(environment: Readonly<Record<string, string | undefined>>): string | undefined {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = environment;
  if (!host) return undefined;
  return `https://${addressFamily(host) === 6 ? `[${host}]` : host}:${port}`;
}

/** The host of a URL, without the brackets of IPv6. */
export function hostOf(url: string | undefined): string | undefined {
  return url === undefined ? undefined : new URL(url).hostname.replace(/^\[(.*)\]$/, '$1');
}
