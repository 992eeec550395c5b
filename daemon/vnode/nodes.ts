/** Reconciles one Node per OutgoingPeering: creates it, writes its status, drains it, and removes it. */
import type { OutgoingPeering } from '../../shared/api/peerings.ts';
import { findCondition, isTrue, type Finding } from '../../shared/conditions.ts';
import { labels } from '../../shared/names.ts';
import {
  applyStatus,
  from,
  isConflict,
  keyOf,
  kind,
  StatusDebouncer,
  commonOptions,
  runController,
  type Result,
} from '../kube/index.ts';
import { fromAspect } from '../kube/relevant-changes.ts';
import { fromRemoteObjects, fromRemotes } from '../peers/remote.ts';
import { fromVirtualPods } from '../peers/virtual-pods.ts';
import type { Node, Pod } from '../../shared/kube/types.ts';
import { desireOf, podsToLeave, schedulableFinding } from './desire.ts';
import { evictPods } from './eviction.ts';
import { ensureFinalizer } from '../kube/finalizers.ts';
import { renewLease } from './lease.ts';
import {
  appliedNode,
  newNode,
  nodeStatus,
  plannedTaints,
  statusDiffers,
  type NodeFacts,
} from './node-object.ts';
import { evaluateReadiness, nodeReadyFinding, readinessReasons } from './readiness.ts';
import { removeNode } from './removal.ts';
import { fieldManager, peeringOfNode, vnodeFinalizer, type Caches } from './caches.ts';

/** Retry interval for pods that a disruption budget protects. */
const drainRetryMilliseconds = 5_000;
/** Retry interval while the pods of a new node are being listed. */
const readAgainMilliseconds = 250;

/** Runs until the signal is aborted. */
export async function runNodes(caches: Caches, kubeletPort: number, signal: AbortSignal): Promise<void> {
  const { context } = caches;
  const facts = await nodeFacts(caches, kubeletPort, signal);
  const debouncer = new StatusDebouncer();
  const forRemote = (remoteCluster: string) =>
    caches.peerings
      .list()
      .filter((peering) => peering.spec.remoteCluster === remoteCluster)
      .map((peering) => peering.metadata.name);
  const forNode = (nodeName: string | undefined) => {
    const peering = peeringOfNode(caches, nodeName);
    // Pods affect a node only while it is drained.
    if (peering === undefined) return [];
    const leaving =
      peering.metadata.deletionTimestamp !== undefined || desireOf(peering).desired === 'Drained';
    return leaving ? [peering.metadata.name] : [];
  };
  await runController(
    {
      name: 'virtual-nodes',
      sources: [
        from(caches.peerings),
        fromAspect(
          caches.tunnels,
          ({ status }) => status?.conditions,
          (tunnel) => forRemote(tunnel.spec.remoteCluster),
        ),
        from(caches.nodes, (node) => {
          const peering = peeringOfNode(caches, node.metadata.name);
          return peering === undefined ? [] : [keyOf(peering)];
        }),
        fromRemotes(caches.remotes, (peering) => [peering]),
        // A removal waits for the deletion of the last twin namespace.
        fromRemoteObjects(caches.remotes, kind.twinNamespace, ({ peering }) =>
          caches.peerings.byKey(peering)?.metadata.deletionTimestamp === undefined ? [] : [peering],
        ),
        fromVirtualPods(caches.pods, (pod) => forNode(pod.spec?.nodeName)),
      ],
      reconcile: (key, limited) => reconcileNode(caches, facts, debouncer, key, limited),
      ...commonOptions(context),
    },
    signal,
  );
}

