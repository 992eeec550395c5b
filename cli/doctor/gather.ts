/** Reads the facts. Changes nothing in the cluster but an annotation that requests the providers' reports. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Condition, KubernetesObject } from '../../shared/api/meta.ts';
import type { OutgoingPeering, PeeringToken } from '../../shared/api/peerings.ts';
import { annotations, labels } from '../../shared/names.ts';
import type { Invocation } from '../command.ts';
import { core, hawser, answerOf, type Kube } from '../kube.ts';
import { listAllowed, readObjects } from '../read-objects.ts';
import { ownVersion } from '../version.ts';
import type { Facts, KubeletFacts, NodeFacts, RightFacts, WorkloadFacts } from './facts.ts';
import { essentialRights, rightReview, rightText } from './rights.ts';

/** The controller sends the request at once, and the provider has ten seconds to answer. */
const answerMilliseconds = 15_000;
const pollMilliseconds = 250;
const kubeletMilliseconds = 8_000;
const messageLength = 300;

/** @param request whether to request new reports from the providers */
export async function gatherFacts(
  invocation: Invocation,
  kube: Kube,
  only: string | undefined,
  request: boolean,
): Promise<Facts> {
  const first = await readObjects(kube);
  const selected = first.outgoing.filter(
    ({ metadata, spec }) => only === undefined || metadata.name === only || spec.remoteCluster === only,
  );
  const [reports, tokens, nodes, workloads, rights, kubelets, version] = await Promise.all([
    request ? requestReports(invocation, kube, selected) : { received: [], unanswered: [] },
    readTokens(kube),
    readNodes(kube),
    readWorkloads(kube),
    readRights(kube),
    probeKubelets(kube, selected),
    ownVersion(),
  ]);
  // Read again: the objects now contain the reports.
  const objects = reports.received.length > 0 ? await readObjects(kube) : first;
  return {
    now: invocation.now(),
    version,
    namespace: kube.namespace,
    only,
    objects,
    tokens,
    nodes,
    workloads,
    rights,
    kubelets,
    unanswered: reports.unanswered,
  };
}

/**
 * Makes the controller request each provider's report: only the controller has the key to which providers answer. A user
 * without the right to annotate peerings gets the last reports.
 */
async function requestReports(
  invocation: Invocation,
  kube: Kube,
  peerings: readonly OutgoingPeering[],
): Promise<{ received: string[]; unanswered: string[] }> {
  const resource = hawser('outgoingpeerings');
  const request = `doctor-${invocation.now()}`;
  const waiting = new Set<string>();
  for (const { metadata, status } of peerings) {
    // Without an identity the provider does not answer.
    if (status?.identity === undefined || metadata.deletionTimestamp !== undefined) continue;
    try {
      await kube.patch(resource, metadata.name, {
        metadata: { annotations: { [annotations.askProvider]: request } },
      });
      waiting.add(metadata.name);
    } catch (error) {
      if (answerOf(error) === undefined) throw error;
    }
  }
  const received: string[] = [];
  const end = invocation.now() + answerMilliseconds;
  while (waiting.size > 0 && invocation.now() < end) {
    invocation.terminal.progress(`waiting for the report of ${[...waiting].join(', ')}`);
    for (const { metadata, status } of await kube.list<OutgoingPeering>(resource)) {
      if (status?.providerReport?.request !== request || !waiting.delete(metadata.name)) continue;
      received.push(metadata.name);
    }
    if (waiting.size > 0) await sleep(pollMilliseconds, undefined, { signal: invocation.signal });
  }
  return { received, unanswered: [...waiting] };
}

async function readTokens(kube: Kube): Promise<PeeringToken[] | undefined> {
  const unreadable: string[] = [];
  const tokens = await listAllowed<PeeringToken>(kube, hawser('peeringtokens', kube.namespace), unreadable);
  return unreadable.length > 0 ? undefined : tokens;
}

interface KubernetesNode extends KubernetesObject {
  status?: { conditions?: Condition[] };
}

async function readNodes(kube: Kube): Promise<NodeFacts[] | undefined> {
  const unreadable: string[] = [];
  const nodes = await listAllowed<KubernetesNode>(kube, core('nodes'), unreadable);
  if (unreadable.length > 0) return undefined;
  return nodes.map(({ metadata, status }) => {
    const ready = status?.conditions?.find(({ type }) => type === 'Ready');
    return {
      name: metadata.name,
      gateway: metadata.labels?.[labels.gatewayNode] === 'true',
      virtual: metadata.labels?.[labels.virtualNode] === 'true',
      ready: ready?.status ?? 'Unknown',
      readyMessage: ready?.message ?? 'no status reported',
    };
  });
}

interface Workload extends KubernetesObject {
  spec: { replicas?: number };
  status?: { readyReplicas?: number; desiredNumberScheduled?: number; numberReady?: number };
}

async function readWorkloads(kube: Kube): Promise<WorkloadFacts[] | undefined> {
  const apps = (plural: string) => ({ apiVersion: 'apps/v1', plural, namespace: kube.namespace });
  const unreadable: string[] = [];
  const [deployments, daemonSets] = await Promise.all([
    listAllowed<Workload>(kube, apps('deployments'), unreadable),
    listAllowed<Workload>(kube, apps('daemonsets'), unreadable),
  ]);
  if (unreadable.length > 0) return undefined;
  const ours = ({ metadata }: Workload) => metadata.name.startsWith('hawser-');
  return [
    ...deployments.filter(ours).map(({ metadata, spec, status }) => ({
      kind: 'Deployment',
      name: metadata.name,
      desired: spec.replicas ?? 1,
      ready: status?.readyReplicas ?? 0,
    })),
    ...daemonSets.filter(ours).map(({ metadata, status }) => ({
      kind: 'DaemonSet',
      name: metadata.name,
      desired: status?.desiredNumberScheduled ?? 0,
      ready: status?.numberReady ?? 0,
    })),
  ];
}

async function readRights(kube: Kube): Promise<RightFacts[] | undefined> {
  const reviews = { apiVersion: 'authorization.k8s.io/v1', plural: 'subjectaccessreviews' };
  try {
    return await Promise.all(
      essentialRights.map(async (right) => {
        const answer = await kube.create<KubernetesObject<unknown, { allowed: boolean }>>(
          reviews,
          rightReview(right, kube.namespace) as KubernetesObject<unknown, { allowed: boolean }>,
        );
        return { account: right.account, right: rightText(right), allowed: answer.status?.allowed === true };
      }),
    );
  } catch (error) {
    if (answerOf(error)?.status === 403) return undefined;
    throw error;
  }
}

async function probeKubelets(
  kube: Kube,
  peerings: readonly OutgoingPeering[],
): Promise<Record<string, KubeletFacts>> {
  const names = [...new Set(peerings.map(({ spec }) => spec.nodeName))];
  return Object.fromEntries(
    await Promise.all(
      names.map(async (name): Promise<[string, KubeletFacts]> => {
        const path = `/api/v1/nodes/${encodeURIComponent(name)}/proxy/healthz`;
        const { status, text } = await kube.probe(path, kubeletMilliseconds);
        return [name, { status, message: messageOf(text) }];
      }),
    ),
  );
}

/** The message of a Status object; any other text as it is. */
function messageOf(text: string): string {
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    if (typeof message === 'string') return message.slice(0, messageLength);
  } catch {
    // not JSON
  }
  return text.slice(0, messageLength);
}
