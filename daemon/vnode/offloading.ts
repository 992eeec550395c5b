/** Reconciles NamespaceOffloadings: labels the namespace for the pod webhook, and manages its twin namespaces. */
import type { Condition } from '../../shared/api/meta.ts';
import type { NamespaceOffloading, TwinNamespace } from '../../shared/api/offloading.ts';
import type { OutgoingPeering } from '../../shared/api/peerings.ts';
import { findCondition, nextCondition, type Finding } from '../../shared/conditions.ts';
import { annotations, labels } from '../../shared/names.ts';
import {
  applyStatus,
  from,
  isAlreadyExists,
  kind,
  messageOf,
  commonOptions,
  runController,
  type Result,
} from '../kube/index.ts';
import { fromAspect } from '../kube/relevant-changes.ts';
import { fromRemoteObjects, fromRemotes, type Remote } from '../peers/remote.ts';
import { boundNamespace, shadowPoliciesOf, sourceOf, twinOf, twinsOf } from '../peers/twin-namespaces.ts';
import type { Namespace } from '../../shared/kube/types.ts';
import { fromVirtualPods } from '../peers/virtual-pods.ts';
import { ensureFinalizer } from '../kube/finalizers.ts';
import { enforcedType, policiesFinding } from './network-policies.ts';
import { twinNameRules, type TwinNameRules } from '../../shared/twin-names.ts';
import { desiredTwin, planTwin, summarise, twinReasons } from './twin-plan.ts';
import { removeTwin, unoffload } from './unoffload.ts';
import { isOffloadable, selects } from '../peers/offloaded.ts';
import { fieldManager, ownClusterID, vnodeFinalizer, type Caches } from './caches.ts';

/** The one NamespaceOffloading of a namespace. */
export const offloadingName = 'offloading';

/** Runs until the signal is aborted. Keys are namespaces. */
export async function runOffloading(caches: Caches, signal: AbortSignal): Promise<void> {
  const { context } = caches;
  const all = () => caches.offloadings.list().map((each) => each.metadata.namespace ?? '');
  const inNamespace = (object: { metadata: { namespace?: string } }) =>
    object.metadata.namespace === undefined ? [] : [object.metadata.namespace];
  const inNamespaceOffloaded = (object: { metadata: { namespace?: string } }) =>
    inNamespace(object).filter((name) => caches.offloadings.get(name, offloadingName) !== undefined);
  await runController(
    {
      name: 'namespace-offloading',
      sources: [
        from(caches.offloadings, inNamespace),
        // A removed label, or a recreated namespace.
        from(caches.namespaces, (namespace) =>
          caches.offloadings.get(namespace.metadata.name, offloadingName) !== undefined ||
          namespace.metadata.labels?.[labels.offloading] !== undefined
            ? [namespace.metadata.name]
            : [],
        ),
        from(caches.peerings, all),
        from(caches.nodes, (node) => (node.metadata.labels?.[labels.virtualNode] === 'true' ? all() : [])),
        fromAspect(caches.policies, () => '', inNamespaceOffloaded),
        from(caches.localClusters, all),
        fromRemotes(caches.remotes, all),
        fromRemoteObjects(caches.remotes, kind.twinNamespace, (_remote, twin) => [twin.spec.sourceNamespace]),
        fromRemoteObjects(caches.remotes, kind.shadowPolicy, (remote, record) => {
          const source = sourceOf(remote, record.metadata.namespace);
          return source === undefined ? [] : [source];
        }),
        // Removals wait for pods to be gone.
        fromVirtualPods(caches.pods, (pod) => {
          const offloading = caches.offloadings.get(pod.metadata.namespace, offloadingName);
          return offloading?.metadata.deletionTimestamp === undefined ? [] : inNamespace(pod);
        }),
      ],
      reconcile: (namespace, limited) => reconcileNamespace(caches, namespace, limited),
      ...commonOptions(context),
    },
    signal,
  );
}

/** An admission takes seconds at most (`timeoutSeconds` of the webhooks); one that failed leaves a label to be taken off. */
const admissionMilliseconds = 10_000;

