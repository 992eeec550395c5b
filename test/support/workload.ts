/** Workloads of the stories: Kubernetes' own test image, with requests from pods and nodes. */
import { agnhostImage, type BedCluster, type BedNode } from '../testbed/index.ts';
import { waitFor } from '../testbed/run.ts';

export interface PodFacts {
  name: string;
  namespace: string;
  node: string;
  ip: string;
  uid: string;
  ready: boolean;
  phase: string;
  restarts: number;
  /** Conditions that are not true, with their messages. */
  why: string[];
}

/** A Deployment of netexec, which returns the client's address (`/clientip`), sends requests to others (`/dial`), and more. */
export function netexec(
  name: string,
  options: {
    replicas?: number;
    nodeSelector?: Record<string, string>;
    hostNetwork?: boolean;
    port?: number;
    /** Labels of its pods, besides `app`. */
    labels?: Record<string, string>;
  } = {},
): object {
  const port = options.port ?? 8080;
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name },
    spec: {
      replicas: options.replicas ?? 1,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { ...options.labels, app: name } },
        spec: {
          terminationGracePeriodSeconds: 1,
          ...(options.nodeSelector && { nodeSelector: options.nodeSelector }),
          ...(options.hostNetwork && { hostNetwork: true, tolerations: [{ operator: 'Exists' }] }),
          containers: [
            {
              name: 'netexec',
              image: agnhostImage,
              imagePullPolicy: 'IfNotPresent',
              args: ['netexec', `--http-port=${port}`, `--udp-port=${port}`],
              ports: [{ containerPort: port }, { containerPort: port, protocol: 'UDP' }],
              readinessProbe: { httpGet: { path: '/healthz', port }, periodSeconds: 1 },
              resources: {
                requests: { cpu: '10m', memory: '16Mi' },
                limits: { cpu: '500m', memory: '128Mi' },
              },
            },
          ],
        },
      },
    },
  };
}

export function service(
  name: string,
  options: { type?: string; app?: string; selector?: Record<string, string> } = {},
): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec: {
      type: options.type ?? 'ClusterIP',
      selector: options.selector ?? { app: options.app ?? name },
      ports: [
        { name: 'http', port: 80, targetPort: 8080, protocol: 'TCP' },
        { name: 'udp', port: 80, targetPort: 8080, protocol: 'UDP' },
      ],
    },
  };
}

export async function apply(cluster: BedCluster, namespace: string, ...objects: object[]): Promise<void> {
  const list = { apiVersion: 'v1', kind: 'List', items: objects };
  await cluster.kubectl(['apply', '-n', namespace, '-f', '-'], { input: JSON.stringify(list) });
}

interface PodList {
  items: {
    metadata: { name: string; namespace: string; uid: string; deletionTimestamp?: string };
    spec: { nodeName?: string };
    status: {
      phase?: string;
      podIP?: string;
      conditions?: { type: string; status: string; message?: string }[];
      containerStatuses?: { restartCount: number }[];
    };
  }[];
}

/** Pods without a deletion timestamp. */
export async function pods(cluster: BedCluster, namespace: string, selector = ''): Promise<PodFacts[]> {
  const text = await cluster.kubectl(['get', 'pods', '-n', namespace, '-l', selector, '-o', 'json']);
  return (JSON.parse(text) as PodList).items
    .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    .map(({ metadata, spec, status }) => ({
      name: metadata.name,
      namespace: metadata.namespace,
      uid: metadata.uid,
      node: spec.nodeName ?? '',
      ip: status.podIP ?? '',
      phase: status.phase ?? '',
      ready:
        status.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') ?? false,
      why: (status.conditions ?? []).flatMap(({ status: value, message }) =>
        value === 'True' || message === undefined ? [] : [message],
      ),
      restarts: (status.containerStatuses ?? []).reduce((total, { restartCount }) => total + restartCount, 0),
    }));
}

/** A pod's state, for the message of a failed wait. */
function podText({ name, node, phase, ready, ip, why }: PodFacts): string {
  return [`${name} on ${node || 'no node'}`, phase, ready ? 'ready' : 'not ready', ip, ...why].join(', ');
}

/** The pods of an app, once that many are ready. The error of a timeout names what is missing. */
export async function readyPods(
  cluster: BedCluster,
  namespace: string,
  app: string,
  count: number,
  seconds = 60,
): Promise<PodFacts[]> {
  return eventually(`${count} ready pods of ${app} in ${namespace} of ${cluster.name}`, seconds, async () => {
    const all = await pods(cluster, namespace, `app=${app}`);
    const found = all.filter(({ ready, ip }) => ready && ip !== '');
    if (found.length === count) return found;
    throw new Error(`there are ${all.map(podText).join('; ') || 'none'}`);
  });
}

/** Waits until `check` returns a value; the deadline's message names what was awaited, and the last error. */
export function eventually<T>(
  what: string,
  seconds: number,
  check: () => Promise<T | undefined | false>,
): Promise<T> {
  return waitFor(what, check, { timeoutMilliseconds: seconds * 1000 });
}

export interface Dial {
  from: { node: BedNode; ip: string; port?: number };
  host: string;
  port: number;
  protocol: 'http' | 'udp';
  /** Default `clientip`: the address that the server saw. */
  request?: string;
}

/** Lets a netexec pod send a request to another address; returns the answer. Throws if there was none. */
export async function dial({ from, host, port, protocol, request = 'clientip' }: Dial): Promise<string> {
  const query = new URLSearchParams({ host, port: String(port), protocol, request, tries: '1' });
  const output = await from.node.exec(
    ['curl', '-sS', '-g', '-m', '10', `http://${from.ip}:${from.port ?? 8080}/dial?${query}`],
    { timeoutMilliseconds: 15_000 },
  );
  const { responses = [], errors = [] } = JSON.parse(output) as { responses?: string[]; errors?: string[] };
  const [answer] = responses;
  if (answer === undefined)
    throw new Error(`${from.ip} → ${protocol}://${host}:${port}: ${errors.join('; ')}`);
  return answer;
}

/** `10.1.2.3:4567` → `10.1.2.3` */
export function addressOf(hostPort: string): string {
  return hostPort.slice(0, hostPort.lastIndexOf(':')).replace(/^\[(.*)\]$/, '$1');
}
