/**
 * Credentials from exec plugins, OIDC and other providers that `@kubernetes/client-node` supports. Loaded only for such
 * users, since it takes about 34 MiB.
 */
import { isAbsolute, resolve, sep } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import type { ClientCertificate } from './connection.ts';
import { KubeconfigError } from './kubeconfig-error.ts';
import type { ExecPlugin, User, Where } from './kubeconfig-fields.ts';

/** Long enough for a person to log in. */
const pluginMilliseconds = 120_000;

/** The part of a cluster's entry that is passed to plugins (client-go, tools/clientcmd/api/v1). */
const execExtension = 'client.authentication.k8s.io/exec';

export interface PluginCredentials {
  /** Runs the plugin again when its last credentials have expired. */
  token: () => Promise<string | undefined>;
  /** Credentials of the last run. */
  certificate: () => ClientCertificate | undefined;
}

/** Runs the plugin once, so that a failure is reported before any request. Throws KubeconfigError. */
export async function pluginCredentials(
  user: User & { directory: string },
  where: Where,
): Promise<PluginCredentials> {
  const config = new KubeConfig();
  const name = where.name || 'user';
  config.loadFromOptions({
    // Only the credentials come from the library; requests use this project's own transport.
    clusters: [{ name: 'cluster', server: 'https://cluster', skipTLSVerify: false }],
    users: [
      {
        name,
        ...(user.exec && { exec: prepared(user.exec, user.directory, where) }),
        ...(user['auth-provider'] && { authProvider: user['auth-provider'] }),
      },
    ],
    contexts: [{ name: 'context', cluster: 'cluster', user: name }],
    currentContext: 'context',
  });
  let certificate: ClientCertificate | undefined;
  const ask = async (): Promise<string | undefined> => {
    const options: { headers: Record<string, string>; cert?: unknown; key?: unknown } = { headers: {} };
    try {
      await withinTime(
        config.applyToHTTPSOptions(options as Parameters<typeof config.applyToHTTPSOptions>[0]),
      );
    } catch (error) {
      throw failed(user, where, error as NodeJS.ErrnoException);
    }
    if (typeof options.cert === 'string' && typeof options.key === 'string')
      certificate = { certificate: options.cert, key: options.key };
    const header = Object.entries(options.headers).find(([key]) => key.toLowerCase() === 'authorization');
    return header?.[1].replace(/^Bearer /i, '');
  };
  const first = await ask();
  if (first === undefined && certificate === undefined)
    throw new KubeconfigError(`${where.of}: its credential plugin yields neither a token nor a certificate`);
  return { token: ask, certificate: () => certificate };
}

/** The plugin as client-go starts it: its path is relative to the kubeconfig, and KUBERNETES_EXEC_INFO is set. */
function prepared(exec: ExecPlugin, directory: string, { cluster, ca, environment }: Where): ExecPlugin {
  const { command = '', provideClusterInfo } = exec;
  const beside = command.includes(sep) && !isAbsolute(command);
  const info = {
    apiVersion: exec.apiVersion,
    kind: 'ExecCredential',
    spec: {
      interactive: false,
      ...(provideClusterInfo === true && {
        cluster: {
          server: cluster.server,
          'tls-server-name': cluster['tls-server-name'],
          'insecure-skip-tls-verify': cluster['insecure-skip-tls-verify'],
          'certificate-authority-data': ca === undefined ? undefined : Buffer.from(ca).toString('base64'),
          'proxy-url': cluster['proxy-url'],
          config: cluster.extensions?.find(({ name }) => name === execExtension)?.extension,
        },
      }),
    },
  };
  const given = Object.entries(environment).flatMap(([name, value]) =>
    value === undefined ? [] : [{ name, value }],
  );
  return {
    ...exec,
    command: beside ? resolve(directory, command) : command,
    env: [...given, { name: 'KUBERNETES_EXEC_INFO', value: JSON.stringify(info) }, ...(exec.env ?? [])],
  };
}

async function withinTime<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new Error(`it did not exit within ${pluginMilliseconds / 1000} s`)),
      pluginMilliseconds,
    );
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

function failed(user: User, { of }: Where, error: NodeJS.ErrnoException): KubeconfigError {
  const { exec, 'auth-provider': provider } = user;
  const what = exec
    ? `the credential plugin "${exec.command ?? ''}"`
    : `the auth-provider "${provider?.name ?? ''}"`;
  const hint = error.code === 'ENOENT' && exec?.installHint ? `\n${exec.installHint}` : '';
  const why = error.message.trim() || 'it ended with an error and no message';
  return new KubeconfigError(`${of}: ${what} failed: ${why.slice(0, 2000)}${hint}`, { cause: error });
}