async function reconcileNamespace(caches: Caches, name: string, signal: AbortSignal): Promise<Result | void> {
  const { kube, namespace: own } = caches.context;
  const offloading = caches.offloadings.get(name, offloadingName);
  if (offloading === undefined) {
    // The webhook labels the namespace while its NamespaceOffloading is admitted, and so before it is there.
    const admitted = caches.namespaces.get(undefined, name)?.metadata.annotations?.[
      annotations.offloadingAdmitted
    ];
    const age = Math.abs(caches.context.clock.now() - Date.parse(admitted ?? ''));
    if (age < admissionMilliseconds) return { requeueAfterMilliseconds: admissionMilliseconds - age + 50 };
    await labelNamespace(caches, name, undefined, signal);
    return;
  }
  if (offloading.metadata.deletionTimestamp !== undefined) {
    await labelNamespace(caches, name, undefined, signal);
    return unoffload(caches, offloading, signal);
  }
  const refuse = (message: string) =>
    report(
      caches,
      offloading,
      [],
      { type: 'Ready', status: 'False', reason: 'NamespaceNotAllowed', message },
      signal,
    );
  if (!isOffloadable(name, own)) {
    await refuse(
      `Namespace ${name} contains components of this cluster and is never offloaded; delete this object.`,
    );
    return;
  }
  const namespace = caches.namespaces.get(undefined, name);
  const origin = namespace?.metadata.labels?.[labels.origin];
  if (origin !== undefined) {
    await refuse(
      `Namespace ${name} is a twin namespace of ${origin}; its pods cannot be offloaded to a third cluster; delete this object.`,
    );
    return;
  }
  const consumer = ownClusterID(caches);
  if (namespace === undefined || namespace.metadata.deletionTimestamp !== undefined) return;
  if (consumer === undefined) {
    await report(
      caches,
      offloading,
      [],
      {
        type: 'Ready',
        status: 'Unknown',
        reason: 'NoClusterID',
        message: 'This cluster has no ID yet; waiting for LocalCluster self.',
      },
      signal,
    );
    return;
  }
  if ((await ensureFinalizer(kube, offloading, vnodeFinalizer, signal)) === undefined) return;
  await labelNamespace(caches, name, offloading.spec.podPlacement, signal);
  const policies = caches.policies
    .listIn(name)
    .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    .map(({ metadata }) => metadata.name);
  const twins: TwinReport[] = [];
  const failures: unknown[] = [];
  let later: Result | undefined;
  for (const peering of caches.peerings.list()) {
    if (peering.metadata.deletionTimestamp !== undefined) continue;
    const node = caches.nodes.get(undefined, peering.spec.nodeName);
    const remote = caches.remotes.get(peering.metadata.name);
    if (node === undefined || !selects(offloading.spec.clusterSelector, node.metadata.labels)) {
      const outcome = await removeUnselected(caches, remote, peering, name, signal);
      later ??= outcome;
      continue;
    }
    const wanted = desiredTwin(namespace, offloading, consumer, {
      tenantNamespace: remote?.tenantNamespace ?? '',
      peering: peering.spec.peering,
      grant: peering.status?.grant,
    });
    const rules = twinNameRules(consumer, peering.spec.peering, peering.status?.grant);
    const before = offloading.status?.remotes?.find((each) => each.peering === peering.metadata.name);
    const said = findCondition(before?.conditions, 'Bound');
    const { finding, enforced, failure } = await reconcileTwin(caches, remote, wanted, rules, said, signal);
    const carried = policies.length === 0 ? undefined : carriedAt(remote, namespace);
    twins.push({ peering: peering.metadata.name, twin: wanted.spec.namespace, finding, enforced, carried });
    if (failure !== undefined) failures.push(failure);
  }
  const hold = policiesFinding(
    policies,
    findCondition(caches.localClusters.get(undefined, 'self')?.status?.conditions, enforcedType),
    twins,
  );
  await report(caches, offloading, twins, summarise(twins), signal, [hold]);
  // The status is written first, then the failure is retried.
  if (failures.length > 0) throw failures[0];
  return later;
}

interface TwinReport {
  peering: string;
  twin: string;
  finding: Finding;
  /** The provider's condition of its CNI. */
  enforced?: Condition | undefined;
  /** Conditions of the namespace's policies, by name; undefined if unknown. */
  carried?: ReadonlyMap<string, Condition | undefined> | undefined;
}

/** The provider's conditions of the policy records in the twin namespace; undefined until they were read. */
function carriedAt(remote: Remote | undefined, { metadata }: Namespace): TwinReport['carried'] {
  if (remote === undefined || !twinsOf(remote).hasSynced) return undefined;
  const twin = boundNamespace(twinOf(remote, metadata.name), metadata.uid);
  const records = twin === undefined ? undefined : shadowPoliciesOf(remote, twin);
  if (records?.hasSynced !== true) return undefined;
  return new Map(
    records
      .list()
      .map((record) => [record.metadata.name, findCondition(record.status?.conditions, 'Carried')] as const),
  );
}