async function reconcileNode(
  caches: Caches,
  facts: NodeFacts,
  debouncer: StatusDebouncer,
  name: string,
  signal: AbortSignal,
): Promise<Result | void> {
  const { kube, clock, events } = caches.context;
  const peering = caches.peerings.byKey(name);
  if (peering === undefined) return debouncer.forget(name);
  const wait = (finding: Finding) => debouncer.left(name, peering.status?.conditions, [finding], clock.now());
  if (peering.metadata.deletionTimestamp !== undefined) {
    if (!(peering.metadata.finalizers ?? []).includes(vnodeFinalizer)) return;
    return removeNode(caches, peering, signal);
  }
  const present = caches.nodes.get(undefined, peering.spec.nodeName);
  if (present === undefined && !isTrue(peering.status?.conditions, 'IdentityValid')) {
    const waiting = waitingForIdentity(peering);
    const later = wait(waiting);
    if (later > 0) return { requeueAfterMilliseconds: later };
    await report(caches, peering, [waiting], signal);
    return;
  }
  if (present !== undefined && !isOurs(present, peering)) {
    await report(
      caches,
      peering,
      [
        {
          type: 'NodeReady',
          status: 'False',
          reason: 'NodeNameTaken',
          message: `A node named ${peering.spec.nodeName} exists and was not created for this peering; unpeer and peer again with another node name.`,
        },
      ],
      signal,
    );
    return;
  }
  if ((await ensureFinalizer(kube, peering, vnodeFinalizer, signal)) === undefined) return;
  const node = present ?? (await kube.create(newNode(peering, facts), signal, { fieldManager }));
  const remote = caches.remotes.get(name);
  const readiness = evaluateReadiness(
    peering,
    caches.tunnels.get(undefined, peering.spec.remoteCluster),
    remote?.reachability ?? {
      state: 'Unknown',
      since: clock.now(),
      message: 'no identity has been issued yet',
    },
  );
  if (present === undefined) await renewLease(kube, node, clock.now(), signal);
  await applyNodeSpec(caches, peering, facts, node, readiness, signal);
  const finding = nodeReadyFinding(peering, readiness);
  const said = node.status?.conditions?.find((each) => each.type === 'Ready')?.status;
  const draining = desireOf(peering).desired === 'Drained';
  if (draining && !caches.pods.hasSynced(peering.spec.nodeName)) {
    return { requeueAfterMilliseconds: readAgainMilliseconds };
  }
  const leaving = draining ? podsToLeave(caches.pods.listOn(peering.spec.nodeName)) : [];
  const schedulable = schedulableFinding(peering, leaving, await drain(caches, peering, leaving, signal));
  const later = said === readiness.status && isReported(peering, schedulable) ? wait(finding) : 0;
  if (later > 0) return { requeueAfterMilliseconds: later };
  const status = nodeStatus(peering, readiness, facts, node, clock.now());
  if (statusDiffers(node, status)) {
    await kube.apply<Node>(
      { apiVersion: 'v1', kind: 'Node', metadata: identified(node), status },
      { fieldManager, subresource: 'status' },
      signal,
    );
    if (said !== readiness.status) {
      const ready = readiness.status === 'True';
      events.emit(
        node,
        ready ? 'Normal' : 'Warning',
        ready ? 'NodeReady' : 'NodeNotReady',
        readiness.message,
      );
    }
  }
  await report(caches, peering, [finding, schedulable], signal);
  if (leaving.length > 0) return { requeueAfterMilliseconds: drainRetryMilliseconds };
}

/** Labels, unschedulable and taints, each only if it differs. */
async function applyNodeSpec(
  caches: Caches,
  peering: OutgoingPeering,
  facts: NodeFacts,
  node: Node,
  readiness: Parameters<typeof plannedTaints>[1],
  signal: AbortSignal,
): Promise<void> {
  const { kube, clock } = caches.context;
  const applied = appliedNode(peering, facts);
  const labelled = Object.entries(applied.metadata.labels ?? {}).every(
    ([label, value]) => node.metadata.labels?.[label] === value,
  );
  const cordon = desireOf(peering).desired !== 'Active';
  const cordonedByUs = node.metadata.annotations?.[cordonedAnnotation] === 'true';
  if (!labelled || cordon !== cordonedByUs || (cordon && node.spec?.unschedulable !== true)) {
    await kube.apply<Node>(
      {
        ...applied,
        metadata: {
          ...applied.metadata,
          ...identified(node),
          ...(cordon && { annotations: { [cordonedAnnotation]: 'true' } }),
        },
      },
      { fieldManager },
      signal,
    );
  }
  const taints = plannedTaints(node.spec?.taints, readiness, clock.now());
  if (taints === undefined) return;
  try {
    await kube.patch(
      { kind: kind.node, name: node.metadata.name },
      { metadata: { resourceVersion: await freshVersion(caches, node, signal) }, spec: { taints } },
      { type: 'merge', fieldManager },
      signal,
    );
  } catch (error) {
    // Another writer came first; its watch event triggers another reconcile.
    if (!isConflict(error)) throw error;
  }
}

