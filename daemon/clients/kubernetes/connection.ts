/** Where an API server is and who asks it: in a pod, or by an identity from a provider. Kubeconfigs: `kubeconfig.ts`. */
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { LookupFunction } from 'node:net';
import { proxyOf, type Environment } from '../proxy.ts';

export interface ClientCertificate {
  /** PEM. */
  certificate: string;
  /** PEM. */
  key: string;
}

/** How to reach an API server and as whom. Secrets stay in memory. */
export interface KubeConnection {
  /** `https://host:port`, with a path if it is behind one. */
  url: string;
  /** PEM; absent: the system's roots. */
  ca?: string;
  /** Name in the server's certificate, when the URL has another one. */
  tlsServerName?: string;
  /** Only of a kubeconfig that says so. */
  skipTLSVerify?: boolean;
  /** Bearer token. Asked before each request; may change over time. */
  token?: () => string | undefined | Promise<string | undefined>;
  /** Asked after the token: what yields the one may yield the other. */
  clientCertificate?: () => ClientCertificate | undefined;
  /** More headers of each request: impersonation, basic authentication. */
  headers?: Record<string, string | string[]>;
  /** URL of a proxy: http, https or socks5. */
  proxy?: string;
  /** Finds the addresses of the server's name. Default: the system's. */
  lookup?: LookupFunction;
}

const serviceAccountDirectory = '/var/run/secrets/kubernetes.io/serviceaccount';
/** kubelet renews the file long before the token expires; reading once a minute is soon enough. */
const tokenFileMilliseconds = 60_000;

/**
 * The connection of a pod with its service account. Throws when this is no pod. HTTPS_PROXY does not count here: the
 * Service `kubernetes` has an address that only this cluster knows.
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

/** Reads a token file again from time to time. */
export function tokenFromFile(
  path: string,
  now: () => number = () => performance.now(),
): () => Promise<string> {
  let held: { token: string; at: number } | undefined;
  return async () => {
    if (held === undefined || now() - held.at > tokenFileMilliseconds) {
      held = { token: (await readFile(path, 'utf8')).trim(), at: now() };
    }
    return held.token;
  };
}

/** What the provider gave: its API server, its CA, and a token that may be renewed meanwhile. */
export interface Identity {
  apiServerURL: string;
  /** PEM. */
  caBundle: string;
  tlsServerName?: string | undefined;
  token: string | (() => string | undefined);
}

/** The connection to a provider's API server, through the proxy that the environment names for its address. */
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
    token: typeof token === 'string' ? () => token : token,
  };
}
