/**
 * Proxies with the rules of Go's clients (golang.org/x/net/http/httpproxy): which proxy a URL uses, and the tunnel through it
 * (RFC 9110, section 9.3.6).
 */
import {
  Agent as PlainAgent,
  request as plainRequest,
  type AgentOptions,
  type ClientRequest,
} from 'node:http';
import { Agent, request as tlsRequest, type AgentOptions as TLSAgentOptions } from 'node:https';
import { BlockList, isIP, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTLS, type ConnectionOptions } from 'node:tls';

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * How long to wait for one address of a name before trying the next. Node's default of 250 ms is shorter than the longest
 * round trips, and Node abandons each address but the last one after it.
 */
const addressMilliseconds = 3_000;

/** Connection options of every client: all addresses of a name are tried one after the other (RFC 8305). */
export const dialOptions = {
  autoSelectFamily: true,
  autoSelectFamilyAttemptTimeout: addressMilliseconds,
} as const;

/** A configured proxy that is unusable or refuses the connection. */
export class ProxyError extends Error {
  override readonly name = 'ProxyError';
  readonly code = 'PROXY';
}

/**
 * The proxy for a URL: HTTPS_PROXY or HTTP_PROXY, in upper or lower case, unless NO_PROXY names the host. Undefined if
 * there is none, and always for localhost.
 */
export function proxyOf(url: string, environment: Environment): string | undefined {
  const { protocol, hostname, port } = new URL(url);
  const variable = protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY';
  const proxy = either(environment, variable);
  if (proxy === undefined) return undefined;
  const host = hostname.replace(/^\[|\]$/g, '').toLowerCase();
  const portText = port || (protocol === 'https:' ? '443' : '80');
  if (isLocal(host) || isExcepted(host, portText, either(environment, 'NO_PROXY') ?? '')) return undefined;
  return proxy.includes('://') ? proxy : `http://${proxy}`;
}

function either(environment: Environment, name: string): string | undefined {
  return environment[name] || environment[name.toLowerCase()] || undefined;
}

function isLocal(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/** NO_PROXY: domains with their subdomains, addresses and ranges, each with an optional port; `*` matches everything. */
function isExcepted(host: string, port: string, exceptions: string): boolean {
  return exceptions
    .split(',')
    .map((each) => each.trim().toLowerCase())
    .filter((each) => each !== '')
    .some((each) => isNamedBy(host, port, each));
}

function isNamedBy(host: string, port: string, exception: string): boolean {
  if (exception === '*') return true;
  if (exception.includes('/')) return isInRange(host, exception);
  const parts = /^(\[[^\]]+\]|[^:]+):(\d+)$/.exec(exception);
  if (parts !== null && parts[2] !== port) return false;
  const name = (parts?.[1] ?? exception).replace(/^\[|\]$/g, '').replace(/^\*(?=\.)/, '');
  if (isIP(name) !== 0) return isSameAddress(host, name);
  // `.example.com` matches only subdomains; `example.com` also matches the domain itself.
  return name.startsWith('.') ? host.endsWith(name) : host === name || host.endsWith(`.${name}`);
}

function isInRange(host: string, range: string): boolean {
  const [address = '', prefix = ''] = range.split('/');
  const family = isIP(address);
  if (family === 0 || isIP(host) !== family || !/^\d+$/.test(prefix)) return false;
  if (Number(prefix) > (family === 4 ? 32 : 128)) return false;
  const list = new BlockList();
  list.addSubnet(address, Number(prefix), family === 4 ? 'ipv4' : 'ipv6');
  return list.check(host, family === 4 ? 'ipv4' : 'ipv6');
}

function isSameAddress(host: string, address: string): boolean {
  return isInRange(host, `${address}/${isIP(address) === 4 ? 32 : 128}`);
}

/** The target of a connection, as Node's agents pass it to `createConnection`. */
type Target = ConnectionOptions & { host?: string; port?: number | string; timeout?: number };
type Callback = (error: Error | null, socket: Duplex) => void;

const connectMilliseconds = 15_000;

/**
 * An agent whose connections go through the proxy: by CONNECT (http, https), or by SOCKS, with the library of
 * `@kubernetes/client-node`, which is loaded only then. Throws ProxyError for any other kind of proxy.
 */
