/**
 * Reads kubeconfigs like kubectl: the given file, KUBECONFIG (a list in which the first file to define an entry wins), or
 * ~/.kube/config. `@kubernetes/client-node` handles credential plugins and identity providers (`plugin-credentials.ts`).
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { proxyOf, type Environment } from '../proxy.ts';
import { inCluster, tokenFromFile, type ClientCertificate, type KubeConnection } from './connection.ts';
import { KubeconfigError } from './kubeconfig-error.ts';
import { impersonationHeaders } from './impersonation.ts';
import type { Cluster, Context, User, Where } from './kubeconfig-fields.ts';

export { KubeconfigError };

export interface KubeconfigOptions {
  /** Path of a file; absent: KUBECONFIG, then ~/.kube/config. */
  kubeconfig?: string | undefined;
  /** Absent: the current context. */
  context?: string | undefined;
  environment: Environment;
}

/** A connection, and the name of its context for messages. */
export type KubeconfigConnection = KubeConnection & { context: string };

interface Merged {
  currentContext: string | undefined;
  contexts: Map<string, Context>;
  clusters: Map<string, Cluster & { directory: string }>;
  users: Map<string, User & { directory: string }>;
}

/** The connection that the options select; in a pod without a kubeconfig that of its service account. Throws KubeconfigError. */
export async function loadKubeconfig(options: KubeconfigOptions): Promise<KubeconfigConnection> {
  const { environment } = options;
  const files = candidates(options);
  const present = files.filter((file) => existsSync(file));
  const where = present.join(', ');
  if (present.length === 0) {
    const inPod = options.kubeconfig === undefined ? podConnection(environment) : undefined;
    if (inPod !== undefined) return inPod;
    throw new KubeconfigError(
      `no kubeconfig: ${files.join(', ')} ${files.length === 1 ? 'does' : 'do'} not exist; name one with --kubeconfig`,
    );
  }
  const merged = await merge(present);
  const name = options.context ?? merged.currentContext;
  if (name === undefined)
    throw new KubeconfigError(`${where} has no current context; name one with --context`);
  const context = merged.contexts.get(name);
  if (context === undefined) {
    const known = [...merged.contexts.keys()].join(', ') || 'none';
    throw new KubeconfigError(`there is no context "${name}" in ${where}; there are: ${known}`, {
      unknownContext: true,
    });
  }
  const cluster = merged.clusters.get(context.cluster ?? '');
  if (!cluster?.server)
    throw new KubeconfigError(`context "${name}" in ${where} names a cluster without a server`);
  const user = context.user ? merged.users.get(context.user) : { directory: '.' };
  if (user === undefined)
    throw new KubeconfigError(
      `context "${name}" in ${where} names the user "${context.user}", which does not exist there`,
    );
  const of = `user "${context.user ?? ''}" in ${where}`;
  const ca = await dataOrFile(cluster, 'certificate-authority');
  const proxy = cluster['proxy-url'] || proxyOf(addressOf(cluster.server, where), environment);
  return {
    url: cluster.server,
    context: name,
    ...(ca !== undefined && { ca }),
    ...(cluster['tls-server-name'] && { tlsServerName: cluster['tls-server-name'] }),
    ...(cluster['insecure-skip-tls-verify'] === true && { skipTLSVerify: true }),
    ...(proxy && { proxy }),
    ...(await credentialsOf(user, { name: context.user ?? '', of, cluster, ca, environment })),
  };
}

/** Credentials of requests. */
async function credentialsOf(
  user: User & { directory: string },
  where: Where,
): Promise<Pick<KubeConnection, 'token' | 'clientCertificate' | 'headers'>> {
  const { of } = where;
  const certificate = await certificateOf(user, of);
  const impersonation = impersonationHeaders(user);
  if (impersonation instanceof Error) throw new KubeconfigError(`${of}: ${impersonation.message}`);
  const headers = { ...impersonation, ...basicAuthentication(user) };
  const common = {
    ...(Object.keys(headers).length > 0 && { headers }),
    ...(certificate !== undefined && { clientCertificate: () => certificate }),
  };
  if (user.exec || user['auth-provider']) {
    const { pluginCredentials } = await import('./plugin-credentials.ts');
    const plugin = await pluginCredentials(user, where);
    return {
      ...common,
      token: plugin.token,
      clientCertificate: () => plugin.certificate() ?? certificate,
    };
  }
  if (user.tokenFile) return { ...common, token: tokenFromFile(resolve(user.directory, user.tokenFile)) };
  const { token } = user;
  return { ...common, ...(token && { token: () => token }) };
}

