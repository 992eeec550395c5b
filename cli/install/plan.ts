/** Plans an installation from the facts about a cluster: the chart's values, and the labels that Hawser needs. Pure. */
import { labels } from '../../shared/names.ts';

export const providers = ['kind', 'k3s', 'gke', 'eks', 'aks', 'kubeadm', 'other'] as const;
export type Provider = (typeof providers)[number];

export interface NodeFacts {
  name: string;
  providerID: string;
  kubeletVersion: string;
  labels: Readonly<Record<string, string>>;
  ready: boolean;
  unschedulable: boolean;
  externalIP?: string;
  internalIP?: string;
}

export interface InstallFacts {
  /** Version of the API server, such as `v1.34.4+k3s1`. */
  version: string;
  nodes: readonly NodeFacts[];
  /** Names of DaemonSets. */
  daemonSets: readonly string[];
  /** Names of namespaces. */
  namespaces: readonly string[];
  /** Whether a Service of type LoadBalancer has an address. */
  loadBalancerSeen: boolean;
  /** The address by which this command reaches the API server. */
  server: string;
  /** The API server's URL in kube-public/cluster-info. */
  infoServer?: string;
  kubeadm: boolean;
}

export interface InstallFinding {
  what: string;
  found: string;
  /** The consequence for the plan; absent: none. */
  follows?: string;
  /** An administrator has to act. */
  attention?: true;
}

export interface InstallPlan {
  provider: Provider;
  findings: InstallFinding[];
  /** Values of the chart. */
  values: Record<string, unknown>;
  /** Nodes that get the label of gateway nodes. */
  gatewayNodes: string[];
}

/** NodePort of the API gateway where there is no load balancer; in the default range of Kubernetes (30000–32767). */
export const gatewayNodePort = 30_743;
const tunnelPort = 7470;
/** Number of chosen gateway nodes: a second one takes over from the first. */
const mostGatewayNodes = 2;

const cnis: readonly [daemonSet: RegExp, name: string, policies: boolean][] = [
  [/^cilium$/, 'Cilium', true],
  [/^calico-node$/, 'Calico', true],
  [/^kube-router$/, 'kube-router', true],
  [/^antrea-agent$/, 'Antrea', true],
  [/^ovnkube-node/, 'OVN-Kubernetes', true],
  [/^weave-net$/, 'Weave Net', true],
  [/^azure-(cns|npm)/, 'Azure CNI', true],
  [/^anetd$/, 'GKE Dataplane V2', true],
  [/^aws-node$/, 'Amazon VPC CNI', false],
  [/^kube-flannel/, 'flannel', false],
  [/^kindnet$/, 'kindnet', true],
];

export interface InstallChoices {
  provider?: Provider;
  name?: string;
}

export function planInstall(facts: InstallFacts, choices: InstallChoices = {}): InstallPlan {
  const provider = choices.provider ?? providerOf(facts);
  const findings: InstallFinding[] = [
    {
      what: 'cluster',
      found: `${provider === 'other' ? 'Kubernetes' : provider} ${facts.version}, ${facts.nodes.length} nodes`,
    },
  ];
  const cluster: Record<string, unknown> = choices.name === undefined ? {} : { name: choices.name };
  const values: Record<string, unknown> = {};

  findings.push(networkFinding(facts, provider));
  const { gateways, finding } = chooseGateways(facts);
  findings.push(finding);

  if (hasLoadBalancer(facts, provider))
    findings.push({ what: 'load balancer', found: 'Services of type LoadBalancer get an address here' });
  else {
    const addresses = gateways.flatMap((node) => node.externalIP ?? node.internalIP ?? []);
    const [first] = addresses;
    findings.push({
      what: 'load balancer',
      found: 'none was found',
      follows:
        first === undefined
          ? 'no address of a node is known either: set cluster.gatewayURL and cluster.tunnelAddresses'
          : `remotes reach the API gateway at port ${gatewayNodePort} of the nodes, and tunnels at port ${tunnelPort} of the gateway nodes: open both there`,
      ...(first === undefined && { attention: true as const }),
    });
    values['gateway'] = {
      service: { type: 'NodePort', nodePort: gatewayNodePort, externalTrafficPolicy: 'Cluster' },
    };
    if (first !== undefined) cluster['gatewayURL'] = `https://${bracketed(first)}:${gatewayNodePort}`;
    if (addresses.length > 0)
      cluster['tunnelAddresses'] = addresses.map((address) => `${bracketed(address)}:${tunnelPort}`);
  }
  if (provider === 'eks' && cluster['tunnelAddresses'] === undefined) {
    const external = gateways.flatMap(({ externalIP }) => externalIP ?? []);
    if (external.length > 0)
      cluster['tunnelAddresses'] = external.map((address) => `${bracketed(address)}:${tunnelPort}`);
    findings.push({
      what: 'UDP on EKS',
      found: 'only a Network Load Balancer carries UDP',
      ...(external.length > 0
        ? {
            follows: `tunnels end at the external addresses of the gateway nodes: allow UDP ${tunnelPort} in their security group`,
          }
        : {
            follows:
              'the gateway nodes have no external address: install the AWS Load Balancer Controller, and annotate Service hawser-tunnel-0 as docs/install/eks.md shows',
            attention: true as const,
          }),
    });
  }

  const { url, source } = apiServerOf(facts);
  if (url === undefined)
    findings.push({
      what: 'API server',
      found: `this command reaches it at ${facts.server}, which others cannot`,
      follows:
        'before this cluster becomes a provider, set cluster.apiServerURL to a URL that consumers reach',
      attention: true,
    });
  else {
    findings.push({ what: 'API server', found: `${url}, by ${source}` });
    if (source !== infoSource) cluster['apiServerURL'] = url;
  }
  if (Object.keys(cluster).length > 0) values['cluster'] = cluster;
  return { provider, findings, values, gatewayNodes: gateways.map(({ name }) => name) };
}

