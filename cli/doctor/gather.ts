/** Reads what the checks judge. Nothing of the cluster is changed but the wish that the controller ask the providers. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Condition, KubernetesObject } from '../../shared/api/meta.ts';
import type { OutgoingPeering, PeeringToken } from '../../shared/api/peerings.ts';
import { annotations, labels } from '../../shared/names.ts';
import type { Invocation } from '../command.ts';
import { core, hawser, KubeError, type Kube } from '../kube.ts';
import { listAllowed, readObjects } from '../read-objects.ts';
import { ownVersion } from '../version.ts';
import type { Facts, KubeletFacts, NodeFacts, RightFacts, WorkloadFacts } from './facts.ts';
import { essentialRights, rightReview, rightText } from './rights.ts';

/** The controller asks within moments, and the provider has ten seconds. */
const answerMilliseconds = 15_000;
const pollMilliseconds = 250;
const kubeletMilliseconds = 8_000;
const messageLength = 300;

/** @param ask whether the providers are to be asked now */
export async function gatherFacts(
  invocation: Invocation,
  kube: Kube,
  only: string | undefined,
  ask: boolean,
): Promise<Facts> {
  const first = await readObjects(kube);
  const meant = first.outgoing.filter(
    ({ metadata, spec }) => only === undefined || metadata.name === only || spec.remoteCluster === only,
  );
  const [answers, tokens, nodes, workloads, rights, kubelets, version] = await Promise.all([
    ask ? askProviders(invocation, kube, meant) : { asked: [], unanswered: [] },
    readTokens(kube),
    readNodes(kube),
    readWorkloads(kube),
    readRights(kube),
    askKubelets(kube, meant),
    ownVersion(),
  ]);
  // Again: what the providers said stands in it now.
  const objects = answers.asked.length > 0 ? await readObjects(kube) : first;
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
    unanswered: answers.unanswered,
  };
}

/**
 * Lets the controller ask each provider how it sees the peering: it alone has the key that they answer to. Whoever may not
 * wish for that gets what was said last.
 */
async function askProviders(
  invocation: Invocation,
  kube: Kube,
  peerings: readonly OutgoingPeering[],
): Promise<{ asked: string[]; unanswered: string[] }> {
  const resource = hawser('outgoingpeerings');
  const request = `doctor-${invocation.now()}`;
  const waiting = new Set<string>();
  for (const { metadata, status } of peerings) {
    // Who was never let in has nobody to ask.
    if (status?.identity === undefined || metadata.deletionTimestamp !== undefined) continue;
    try {
      await kube.patch(resource, metadata.name, {
        metadata: { annotations: { [annotations.askProvider]: request } },
      });
      waiting.add(metadata.name);
    } catch (error) {
      if (!(error instanceof KubeError)) throw error;
    }
  }
  const asked: string[] = [];
  const end = invocation.now() + answerMilliseconds;
  while (waiting.size > 0 && invocation.now() < end) {
    invocation.terminal.progress(`  .. asking ${[...waiting].join(', ')}`);
    for (const { metadata, status } of await kube.list<OutgoingPeering>(resource)) {
      if (status?.provider?.request !== request || !waiting.delete(metadata.name)) continue;
      asked.push(metadata.name);
    }
    if (waiting.size > 0) await sleep(pollMilliseconds, undefined, { signal: invocation.signal });
  }
  return { asked, unanswered: [...waiting] };
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
      readyMessage: ready?.message ?? 'nothing was reported of it',
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
      wanted: spec.replicas ?? 1,
      ready: status?.readyReplicas ?? 0,
    })),
    ...daemonSets.filter(ours).map(({ metadata, status }) => ({
      kind: 'DaemonSet',
      name: metadata.name,
      wanted: status?.desiredNumberScheduled ?? 0,
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
    if (error instanceof KubeError && error.status === 403) return undefined;
    throw error;
  }
}

async function askKubelets(
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

/** A Status object says it in its message; anything else is said as it came. */
function messageOf(text: string): string {
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    if (typeof message === 'string') return message.slice(0, messageLength);
  } catch {
    // no JSON
  }
  return text.slice(0, messageLength);
}
