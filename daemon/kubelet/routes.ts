/**
 * The part of the kubelet's HTTPS API that virtual nodes serve (k8s.io/kubernetes, pkg/kubelet/server). Pure: parses a
 * request into a route. Everything is validated, bounded and re-encoded before it is passed to a provider.
 */

/** Routes of one pod. */
export interface PodRoute {
  kind: 'Logs' | 'Exec' | 'Attach' | 'PortForward';
  namespace: string;
  pod: string;
  /** If the caller names a UID, only the pod with this UID matches. */
  uid: string | undefined;
  container: string | undefined;
  /** Encoded query for the provider's API server. */
  query: string;
}

/** Routes of the nodes themselves. */
export interface NodeRoute {
  kind: 'Pods' | 'RunningPods' | 'Summary' | 'ResourceMetrics' | 'Health';
}

export type Route = PodRoute | NodeRoute;

/** A request that cannot be served, with its HTTP status. */
export class RouteError extends Error {
  override readonly name = 'RouteError';
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Names of objects and of containers (RFC 1123). */
const objectName = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
const label = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const uid = /^[-A-Za-z0-9]{1,64}$/;
/** Limit of a command's arguments; Linux limits an argument list to 2 MiB. */
const mostArguments = 1024;
const longestArgument = 32_768;
const mostPorts = 64;

const nodeRoutes: Readonly<Record<string, NodeRoute['kind']>> = {
  '/pods': 'Pods',
  '/pods/': 'Pods',
  '/runningpods': 'RunningPods',
  '/runningpods/': 'RunningPods',
  '/stats/summary': 'Summary',
  '/metrics/resource': 'ResourceMetrics',
  '/healthz': 'Health',
};

/** @throws RouteError 400, 404 or 405 */
export function parseRoute(method: string, target: string): Route {
  const url = readURL(target);
  const node = nodeRoutes[url.pathname];
  if (node !== undefined) {
    if (method !== 'GET') throw new RouteError(405, `${method} is not allowed here; use GET`);
    return { kind: node };
  }
  const [, verb = '', ...segments] = url.pathname.split('/').map(decode);
  switch (verb) {
    case 'containerLogs':
      if (method !== 'GET') throw new RouteError(405, `${method} is not allowed here; use GET`);
      return podRoute('Logs', segments, logsQuery(url.searchParams));
    case 'exec':
    case 'attach':
    case 'portForward':
      if (method !== 'GET' && method !== 'POST') {
        throw new RouteError(405, `${method} is not allowed here; use GET or POST`);
      }
      if (verb === 'portForward') return podRoute('PortForward', segments, portsQuery(url.searchParams));
      return podRoute(
        verb === 'exec' ? 'Exec' : 'Attach',
        segments,
        streamsQuery(url.searchParams, verb === 'exec'),
      );
    default:
      throw new RouteError(404, 'virtual nodes do not serve this path');
  }
}

function readURL(target: string): URL {
  try {
    return new URL(target, 'https://node.invalid');
  } catch {
    throw new RouteError(400, 'the path is malformed');
  }
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new RouteError(400, 'the path is malformed');
  }
}

/** `namespace/pod[/uid]/container`, or `namespace/pod[/uid]` for port-forward. */
function podRoute(kind: PodRoute['kind'], segments: readonly string[], query: URLSearchParams): PodRoute {
  const wantsContainer = kind !== 'PortForward';
  const [namespace = '', pod = '', ...rest] = segments;
  const container = wantsContainer ? rest.pop() : undefined;
  const podUID = rest.pop();
  if (rest.length > 0) throw new RouteError(404, 'virtual nodes do not serve this path');
  if (!label.test(namespace)) throw new RouteError(400, 'the namespace is not a valid name');
  if (!objectName.test(pod)) throw new RouteError(400, 'the pod is not a valid name');
  if (podUID !== undefined && !uid.test(podUID)) throw new RouteError(400, 'the pod UID is not valid');
  if (wantsContainer) {
    if (container === undefined || !label.test(container)) {
      throw new RouteError(400, 'the container is not a valid name');
    }
    query.set('container', container);
  }
  return { kind, namespace, pod, uid: podUID, container, query: query.toString() };
}

