/** Creates, updates and deletes Tunnels and the Secret of their keys, and writes their status. */
import type { LocalCluster, RemoteCluster } from '../../../shared/api/clusters.ts';
import { apiVersion } from '../../../shared/api/meta.ts';
import { tunnel as tunnelKind, type FabricNode, type Tunnel } from '../../../shared/api/network.ts';
import type { IncomingPeering, OutgoingPeering } from '../../../shared/api/peerings.ts';
import { annotations, labels, secrets } from '../../../shared/names.ts';
import { maximumRemaps } from '../../../shared/net/remapping.ts';
import { networksOf } from '../../../shared/remap-surroundings.ts';
import {
  applyStatus,
  from,
  keyOf,
  kind,
  StatusDebouncer,
  runController,
  stableText,
  triggers,
  type ControllerContext,
  type Informer,
  type Node,
  type Pod,
  type Result,
  type Secret,
  type Source,
} from '../../kube/index.ts';
import { openingMilliseconds } from '../../peers/references.ts';
import { fromAspect } from '../../kube/relevant-changes.ts';
import { fromVirtualPods, virtualPods, type VirtualPods } from '../../peers/virtual-pods.ts';
import { keyRevision, ourDocumentHeld, findIdentity } from './key-store.ts';
import { makeKeyReconciler } from './preshared-keys.ts';
import { readDocuments } from './remote-documents.ts';
import { fabricMembers, internalAddress } from './endpoint-assignment.ts';
import { planTunnel, type TunnelDecision } from './tunnel-plan.ts';
import { remotesConcerned, reportTunnel } from './tunnel-status.ts';
import { WrittenTunnels } from './written-tunnels.ts';

const fieldManager = 'hawser-fabric';
/** Counters in a tunnel's status may lag by this much. */
const numbersMilliseconds = 30_000;

interface PlanInput {
  localClusters: Informer<LocalCluster>;
  remoteClusters: Informer<RemoteCluster>;
  outgoing: Informer<OutgoingPeering>;
  incoming: Informer<IncomingPeering>;
  tunnels: Informer<Tunnel>;
  fabricNodes: Informer<FabricNode>;
  nodes: Informer<Node>;
  clusterKey: Informer<Secret>;
  tunnelKeys: Informer<Secret>;
  pods: VirtualPods;
}

/** The last plan of each remote, for its Tunnel's status. */
type PlanProblems = Pick<TunnelDecision, 'problems' | 'collisions' | 'waiting'>;
type ProblemsByRemote = Map<string, PlanProblems>;

