/**
 * Reads kubeconfigs as kubectl does: --kubeconfig, KUBECONFIG (a list, the first to name a thing wins), ~/.kube/config;
 * in a pod its service account. Certificates and tokens are read here; credential plugins are left to
 * @kubernetes/client-node, which takes longer to load than all else that a command does.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { CommandError, UsageError } from './exit.ts';

/** Where an API server is, and who we are there. */
export interface Connection {
  server: string;
  /** For messages: the context's name. */
  context: string;
  ca?: string | Buffer | undefined;
  certificate?: string | Buffer | undefined;
  key?: string | Buffer | undefined;
  token?: string | undefined;
  serverName?: string | undefined;
  insecure: boolean;
}

interface NamedEntry<T> {
  name: string;
  entry: T;
}
interface Cluster {
  server?: string;
  'certificate-authority'?: string;
  'certificate-authority-data'?: string;
  'tls-server-name'?: string;
  'insecure-skip-tls-verify'?: boolean;
}
interface User {
  'client-certificate'?: string;
  'client-certificate-data'?: string;
  'client-key'?: string;
  'client-key-data'?: string;
  token?: string;
  tokenFile?: string;
  username?: string;
  exec?: unknown;
  'auth-provider'?: unknown;
  as?: string;
}
interface Context {
  cluster?: string;
  user?: string;
}

interface Merged {
  files: string[];
  currentContext: string | undefined;
  contexts: Map<string, Context>;
  clusters: Map<string, Cluster & { directory: string }>;
  users: Map<string, User & { directory: string }>;
}

const serviceAccount = '/var/run/secrets/kubernetes.io/serviceaccount';

export interface KubeconfigOptions {
  kubeconfig?: string | undefined;
  context?: string | undefined;
  environment: Record<string, string | undefined>;
}

/** The connection that the options ask for. Throws CommandError that names the file and what is missing in it. */
export async function findConnection(options: KubeconfigOptions): Promise<Connection> {
  const files = candidates(options);
  const present = files.filter((file) => existsSync(file));
  if (present.length === 0) {
    const inPod = await podConnection(options.environment);
    if (inPod !== undefined && options.kubeconfig === undefined) return inPod;
    throw new CommandError(
      `no kubeconfig: ${files.join(', ')} ${files.length === 1 ? 'does' : 'do'} not exist; name one with --kubeconfig`,
    );
  }
  const merged = await merge(present);
  const name = options.context ?? merged.currentContext;
  const where = merged.files.join(', ');
  if (name === undefined) throw new CommandError(`${where} has no current context; name one with --context`);
  const context = merged.contexts.get(name);
  if (context === undefined) {
    const known = [...merged.contexts.keys()].join(', ') || 'none';
    throw new UsageError(`there is no context "${name}" in ${where}; there are: ${known}`);
  }
  const cluster = merged.clusters.get(context.cluster ?? '');
  if (cluster?.server === undefined) {
    throw new CommandError(`context "${name}" in ${where} names a cluster without a server`);
  }
  const user = merged.users.get(context.user ?? '') ?? { directory: '.' };
  if (user.exec !== undefined || user['auth-provider'] !== undefined || user.as !== undefined) {
    return throughLibrary(present, name);
  }
  const tokenFile = user.tokenFile === undefined ? undefined : resolve(user.directory, user.tokenFile);
  return {
    server: cluster.server,
    context: name,
    ca: await dataOrFile(
      cluster['certificate-authority-data'],
      cluster['certificate-authority'],
      cluster.directory,
    ),
    certificate: await dataOrFile(
      user['client-certificate-data'],
      user['client-certificate'],
      user.directory,
    ),
    key: await dataOrFile(user['client-key-data'], user['client-key'], user.directory),
    token: user.token ?? (tokenFile === undefined ? undefined : (await readFile(tokenFile, 'utf8')).trim()),
    serverName: cluster['tls-server-name'],
    insecure: cluster['insecure-skip-tls-verify'] === true,
  };
}

function candidates({ kubeconfig, environment }: KubeconfigOptions): string[] {
  if (kubeconfig !== undefined) return [resolve(kubeconfig)];
  const list = (environment['KUBECONFIG'] ?? '').split(delimiter).filter((file) => file !== '');
  return list.length > 0 ? list : [join(environment['HOME'] ?? homedir(), '.kube', 'config')];
}

async function merge(files: readonly string[]): Promise<Merged> {
  const { load } = await import('js-yaml');
  const merged: Merged = {
    files: [...files],
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
      throw new CommandError(`${file} cannot be read as a kubeconfig: ${(error as Error).message}`);
    }
    if (typeof content['current-context'] === 'string' && content['current-context'] !== '') {
      merged.currentContext ??= content['current-context'];
    }
    const directory = dirname(file);
    for (const { name, entry } of entries<Context>(content['contexts'], 'context')) {
      if (!merged.contexts.has(name)) merged.contexts.set(name, entry);
    }
    for (const { name, entry } of entries<Cluster>(content['clusters'], 'cluster')) {
      if (!merged.clusters.has(name)) merged.clusters.set(name, { ...entry, directory });
    }
    for (const { name, entry } of entries<User>(content['users'], 'user')) {
      if (!merged.users.has(name)) merged.users.set(name, { ...entry, directory });
    }
  }
  return merged;
}

function entries<T>(list: unknown, key: string): NamedEntry<T>[] {
  if (!Array.isArray(list)) return [];
  return (list as Record<string, unknown>[]).map((each) => ({
    name: typeof each['name'] === 'string' ? each['name'] : '',
    entry: (each[key] ?? {}) as T,
  }));
}

async function dataOrFile(
  data: string | undefined,
  file: string | undefined,
  directory: string,
): Promise<Buffer | undefined> {
  if (data !== undefined && data !== '') return Buffer.from(data, 'base64');
  return file === undefined || file === '' ? undefined : readFile(resolve(directory, file));
}

async function podConnection(
  environment: Record<string, string | undefined>,
): Promise<Connection | undefined> {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = environment;
  if (!host || !port || !existsSync(`${serviceAccount}/token`)) return undefined;
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    context: 'this pod’s service account',
    ca: await readFile(`${serviceAccount}/ca.crt`),
    token: (await readFile(`${serviceAccount}/token`, 'utf8')).trim(),
    insecure: false,
  };
}

/** Credential plugins and impersonation, by the library that knows them all. */
async function throughLibrary(files: readonly string[], context: string): Promise<Connection> {
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  const [first = '', ...more] = files;
  config.loadFromFile(first);
  for (const file of more) {
    const other = new KubeConfig();
    other.loadFromFile(file);
    config.mergeConfig(other, true);
  }
  config.setCurrentContext(context);
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new CommandError(`context "${context}" names no cluster`);
  const options: { headers: Record<string, string>; ca?: Buffer; cert?: Buffer; key?: Buffer } = {
    headers: {},
  };
  await config.applyToHTTPSOptions(options);
  const bearer = Object.entries(options.headers).find(([name]) => name.toLowerCase() === 'authorization');
  return {
    server: cluster.server,
    context,
    ca: options.ca,
    certificate: options.cert,
    key: options.key,
    token: bearer?.[1].replace(/^Bearer /, ''),
    serverName: cluster.tlsServerName,
    insecure: cluster.skipTLSVerify,
  };
}