function providerOf({ version, nodes, kubeadm }: InstallFacts): Provider {
  const ids = nodes.map(({ providerID }) => providerID.split(':')[0]);
  const versions = [version, ...nodes.map(({ kubeletVersion }) => kubeletVersion)];
  const says = (pattern: RegExp) => versions.some((each) => pattern.test(each));
  if (ids.includes('kind')) return 'kind';
  if (says(/\+k3s/) || ids.includes('k3s')) return 'k3s';
  if (says(/-gke\./)) return 'gke';
  if (says(/-eks-/)) return 'eks';
  if (ids.includes('azure') && nodes.some((node) => 'kubernetes.azure.com/cluster' in node.labels))
    return 'aks';
  return kubeadm ? 'kubeadm' : 'other';
}

function networkFinding({ daemonSets }: InstallFacts, provider: Provider): InstallFinding {
  const known = cnis.find(([pattern]) => daemonSets.some((name) => pattern.test(name)));
  // k3s runs flannel and kube-router inside of its own process.
  const [, name, policies] =
    known ?? (provider === 'k3s' ? [/k3s/, 'flannel of k3s', true] : [/./, '', false]);
  if (name === '')
    return { what: 'network', found: 'the CNI is not one that is known here; Hawser works under any' };
  return {
    what: 'network',
    found: `${name}, ${policies ? 'which enforces NetworkPolicies' : 'which does not enforce NetworkPolicies by default'}`,
    ...(!policies && { follows: 'pods of consumers are kept apart by Hawser’s own rules on each node' }),
  };
}

function hasLoadBalancer(
  { loadBalancerSeen, namespaces, daemonSets }: InstallFacts,
  provider: Provider,
): boolean {
  if (loadBalancerSeen || ['k3s', 'gke', 'eks', 'aks'].includes(provider)) return true;
  return namespaces.includes('metallb-system') || daemonSets.some((name) => name.startsWith('kube-vip'));
}

/** The nodes that have the label already, otherwise suitable ones, those with an external address first. */
function chooseGateways({ nodes }: InstallFacts): { gateways: NodeFacts[]; finding: InstallFinding } {
  const real = nodes.filter((node) => node.labels[labels.virtualNode] !== 'true');
  const labelled = real.filter((node) => node.labels[labels.gatewayNode] === 'true');
  const names = (some: readonly NodeFacts[]) => some.map(({ name }) => name).join(', ');
  if (labelled.length > 0)
    return {
      gateways: labelled,
      finding: { what: 'gateway nodes', found: `${names(labelled)}, by their label` },
    };
  const fit = real
    .filter(
      (node) => node.ready && !node.unschedulable && (node.labels['kubernetes.io/os'] ?? 'linux') === 'linux',
    )
    .toSorted((one, other) => rank(one) - rank(other) || (one.name < other.name ? -1 : 1));
  const gateways = fit.slice(0, mostGatewayNodes);
  return {
    gateways,
    finding:
      gateways.length > 0
        ? {
            what: 'gateway nodes',
            found: 'no node has the label',
            follows: `${names(gateways)} ${gateways.length === 1 ? 'gets' : 'get'} the label ${labels.gatewayNode}=true`,
          }
        : {
            what: 'gateway nodes',
            found: 'no Linux node is ready',
            follows: `label one when it is: kubectl label node NODE ${labels.gatewayNode}=true`,
            attention: true,
          },
  };
}

const rank = ({ externalIP, labels: given }: NodeFacts): number =>
  (externalIP === undefined ? 1 : 0) + ('node-role.kubernetes.io/control-plane' in given ? 2 : 0);

const infoSource = 'kube-public/cluster-info';

function apiServerOf({ infoServer, server }: InstallFacts): { url?: string; source: string } {
  if (infoServer?.startsWith('https://')) return { url: infoServer, source: infoSource };
  if (!URL.canParse(server)) return { source: '' };
  const { protocol, hostname } = new URL(server);
  const local = hostname === 'localhost' || hostname === '[::1]' || hostname.startsWith('127.');
  return protocol === 'https:' && !local
    ? { url: server.replace(/\/+$/, ''), source: 'your kubeconfig' }
    : { source: '' };
}

const bracketed = (address: string): string => (address.includes(':') ? `[${address}]` : address);