export async function runTunnels(context: ControllerContext, signal: AbortSignal): Promise<void> {
  const { informer, namespace } = context;
  const secret = (name: string) =>
    informer<Secret>(kind.secret, { namespace, fieldSelector: `metadata.name=${name}` });
  const input: PlanInput = {
    localClusters: informer(kind.localCluster),
    remoteClusters: informer(kind.remoteCluster),
    outgoing: informer(kind.outgoingPeering),
    incoming: informer(kind.incomingPeering),
    tunnels: informer(kind.tunnel),
    fabricNodes: informer(kind.fabricNode),
    nodes: informer(kind.node),
    clusterKey: secret(secrets.clusterKey),
    tunnelKeys: secret(secrets.tunnelKeys),
    pods: virtualPods(context),
  };
  const problemsByRemote: ProblemsByRemote = new Map();
  const written = new WrittenTunnels(input.tunnels, context.clock);
  const statusTriggers = triggers();
  const everyRemote = () => [
    ...new Set([
      ...input.remoteClusters.list().map((each) => each.metadata.name),
      ...input.tunnels.list().map((each) => each.metadata.name),
    ]),
  ];
  const ofRemote = (object: { spec: { remoteCluster: string } }) => [object.spec.remoteCluster];
  await Promise.all([
    runController(
      {
        name: 'tunnels',
        // Serialized, so that two remotes are not assigned the same free range.
        concurrency: 1,
        sources: [
          from(input.remoteClusters),
          fromAspect(
            input.tunnels,
            (tunnel) =>
              stableText([
                tunnel.spec,
                tunnel.metadata.deletionTimestamp,
                tunnel.metadata.annotations?.[annotations.approvedRemaps],
              ]),
            (tunnel) => [keyOf(tunnel)],
          ),
          // The end of the last pod in a draining range frees that range.
          fromVirtualPods(input.pods, (pod) => {
            const id = remoteOf(input, pod);
            const draining = input.tunnels
              .byKey(id ?? '')
              ?.spec.remaps.some(({ state }) => state === 'Draining');
            return id !== undefined && draining === true ? [id] : [];
          }),
          from(input.outgoing, ofRemote),
          from(input.incoming, ofRemote),
          from(input.localClusters, everyRemote),
          from(input.clusterKey, everyRemote),
          // Virtual nodes do not affect the plan; there is one for each remote.
          fromAspect(input.nodes, (node) => addressesOf([node]).join(), everyRemote),
          fromAspect(input.fabricNodes, ({ status }) => status?.networks, everyRemote),
        ],
        reconcile: async (id, limit) => {
          const again = await reconcileTunnel(context, input, written, problemsByRemote, id, limit);
          statusTriggers.trigger(id);
          return again;
        },
        ...controllerParts(context),
      },
      signal,
    ),
    runController(
      {
        name: 'tunnel-keys',
        concurrency: 1,
        sources: [
          input.remoteClusters,
          input.outgoing,
          input.incoming,
          input.clusterKey,
          input.tunnelKeys,
        ].map((each) => from(each as Informer, () => ['keys'])),
        reconcile: makeKeyReconciler(context, input),
        ...controllerParts(context),
      },
      signal,
    ),
    runController(
      {
        name: 'tunnel-status',
        sources: [from(input.tunnels), statusTriggers, fromReports(input)],
        reconcile: makeStatusReconciler(context, input, problemsByRemote),
        ...controllerParts(context),
      },
      signal,
    ),
  ]);
}

/** Tunnels whose status a node's new report may change. */
function fromReports({ fabricNodes, tunnels }: PlanInput): Source {
  return {
    subscribe: (enqueue) =>
      fabricNodes.onChange((_key, node, previous) => {
        const all = () => tunnels.list().map(({ metadata }) => metadata.name);
        for (const remote of remotesConcerned(node, previous) ?? all()) enqueue(remote);
      }),
    synced: (signal) => fabricNodes.synced(signal),
  };
}

function controllerParts({ log, clock, metrics }: ControllerContext) {
  return { log, clock, ...(metrics && { metrics }) };
}

function addressesOf(nodes: readonly Node[]): string[] {
  return fabricMembers(nodes).flatMap((node) => internalAddress(node) ?? []);
}

/** The remote at which a pod of a virtual node runs. */
function remoteOf(input: PlanInput, pod: Pod): string | undefined {
  return input.outgoing.list().find(({ spec }) => spec.nodeName === pod.spec?.nodeName)?.spec.remoteCluster;
}

const addressesOfPod = (pod: Pod): string[] => (pod.status?.podIPs ?? []).map(({ ip }) => ip);

const refersTo = (id: string) => (peering: { spec: { remoteCluster: string } }) =>
  peering.spec.remoteCluster === id;

