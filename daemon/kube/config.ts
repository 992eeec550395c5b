/** Where an API server is and who we are there: in a pod, by kubeconfig, or by an identity from a provider. */
import { readFile, readFileSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import { promisify } from 'node:util';
import type { KubeConnection } from './transport.ts';

const serviceAccountDirectory = '/var/run/secrets/kubernetes.io/serviceaccount';
/** kubelet renews the file long before the token expires; reading once a minute is soon enough. */
const tokenFileMilliseconds = 60_000;

/** The connection of a pod with its service account. Throws when this is no pod. */
export function inCluster(
  environment: Record<string, string | undefined> = process.env,
  directory = serviceAccountDirectory,
): KubeConnection {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = environment;
  if (!host || !port) {
    throw new Error(
      'KUBERNETES_SERVICE_HOST is not set: this is no pod of a cluster. Set KUBECONFIG to run outside of one.',
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
export function tokenFromFile(path: string, now: () => number = Date.now): () => Promise<string> {
  const read = promisify(readFile);
  let held: { token: string; at: number } | undefined;
  return async () => {
    if (held === undefined || now() - held.at > tokenFileMilliseconds) {
      held = { token: (await read(path, 'utf8')).trim(), at: now() };
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

/** The connection to a provider's API server. */
export function fromIdentity({ apiServerURL, caBundle, tlsServerName, token }: Identity): KubeConnection {
  return {
    url: apiServerURL,
    ca: caBundle,
    ...(tlsServerName !== undefined && { tlsServerName }),
    token: typeof token === 'string' ? () => token : token,
  };
}

/**
 * The current context of a kubeconfig (default: KUBECONFIG, then ~/.kube/config), plugins and all. Loads
 * @kubernetes/client-node, which a pod with a service account never needs.
 */
export async function fromKubeconfig(path?: string, context?: string): Promise<KubeConnection> {
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  if (path === undefined) config.loadFromDefault();
  else config.loadFromFile(path);
  if (context !== undefined) config.setCurrentContext(context);
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new Error(`the kubeconfig${path ? ` ${path}` : ''} has no current context`);
  const options: RequestOptions & { headers?: Record<string, string> } = {};
  const applied = async () => {
    options.headers = {};
    await config.applyToHTTPSOptions(options);
    const header = Object.entries(options.headers ?? {}).find(
      ([name]) => name.toLowerCase() === 'authorization',
    );
    return header?.[1]?.replace(/^Bearer /, '');
  };
  await applied();
  const text = (value: unknown) =>
    Buffer.isBuffer(value) ? value.toString('utf8') : typeof value === 'string' ? value : undefined;
  const ca = text(options.ca);
  const certificate = text(options.cert);
  const key = text(options.key);
  return {
    url: cluster.server,
    ...(ca !== undefined && { ca }),
    ...(cluster.tlsServerName !== undefined && { tlsServerName: cluster.tlsServerName }),
    ...(cluster.skipTLSVerify && { skipTLSVerify: true }),
    ...(certificate !== undefined && key !== undefined && { clientCertificate: { certificate, key } }),
    token: applied,
  };
}

/** KUBECONFIG if it is set, else the pod's service account. */
export async function defaultConnection(
  environment: Record<string, string | undefined> = process.env,
): Promise<KubeConnection> {
  return environment['KUBECONFIG'] ? fromKubeconfig(environment['KUBECONFIG']) : inCluster(environment);
}
