/** The facts about a cluster that an installation depends on. */
import type { KubernetesObject } from '../../shared/api/meta.ts';
import { core, type Kube } from '../kube.ts';
import { CommandError } from '../exit.ts';
import type { InstallFacts, NodeFacts } from './plan.ts';

const versionMilliseconds = 15_000;

interface NodeObject extends KubernetesObject {
  spec?: { providerID?: string; unschedulable?: boolean };
  status?: {
    addresses?: { type: string; address: string }[];
    conditions?: { type: string; status: string }[];
    nodeInfo?: { kubeletVersion?: string };
  };
}

interface ServiceObject extends KubernetesObject {
  spec?: { type?: string };
  status?: { loadBalancer?: { ingress?: unknown[] } };
}

type ConfigMapObject = KubernetesObject & { data?: Record<string, string> };

export async function readFacts(kube: Kube, server: string): Promise<InstallFacts> {
  const answer = await kube.probe('/version', versionMilliseconds);
  if (answer.status !== 200)
    throw new CommandError(`the API server at ${server} does not answer: ${answer.text.slice(0, 300)}`);
  const { gitVersion = 'of an unknown version' } = JSON.parse(answer.text) as { gitVersion?: string };
  const [nodes, daemonSets, namespaces, services, info, kubeadm] = await Promise.all([
    kube.list<NodeObject>(core('nodes')),
    kube.list({ apiVersion: 'apps/v1', plural: 'daemonsets' }),
    kube.list(core('namespaces')),
    kube.list<ServiceObject>(core('services')),
    kube.get<ConfigMapObject>(core('configmaps', 'kube-public'), 'cluster-info'),
    kube.get(core('configmaps', 'kube-system'), 'kubeadm-config'),
  ]);
  const infoServer = /^\s*server:\s*"?([^"\s]+)"?\s*$/m.exec(info?.data?.['kubeconfig'] ?? '')?.[1];
  return {
    version: gitVersion,
    nodes: nodes.map(factsOf),
    daemonSets: daemonSets.map(({ metadata }) => metadata.name),
    namespaces: namespaces.map(({ metadata }) => metadata.name),
    loadBalancerSeen: services.some(
      ({ spec, status }) => spec?.type === 'LoadBalancer' && (status?.loadBalancer?.ingress ?? []).length > 0,
    ),
    server,
    ...(infoServer !== undefined && { infoServer }),
    kubeadm: kubeadm !== undefined,
  };
}

function factsOf({ metadata, spec, status }: NodeObject): NodeFacts {
  const address = (type: string) => status?.addresses?.find((each) => each.type === type)?.address;
  const [externalIP, internalIP] = [address('ExternalIP'), address('InternalIP')];
  return {
    name: metadata.name,
    providerID: spec?.providerID ?? '',
    kubeletVersion: status?.nodeInfo?.kubeletVersion ?? '',
    labels: metadata.labels ?? {},
    ready:
      status?.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') ?? false,
    unschedulable: spec?.unschedulable ?? false,
    ...(externalIP !== undefined && { externalIP }),
    ...(internalIP !== undefined && { internalIP }),
  };
}