export async function proxiedAgent(
  proxy: string,
  options: TLSAgentOptions,
  secure: boolean,
): Promise<PlainAgent> {
  const url = parseProxy(proxy);
  if (url.protocol.startsWith('socks')) {
    const { KubeConfig } = await import('@kubernetes/client-node');
    const config = new KubeConfig();
    const cluster = { name: 'proxied', server: 'https://proxied', skipTLSVerify: false, proxyUrl: url.href };
    return (config as unknown as SocksSupport).createAgent(cluster, options);
  }
  return secure ? new ProxiedTLSAgent(url, options) : new ProxiedAgent(url, options);
}

interface SocksSupport {
  createAgent(cluster: object, options: AgentOptions): PlainAgent;
}

function parseProxy(proxy: string): URL {
  const url = URL.parse(proxy);
  if (url === null || !/^(https?|socks[45]?[ah]?):$/.test(url.protocol))
    throw new ProxyError(
      `the proxy ${withoutPassword(url) ?? 'of the kubeconfig or of HTTPS_PROXY'} is not a URL with http, https or socks5`,
    );
  return url;
}

const withoutPassword = (url: URL | null) => url?.host;

class ProxiedAgent extends PlainAgent {
  readonly #proxy: URL;
  constructor(proxy: URL, options: AgentOptions) {
    super(options);
    this.#proxy = proxy;
  }
  override createConnection(target: Target, callback?: Callback): undefined {
    tunnel(this.#proxy, target, (error, socket) => callback?.(error, socket));
  }
}

class ProxiedTLSAgent extends Agent {
  readonly #proxy: URL;
  constructor(proxy: URL, options: TLSAgentOptions) {
    super(options);
    this.#proxy = proxy;
  }
  override createConnection(target: Target, callback?: Callback): undefined {
    tunnel(this.#proxy, target, (error, socket) => {
      if (error !== null) callback?.(error, socket);
      else secureSocket(socket as Socket, target, (failed, secured) => callback?.(failed, secured));
    });
  }
}

/** TLS with the target inside the tunnel. */
function secureSocket(socket: Socket, target: Target, callback: Callback): void {
  const { host = '' } = target;
  const { path: _path, ...options } = target;
  const secured = connectTLS({
    ...options,
    socket,
    ...(!target.servername && isIP(host) === 0 && { servername: host }),
  });
  callback(null, secured);
}

/** A connection to the target through the proxy. */
function tunnel(proxy: URL, target: Target, callback: Callback): void {
  const { host = '', port = 443 } = target;
  const authority = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
  const through = proxy.host;
  const { username, password } = proxy;
  const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  const asked: ClientRequest = (proxy.protocol === 'https:' ? tlsRequest : plainRequest)({
    method: 'CONNECT',
    host: proxy.hostname.replace(/^\[|\]$/g, ''),
    port: proxy.port || (proxy.protocol === 'https:' ? 443 : 80),
    path: authority,
    agent: false,
    headers: {
      host: authority,
      ...(username !== '' && {
        'proxy-authorization': `Basic ${Buffer.from(credentials).toString('base64')}`,
      }),
    },
    ...dialOptions,
  });
  let settled = false;
  const settle = (error: Error | null, socket?: Duplex) => {
    if (settled) return;
    settled = true;
    clearTimeout(timer);
    callback(error, socket as Duplex);
  };
  const timer = setTimeout(
    () => asked.destroy(new ProxyError(`no answer within ${connectMilliseconds / 1000} s`)),
    connectMilliseconds,
  );
  asked.once('connect', (answer, socket, head) => {
    if (Math.floor((answer.statusCode ?? 0) / 100) !== 2 || head.length > 0) {
      socket.destroy();
      const status = `${answer.statusCode ?? 'without a status'}`;
      settle(
        new ProxyError(`the proxy ${through} refuses a connection to ${authority}: it answers ${status}`),
      );
      return;
    }
    settle(null, socket);
  });
  // Some proxies refuse with an ordinary response instead of one to CONNECT.
  asked.once('response', (answer) => {
    answer.destroy();
    settle(new ProxyError(`the proxy ${through} answers ${answer.statusCode ?? 'nothing'} to a CONNECT`));
  });
  asked.on('error', (error) =>
    settle(new ProxyError(`the proxy ${through} cannot be reached: ${error.message}`, { cause: error })),
  );
  asked.end();
}
