/** Address and credentials of an API server: in a pod, or from a provider's identity. Kubeconfigs: `kubeconfig.ts`. */
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { LookupFunction } from 'node:net';
import { rereadToken } from '../../../shared/kube/token.ts';
import { guardedLookup } from '../guarded-lookup.ts';
import { proxyOf, type Environment } from '../proxy.ts';

export interface ClientCertificate {
  /** PEM. */
  certificate: string;
  /** PEM. */
  key: string;
}

/** How to reach an API server, with which credentials. Secrets stay in memory. */
export interface KubeConnection {
  /** `https://host:port`, with a path prefix if it has one. */
  url: string;
  /** PEM; absent: the system's root CAs. */
  ca?: string;
  /** Name in the server's certificate, if it differs from the URL's. */
  tlsServerName?: string;
  /** Set only by a kubeconfig. */
  skipTLSVerify?: boolean;
  /** Bearer token; read before each request, since it may change. */
  token?: () => string | undefined | Promise<string | undefined>;
  /** Client certificate; read after the token, since the same plugin may return both. */
  clientCertificate?: () => ClientCertificate | undefined;
  /** Additional headers of each request: impersonation, basic authentication. */
  headers?: Record<string, string | string[]>;
  /** URL of a proxy; http, https or socks5. */
  proxy?: string;
  /** Resolves the server's host name. Default: the system resolver. */
  lookup?: LookupFunction;
}

const serviceAccountDirectory = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * The connection of a pod with its service account. Throws outside a pod. HTTPS_PROXY is ignored: the address of the
 * Service `kubernetes` is valid only inside this cluster.
 */
export function inCluster(
  environment: Environment = process.env,
  directory = serviceAccountDirectory,
): KubeConnection {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = environment;
  if (!host || !port) {
    throw new Error(
      'KUBERNETES_SERVICE_HOST is not set: this process does not run in a pod of a cluster. Set KUBECONFIG to run outside a cluster.',
    );
  }
  const authority = host.includes(':') ? `[${host}]` : host;
  return {
    url: `https://${authority}:${port}`,
    ca: readFileSync(`${directory}/ca.crt`, 'utf8'),
    token: tokenFromFile(`${directory}/token`),
  };
}

/** Reads a token file, again after a minute. */
export function tokenFromFile(
  path: string,
  now: () => number = () => performance.now(),
): () => Promise<string> {
  return rereadToken(() => readFile(path, 'utf8'), now);
}

/** The provider's API server, its CA, and a token that may be renewed. */
export interface Identity {
  apiServerURL: string;
  /** PEM. */
  caBundle: string;
  tlsServerName?: string | undefined;
  token: string | (() => string | undefined);
}

/** The connection to a provider's API server, through the proxy that the environment sets for its address. */
export function fromIdentity(
  { apiServerURL, caBundle, tlsServerName, token }: Identity,
  environment: Environment = process.env,
): KubeConnection {
  const proxy = proxyOf(apiServerURL, environment);
  return {
    url: apiServerURL,
    ca: caBundle,
    ...(tlsServerName !== undefined && { tlsServerName }),
    ...(proxy !== undefined && { proxy }),
    lookup: guardedLookup,
    token: typeof token === 'string' ? () => token : token,
  };
}