function flag(from: URLSearchParams, name: string): boolean {
  const value = from.get(name);
  if (value === null || value === '' || value === '0' || value === 'false') return false;
  if (value === '1' || value === 'true') return true;
  throw new RouteError(400, `${name} must be 1 or 0`);
}

function integer(from: URLSearchParams, name: string): string | undefined {
  const value = from.get(name);
  if (value === null || value === '') return undefined;
  if (!/^[0-9]{1,15}$/.test(value)) throw new RouteError(400, `${name} must be a non-negative integer`);
  return value;
}

function logsQuery(from: URLSearchParams): URLSearchParams {
  const query = new URLSearchParams();
  for (const name of ['follow', 'previous', 'timestamps']) if (flag(from, name)) query.set(name, 'true');
  for (const name of ['tailLines', 'sinceSeconds', 'limitBytes']) {
    const value = integer(from, name);
    if (value !== undefined) query.set(name, value);
  }
  const since = from.get('sinceTime');
  if (since !== null && since !== '') {
    const valid = since.length <= 40 && /^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)$/.test(since);
    if (!valid) throw new RouteError(400, 'sinceTime must be an RFC 3339 time');
    query.set('sinceTime', since);
  }
  const stream = from.get('stream');
  if (stream !== null && stream !== '') {
    if (!['All', 'Stdout', 'Stderr'].includes(stream)) {
      throw new RouteError(400, 'stream must be All, Stdout or Stderr');
    }
    query.set('stream', stream);
  }
  return query;
}

/** The kubelet's parameters are `input`, `output`, `error`; the API server's are `stdin`, `stdout`, `stderr`. */
function streamsQuery(from: URLSearchParams, withCommand: boolean): URLSearchParams {
  const query = new URLSearchParams();
  const names = { input: 'stdin', output: 'stdout', error: 'stderr', tty: 'tty' };
  const wanted = Object.entries(names).filter(([name]) => flag(from, name));
  for (const [, name] of wanted) query.set(name, 'true');
  // The API server's defaults are stdout and stderr: unused streams must be disabled explicitly.
  for (const name of ['stdout', 'stderr']) if (!query.has(name)) query.set(name, 'false');
  if (!wanted.some(([name]) => name !== 'tty')) {
    throw new RouteError(400, 'at least one of input, output and error is required');
  }
  if (!withCommand) return query;
  const command = from.getAll('command');
  if (command.length === 0) throw new RouteError(400, 'command is missing');
  if (command.length > mostArguments || command.some((argument) => argument.length > longestArgument)) {
    throw new RouteError(
      400,
      `a command can have at most ${mostArguments} arguments of at most ${longestArgument} characters`,
    );
  }
  for (const argument of command) query.append('command', argument);
  return query;
}

/** SPDY carries the ports inside the stream, WebSocket in the query. */
function portsQuery(from: URLSearchParams): URLSearchParams {
  const query = new URLSearchParams();
  const wanted = [...from.getAll('port'), ...from.getAll('ports')].flatMap((each) => each.split(','));
  if (wanted.length > mostPorts) throw new RouteError(400, `at most ${mostPorts} ports are allowed`);
  for (const port of wanted) {
    const number = /^[0-9]{1,5}$/.test(port) ? Number(port) : 0;
    if (number < 1 || number > 65_535) throw new RouteError(400, 'a port must be a number from 1 to 65535');
    query.append('ports', String(number));
  }
  return query;
}

/** Path at the provider's API server. Names are already validated; the twin namespace comes from the provider and is encoded. */
export function providerPath(route: PodRoute, twin: string, podName: string): string {
  const subresource = { Logs: 'log', Exec: 'exec', Attach: 'attach', PortForward: 'portforward' }[route.kind];
  const path = `/api/v1/namespaces/${encodeURIComponent(twin)}/pods/${encodeURIComponent(podName)}/${subresource}`;
  return route.query === '' ? path : `${path}?${route.query}`;
}