function basicAuthentication({ username, password }: User): Record<string, string> {
  if (!username) return {};
  const text = `${username}:${password ?? ''}`;
  return { authorization: `Basic ${Buffer.from(text).toString('base64')}` };
}

async function certificateOf(
  user: User & { directory: string },
  of: string,
): Promise<ClientCertificate | undefined> {
  const certificate = await dataOrFile(user, 'client-certificate');
  const key = await dataOrFile(user, 'client-key');
  if (certificate === undefined && key === undefined) return undefined;
  if (certificate === undefined || key === undefined)
    throw new KubeconfigError(
      `${of} has a client ${key === undefined ? 'certificate but not its key' : 'key but not its certificate'}`,
    );
  return { certificate, key };
}

/** Text of `<field>-data` (base64), or of the file that `<field>` names, relative to the kubeconfig. */
async function dataOrFile(
  entry: { directory: string } & Record<string, unknown>,
  field: string,
): Promise<string | undefined> {
  const data = entry[`${field}-data`];
  if (typeof data === 'string' && data !== '') return Buffer.from(data, 'base64').toString('utf8');
  const file = entry[field];
  if (typeof file !== 'string' || file === '') return undefined;
  try {
    return await readFile(resolve(entry.directory, file), 'utf8');
  } catch (error) {
    throw new KubeconfigError(`the kubeconfig’s ${field} cannot be read: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

function addressOf(server: string, where: string): string {
  const url = URL.parse(server);
  if (url === null || !/^https?:$/.test(url.protocol))
    throw new KubeconfigError(`the server "${server}" in ${where} is not a URL with https or http`);
  return server;
}

function candidates({ kubeconfig, environment }: KubeconfigOptions): string[] {
  if (kubeconfig !== undefined) return [resolve(kubeconfig)];
  const list = (environment['KUBECONFIG'] ?? '').split(delimiter).filter((file) => file !== '');
  return list.length > 0 ? list : [join(environment['HOME'] ?? homedir(), '.kube', 'config')];
}

async function merge(files: readonly string[]): Promise<Merged> {
  const { load } = await import('js-yaml');
  const merged: Merged = {
    currentContext: undefined,
    contexts: new Map(),
    clusters: new Map(),
    users: new Map(),
  };
  for (const file of files) {
    let content: Record<string, unknown>;
    try {
      content = (load(await readFile(file, 'utf8')) ?? {}) as Record<string, unknown>;
    } catch (error) {
      throw new KubeconfigError(`${file} cannot be read as a kubeconfig: ${(error as Error).message}`);
    }
    const current = content['current-context'];
    if (typeof current === 'string' && current !== '') merged.currentContext ??= current;
    const directory = dirname(file);
    add(merged.contexts, content['contexts'], 'context', (entry) => entry as Context);
    add(merged.clusters, content['clusters'], 'cluster', (entry) => ({ ...entry, directory }));
    add(merged.users, content['users'], 'user', (entry) => ({ ...entry, directory }));
  }
  return merged;
}

function add<T>(into: Map<string, T>, list: unknown, key: string, make: (entry: object) => T): void {
  if (!Array.isArray(list)) return;
  for (const each of list as (Record<string, unknown> | null)[]) {
    const name = each?.['name'];
    if (typeof name === 'string' && !into.has(name)) into.set(name, make(each?.[key] ?? {}));
  }
}

function podConnection(environment: Environment): KubeconfigConnection | undefined {
  try {
    return { ...inCluster(environment), context: 'this pod’s service account' };
  } catch {
    return undefined;
  }
}

/** KUBECONFIG if set, otherwise the pod's service account: for processes that run in a cluster. */
export async function defaultConnection(environment: Environment = process.env): Promise<KubeConnection> {
  return environment['KUBECONFIG'] ? loadKubeconfig({ environment }) : inCluster(environment);
}