async function reconcileTunnel(
  { kube, log, events, clock }: ControllerContext,
  input: PlanInput,
  written: WrittenTunnels,
  problemsByRemote: ProblemsByRemote,
  id: string,
  signal: AbortSignal,
): Promise<Result | void> {
  const items = written.list();
  const present = items.find((tunnel) => tunnel.metadata.name === id);
  const consumer = input.outgoing.list().some(refersTo(id));
  const provider = input.incoming.list().some(refersTo(id));
  const remote = input.remoteClusters.byKey(id);
  const opening = openingMilliseconds(remote, clock.now());
  if (!consumer && !provider && opening === 0) {
    problemsByRemote.delete(id);
    if (present === undefined) return;
    log.info('deleting a tunnel that no peering needs', { remote: id });
    await kube.delete({ kind: kind.tunnel, name: id }, uidOf(present), signal);
    return;
  }
  const again = opening > 0 ? { requeueAfterMilliseconds: opening } : undefined;
  const local = input.localClusters.byKey('self');
  const localID = local?.status?.clusterID;
  // Missing information does not change a tunnel.
  if (local === undefined || localID === undefined || remote === undefined) return again;
  const { remote: document, problem } = readDocuments(remote, localID);
  if (document === undefined) {
    if (problem !== undefined) problemsByRemote.set(id, { problems: [problem], collisions: [], waiting: [] });
    return again;
  }
  const decision = planTunnel({
    local,
    remoteCluster: id,
    document,
    present,
    others: items.filter((tunnel) => tunnel.metadata.name !== id),
    nodeAddresses: addressesOf(input.nodes.list()),
    networks: networksOf(input.fabricNodes.list()),
    consumer,
    provider,
    remote: remote.spec,
    opening: opening > 0,
    offloaded: input.pods.list().flatMap((pod) => (remoteOf(input, pod) === id ? addressesOfPod(pod) : [])),
    remapsKnown: ourDocumentHeld(remote, localID),
    presharedKeyRevision: keyRevision(findIdentity(input.clusterKey.list()[0]), remote),
  });
  problemsByRemote.set(id, decision);
  if (decision.spec === undefined) {
    events.emit(remote, 'Warning', 'NetworkDocumentInvalid', decision.problems.join('; '));
    return again;
  }
  if (present !== undefined && stableText(present.spec) === stableText(decision.spec)) return again;
  const desired: Tunnel = {
    apiVersion,
    kind: tunnelKind.kind,
    metadata: {
      name: id,
      labels: { [labels.managedBy]: fieldManager, [labels.remoteCluster]: id },
      ...(present?.metadata.uid !== undefined && { uid: present.metadata.uid }),
    },
    spec: decision.spec,
  };
  written.note(await kube.apply(desired, { fieldManager }, signal));
  return again;
}

const uidOf = (object: { metadata: { uid?: string } }) =>
  object.metadata.uid === undefined ? {} : { uid: object.metadata.uid };

function makeStatusReconciler(
  { kube, clock, events }: ControllerContext,
  input: PlanInput,
  problemsByRemote: ReadonlyMap<string, PlanProblems>,
) {
  const written = new Map<string, { fields: Record<string, unknown>; at: number }>();
  const debouncer = new StatusDebouncer();
  return async (id: string, signal: AbortSignal): Promise<{ requeueAfterMilliseconds: number } | void> => {
    const tunnel = input.tunnels.byKey(id);
    if (tunnel === undefined || tunnel.metadata.deletionTimestamp !== undefined) {
      written.delete(id);
      debouncer.forget(id);
      return;
    }
    const now = clock.now();
    const found = problemsByRemote.get(id) ?? { problems: [], collisions: [], waiting: [] };
    const report = reportTunnel(tunnel, input.fabricNodes.list(), found, now);
    // Round-trip times and counters change all the time; they are written along with other changes, or at an interval.
    const last = written.get(id);
    const fresh = last !== undefined && now - last.at < numbersMilliseconds;
    const moved = (['endpoint', 'gatewayNode', 'pathMTU'] as const).some(
      (field) => report.fields[field] !== tunnel.status?.[field],
    );
    const later = moved ? 0 : debouncer.left(id, tunnel.status?.conditions, report.findings, now);
    if (later > 0) return { requeueAfterMilliseconds: later };
    const fields: Record<string, unknown> = {
      ...(fresh && !moved ? last.fields : report.fields),
      collisions:
        found.collisions.length > 0
          ? found.collisions.map(({ mapped, own }) => ({ mapped, own }))
          : undefined,
      waitingRanges: found.waiting.length > 0 ? found.waiting.slice(0, maximumRemaps) : undefined,
      observedGeneration: tunnel.metadata.generation,
    };
    const wrote = await applyStatus(
      { kube, fieldManager, object: tunnel, findings: report.findings, fields, now, events },
      signal,
    );
    if (wrote && !(fresh && !moved)) written.set(id, { fields: { ...report.fields }, at: now });
    return { requeueAfterMilliseconds: report.againAfter };
  };
}
