/**
 * A cloud load balancer for Services of type LoadBalancer, as a function: assigned addresses, and the rules that the edge
 * needs. Kubernetes: "Type LoadBalancer", "Traffic policies" in the Service concepts.
 */

export interface ServicePort {
  name?: string;
  protocol?: string;
  port: number;
  nodePort?: number;
}

export interface ServiceObject {
  metadata: { namespace: string; name: string; uid: string; creationTimestamp?: string };
  spec: {
    type?: string;
    ports?: ServicePort[];
    externalTrafficPolicy?: string;
    loadBalancerClass?: string;
    loadBalancerIP?: string;
    loadBalancerSourceRanges?: string[];
  };
  status?: { loadBalancer?: { ingress?: { ip?: string }[] } };
}

export interface EndpointSliceObject {
  metadata: { namespace: string; name: string; labels?: Record<string, string> };
  endpoints?: {
    nodeName?: string;
    conditions?: { ready?: boolean; serving?: boolean; terminating?: boolean };
  }[];
}

export interface NodeObject {
  metadata: { name: string; labels?: Record<string, string> };
  status?: { conditions?: { type: string; status: string }[] };
}

export interface LoadBalancerInput {
  services: readonly ServiceObject[];
  endpointSlices: readonly EndpointSliceObject[];
  nodes: readonly NodeObject[];
  /** Addresses of machines by node name: virtual nodes have no machine, and no node port. */
  machines: ReadonlyMap<string, string>;
  pool: readonly string[];
}

export interface Listener {
  address: string;
  protocol: 'tcp' | 'udp';
  port: number;
  /** Addresses of nodes; without backends connections get no answer. */
  backends: { address: string; port: number }[];
  sourceRanges: string[];
}

export interface StatusChange {
  namespace: string;
  name: string;
  /** Undefined: the address is released. */
  address: string | undefined;
}

export interface LoadBalancerPlan {
  listeners: Listener[];
  addresses: string[];
  statusChanges: StatusChange[];
  /** For the log: waiting Services, and why they wait. */
  waiting: string[];
}

/** Load balancers send no traffic to nodes with this label. */
const excludeLabel = 'node.kubernetes.io/exclude-from-external-load-balancers';

export function planLoadBalancers(input: LoadBalancerInput): LoadBalancerPlan {
  const plan: LoadBalancerPlan = { listeners: [], addresses: [], statusChanges: [], waiting: [] };
  const wanted = input.services
    .filter(({ spec }) => spec.type === 'LoadBalancer' && spec.loadBalancerClass === undefined)
    .sort(byAge);
  const given = assign(wanted, input.pool);
  for (const service of wanted) {
    const { namespace, name, uid } = service.metadata;
    const address = given.get(uid);
    if (address === undefined) {
      plan.waiting.push(`${namespace}/${name}: no address of the pool is free`);
      continue;
    }
    plan.addresses.push(address);
    const nodes = backendNodes(service, input);
    for (const port of service.spec.ports ?? []) {
      const protocol = (port.protocol ?? 'TCP').toLowerCase();
      if (protocol !== 'tcp' && protocol !== 'udp') {
        plan.waiting.push(`${namespace}/${name}: ${port.protocol} is not forwarded, only TCP and UDP`);
        continue;
      }
      if (port.nodePort === undefined || port.nodePort === 0) {
        plan.waiting.push(`${namespace}/${name}: port ${port.port} has no node port to forward to`);
        continue;
      }
      const nodePort = port.nodePort;
      plan.listeners.push({
        address,
        protocol,
        port: port.port,
        backends: nodes.map((node) => ({ address: node, port: nodePort })),
        sourceRanges: service.spec.loadBalancerSourceRanges ?? [],
      });
    }
    const shown = service.status?.loadBalancer?.ingress ?? [];
    if (shown.length !== 1 || shown[0]?.ip !== address) plan.statusChanges.push({ namespace, name, address });
  }
  for (const service of input.services) {
    if (service.spec.type === 'LoadBalancer') continue;
    const shown = service.status?.loadBalancer?.ingress ?? [];
    if (shown.some(({ ip }) => ip !== undefined && input.pool.includes(ip))) {
      const { namespace, name } = service.metadata;
      plan.statusChanges.push({ namespace, name, address: undefined });
    }
  }
  return plan;
}