/** Records that this controller set `unschedulable`, so that only it is reverted. */
const cordonedAnnotation = 'hawser.dev/cordoned';

/** The version to write taints under; refuses when taints changed since the cache was filled. */
async function freshVersion(caches: Caches, node: Node, signal: AbortSignal): Promise<string | undefined> {
  const now = await caches.context.kube.get<Node>({ kind: kind.node, name: node.metadata.name }, signal);
  const same = JSON.stringify(now?.spec?.taints ?? []) === JSON.stringify(node.spec?.taints ?? []);
  return same ? now?.metadata.resourceVersion : node.metadata.resourceVersion;
}

const identified = (node: Node) => ({
  name: node.metadata.name,
  ...(node.metadata.uid !== undefined && { uid: node.metadata.uid }),
});

function isOurs(node: Node, peering: OutgoingPeering): boolean {
  return (
    node.metadata.labels?.[labels.virtualNode] === 'true' &&
    node.spec?.providerID === `hawser://${peering.metadata.name}`
  );
}

function waitingForIdentity(peering: OutgoingPeering): Finding {
  const identity = findCondition(peering.status?.conditions, 'IdentityValid');
  return {
    type: 'NodeReady',
    status: 'False',
    reason: readinessReasons.identityInvalid,
    message: `The node is created once the provider ${peering.spec.remoteCluster} has issued an identity${identity === undefined ? '' : `: ${identity.message}`}`,
  };
}

async function report(
  caches: Caches,
  peering: OutgoingPeering,
  findings: readonly Finding[],
  signal: AbortSignal,
): Promise<void> {
  const { kube, clock, events } = caches.context;
  await applyStatus({ kube, fieldManager, object: peering, findings, now: clock.now(), events }, signal);
}

/** Whether the desired state is already reported. If not, it is written without debouncing, since a person waits for it. */
function isReported(peering: OutgoingPeering, finding: Finding): boolean {
  const reported = findCondition(peering.status?.conditions, finding.type);
  return (
    reported?.reason === finding.reason &&
    reported.message === finding.message &&
    reported.observedGeneration === peering.metadata.generation
  );
}

/** Evicts the pods. Returns the keys of those that must wait. */
async function drain(
  caches: Caches,
  peering: OutgoingPeering,
  leaving: readonly Pod[],
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  const { kube, events } = caches.context;
  const heldBack = new Set<string>();
  for (const eviction of await evictPods(kube, leaving, signal)) {
    if (eviction.outcome === 'Blocked') {
      heldBack.add(keyOf(eviction.pod));
      events.emit(
        eviction.pod,
        'Warning',
        'EvictionBlocked',
        `The eviction from ${peering.spec.nodeName} has to wait: ${eviction.message}`,
      );
    }
  }
  return heldBack;
}

/** The kubelet version of the nodes: the API server's own, for tools that compare the two. */
async function nodeFacts(caches: Caches, kubeletPort: number, signal: AbortSignal): Promise<NodeFacts> {
  const { kube, podIP, version, log } = caches.context;
  let server = 'v1.0.0';
  try {
    const { text } = await kube.text('GET', '/version', { maximumBytes: 65_536 }, signal);
    const said = JSON.parse(text) as { gitVersion?: string };
    if (said.gitVersion !== undefined && /^v\d+\.\d+\.\d+/.test(said.gitVersion)) server = said.gitVersion;
  } catch (error) {
    if (signal.aborted) throw error;
    log.warn('failed to read the version of the API server', { error: String(error) });
  }
  return {
    address: podIP,
    kubeletPort,
    version: `${/^v\d+\.\d+\.\d+/.exec(server)?.[0] ?? server}-hawser-${version}`,
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
  };
}