/** Reconciles the twin namespace, and returns its condition. A failing provider does not affect the others. */
async function reconcileTwin(
  caches: Caches,
  remote: Remote | undefined,
  wanted: TwinNamespace,
  rules: TwinNameRules,
  before: Condition | undefined,
  signal: AbortSignal,
): Promise<{ finding: Finding; enforced?: Condition | undefined; failure?: unknown }> {
  // Right after a start the provider's caches have not synced, so the previous condition stays.
  const unread = (message: string): { finding: Finding } => ({
    finding: before ?? { type: 'Bound', status: 'False', reason: twinReasons.providerUnread, message },
  });
  if (remote === undefined) return unread('This provider has issued no identity yet.');
  if (!twinsOf(remote).hasSynced) return unread('The provider’s twin namespaces have not been read yet.');
  const present = twinOf(remote, wanted.spec.sourceNamespace);
  const step = planTwin(present, wanted, rules);
  try {
    if (step.action === 'Create') {
      await remote.client.create(step.twin, signal, { fieldManager });
    } else if (step.action === 'Delete' && present?.metadata.uid !== undefined) {
      await remote.client.delete(
        { kind: kind.twinNamespace, name: present.metadata.name, namespace: remote.tenantNamespace },
        { uid: present.metadata.uid },
        signal,
      );
    }
  } catch (error) {
    // The cache is stale by one event.
    if (isAlreadyExists(error)) return { finding: step.finding };
    if (signal.aborted) throw error;
    const message = messageOf(error).slice(0, 1000);
    return {
      finding: { ...step.finding, status: 'False', reason: 'ProviderRefused', message },
      failure: error,
    };
  }
  const bound = boundNamespace(present, wanted.spec.sourceUID);
  // Watched from its creation on, so that the first pod's status arrives at once.
  if (bound !== undefined) remote.informer(kind.shadowPod, { namespace: bound });
  return { finding: step.finding, enforced: findCondition(present?.status?.conditions, enforcedType) };
}

/** The twin namespace at a provider that is no longer selected is deleted after its pods are gone. */
async function removeUnselected(
  caches: Caches,
  remote: Remote | undefined,
  peering: OutgoingPeering,
  namespace: string,
  signal: AbortSignal,
): Promise<Result | undefined> {
  if (remote === undefined || !twinsOf(remote).hasSynced) return undefined;
  if (twinOf(remote, namespace) === undefined) return undefined;
  const pods = caches.pods
    .listOn(peering.spec.nodeName)
    .filter((pod) => pod.metadata.namespace === namespace);
  return removeTwin(caches, remote, namespace, pods, signal);
}

/** Sets or removes the label by which the pod webhook selects namespaces. */
async function labelNamespace(
  caches: Caches,
  name: string,
  placement: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  const namespace = caches.namespaces.get(undefined, name);
  if (namespace === undefined || namespace.metadata.labels?.[labels.offloading] === placement) return;
  await caches.context.kube.patch(
    { kind: kind.namespace, name },
    {
      metadata: {
        labels: { [labels.offloading]: placement ?? null },
        ...(placement === undefined && { annotations: { [annotations.offloadingAdmitted]: null } }),
      },
    },
    { type: 'merge', fieldManager },
    signal,
  );
}

type OffloadedTo = NonNullable<NonNullable<NamespaceOffloading['status']>['remotes']>[number];

async function report(
  caches: Caches,
  offloading: NamespaceOffloading,
  twins: readonly TwinReport[],
  ready: Finding,
  signal: AbortSignal,
  more: readonly Finding[] = [],
): Promise<void> {
  const { kube, clock, events } = caches.context;
  const before = new Map((offloading.status?.remotes ?? []).map((each) => [each.peering, each.conditions]));
  await applyStatus(
    {
      kube,
      fieldManager,
      object: offloading,
      findings: [ready, ...more],
      fields: {
        observedGeneration: offloading.metadata.generation,
        remotes: twins.map((each): OffloadedTo => ({
          peering: each.peering,
          twinNamespace: each.twin,
          conditions: [
            nextCondition(
              findCondition(before.get(each.peering), each.finding.type),
              each.finding,
              clock.now(),
            ),
          ],
        })),
      },
      now: clock.now(),
      events,
    },
    signal,
  );
}