/** Oldest first: of two Services that claim one address, the older keeps it. */
function byAge(one: ServiceObject, other: ServiceObject): number {
  const left = `${one.metadata.creationTimestamp ?? ''} ${one.metadata.uid}`;
  const right = `${other.metadata.creationTimestamp ?? ''} ${other.metadata.uid}`;
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

/** Keeps assigned addresses; requested ones are assigned if free; the others get the lowest free one. */
function assign(services: readonly ServiceObject[], pool: readonly string[]): Map<string, string> {
  const given = new Map<string, string>();
  const taken = new Set<string>();
  const take = (service: ServiceObject, address: string | undefined) => {
    if (address === undefined || given.has(service.metadata.uid)) return;
    if (!pool.includes(address) || taken.has(address)) return;
    given.set(service.metadata.uid, address);
    taken.add(address);
  };
  for (const service of services) take(service, service.status?.loadBalancer?.ingress?.[0]?.ip);
  for (const service of services) take(service, service.spec.loadBalancerIP);
  for (const service of services)
    take(
      service,
      pool.find((address) => !taken.has(address)),
    );
  return given;
}

function backendNodes(service: ServiceObject, input: LoadBalancerInput): string[] {
  const local =
    service.spec.externalTrafficPolicy === 'Local' ? nodesWithEndpoint(service, input) : undefined;
  return input.nodes
    .filter(({ metadata, status }) => {
      if (metadata.labels?.[excludeLabel] !== undefined) return false;
      if (local !== undefined && !local.has(metadata.name)) return false;
      return status?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True') ?? false;
    })
    .map(({ metadata }) => input.machines.get(metadata.name))
    .filter((address) => address !== undefined)
    .sort();
}

/** Nodes with a ready endpoint; if there are none, those whose endpoint still serves while it terminates. */
function nodesWithEndpoint(service: ServiceObject, input: LoadBalancerInput): Set<string> {
  const endpoints = input.endpointSlices
    .filter(
      ({ metadata }) =>
        metadata.namespace === service.metadata.namespace &&
        metadata.labels?.['kubernetes.io/service-name'] === service.metadata.name,
    )
    .flatMap((slice) => slice.endpoints ?? []);
  const ready = endpoints.filter(({ conditions }) => conditions?.ready !== false);
  const chosen =
    ready.length > 0
      ? ready
      : endpoints.filter(({ conditions }) => conditions?.serving && conditions.terminating);
  return new Set(chosen.map(({ nodeName }) => nodeName).filter((name) => name !== undefined));
}

const tableName = 'load-balancer';

/** The edge's rules, applied as one transaction that replaces the former ones. */
export function loadBalancerRules(listeners: readonly Listener[]): string {
  const rules = listeners.filter(({ backends }) => backends.length > 0).map(ruleOf);
  return [
    `table ip ${tableName}`,
    `delete table ip ${tableName}`,
    `table ip ${tableName} {`,
    '  chain prerouting {',
    '    type nat hook prerouting priority dstnat; policy accept;',
    ...rules.map((rule) => `    ${rule}`),
    '  }',
    '}',
    '',
  ].join('\n');
}

function ruleOf(listener: Listener): string {
  const { address, protocol, port, backends, sourceRanges } = listener;
  const from = sourceRanges.length === 0 ? '' : `ip saddr { ${sourceRanges.join(', ')} } `;
  const match = `${from}ip daddr ${address} ${protocol} dport ${port}`;
  const [only] = backends;
  if (backends.length === 1 && only !== undefined) return `${match} dnat to ${only.address}:${only.port}`;
  const choices = backends.map((backend, index) => `${index} : ${backend.address} . ${backend.port}`);
  // By hash, so that a flow forgotten by connection tracking gets the same node again.
  return `${match} dnat ip to jhash ip saddr . ${protocol} sport mod ${backends.length} map { ${choices.join(', ')} }`;
}

/**
 * Obsolete UDP flows of connection tracking: those to a node that is no longer a backend, and those older than the first
 * backend. They would persist as long as the sender continues.
 */
export function staleFlows(
  before: readonly Listener[],
  after: readonly Listener[],
): { address: string; port: number; replySource: string }[] {
  const key = (listener: Listener) => `${listener.protocol} ${listener.address} ${listener.port}`;
  const old = new Map(before.map((listener) => [key(listener), listener]));
  const stale: { address: string; port: number; replySource: string }[] = [];
  const named = (listener: Listener) => new Set(listener.backends.map((backend) => backend.address));
  for (const listener of after) {
    if (listener.protocol !== 'udp') continue;
    const previous = old.get(key(listener));
    const { address, port } = listener;
    if (previous === undefined || previous.backends.length === 0)
      stale.push({ address, port, replySource: address });
  }
  const now = new Map(after.map((listener) => [key(listener), listener]));
  for (const listener of before) {
    if (listener.protocol !== 'udp') continue;
    const current = now.get(key(listener));
    const kept = current === undefined ? new Set<string>() : named(current);
    for (const backend of named(listener)) {
      if (!kept.has(backend))
        stale.push({ address: listener.address, port: listener.port, replySource: backend });
    }
  }
  return stale;
}
