/** Creates, updates and deletes AddressMappings as pods at providers come and go, and reports which of them are programmed. */
import type { LocalCluster } from '../../../shared/api/clusters.ts';
import type { FabricNode, AddressMapping } from '../../../shared/api/network.ts';
import type { NamespaceOffloading } from '../../../shared/api/offloading.ts';
import type { OutgoingPeering } from '../../../shared/api/peerings.ts';
import {
  applyStatus,
  from,
  isAlreadyExists,
  isConflict,
  isNotFound,
  keyOf,
  kind,
  refOf,
  runController,
  type ControllerContext,
  type Informer,
  type Result,
} from '../../kube/index.ts';
import { fromAspect } from '../../kube/relevant-changes.ts';
import { fromVirtualPods, virtualPods } from '../../peers/virtual-pods.ts';
import {
  mappingFamily,
  mappingFinding,
  mappingRevision,
  mappingRequests,
  planAddressMappings,
  usableMappings,
} from '../address-mappings.ts';

const fieldManager = 'hawser-fabric';
/** At most this many pods get an event that no address is free; the log has the total. */
const mostEvents = 16;

export async function runAddressMappings(context: ControllerContext, signal: AbortSignal): Promise<void> {
  const { informer, log, clock, metrics } = context;
  const pods = virtualPods(context);
  const localClusters: Informer<LocalCluster> = informer(kind.localCluster);
  const peerings: Informer<OutgoingPeering> = informer(kind.outgoingPeering);
  const offloadings: Informer<NamespaceOffloading> = informer(kind.namespaceOffloading);
  const addressMappings: Informer<AddressMapping> = informer(kind.addressMapping);
  const fabricNodes: Informer<FabricNode> = informer(kind.fabricNode);
  const all = () => ['all'];
  const everyOne = () => addressMappings.list().map(keyOf);
  const parts = { log, clock, ...(metrics && { metrics }) };

  let lacking = 0;

  async function reconcile(_key: string, limit: AbortSignal): Promise<Result | void> {
    const externalCIDR = localClusters.byKey('self')?.status?.externalCIDR;
    if (externalCIDR === undefined) return;
    const living = peerings.list();
    // Until the caches have synced, a missing pod does not mean that it is gone.
    if (living.some(({ spec }) => !pods.hasSynced(spec.nodeName))) return { requeueAfterMilliseconds: 500 };
    const requests = mappingRequests(mappingFamily(externalCIDR), pods.list(), offloadings.list(), living);
    const plan = planAddressMappings(
      externalCIDR,
      requests,
      addressMappings.list(),
      living.length > 0,
      clock.now(),
    );
    for (const mappings of plan.change)
      await ignoringRaces(context.kube.apply(bare(mappings), { fieldManager }, limit));
    for (const mappings of plan.create) {
      await ignoringRaces(context.kube.create(mappings, limit, { fieldManager }));
    }
    for (const mappings of plan.remove) {
      await context.kube.delete(refOf(mappings), { uid: mappings.metadata.uid ?? '' }, limit);
    }
    if (plan.without.length !== lacking) {
      lacking = plan.without.length;
      if (lacking > 0) log.warn('pods at providers have no mapped address', { externalCIDR, pods: lacking });
    }
    for (const { pod, remoteClusters } of plan.without.slice(0, mostEvents)) {
      const object = pods.get(pod.namespace, pod.name);
      if (object === undefined) continue;
      context.events.emit(
        object,
        'Warning',
        'NoAddressMapping',
        `pods at ${remoteClusters.join(', ')} cannot reach this pod: external CIDR ${externalCIDR} has no free address for it; offload the namespace to fewer providers, or set LocalCluster.spec.externalCIDR to a larger range`,
      );
    }
    if (plan.againAfter !== undefined) return { requeueAfterMilliseconds: Math.max(50, plan.againAfter) };
  }

  /** Over all mappings; computed once after a change, not once per mapping. */
  let revision: string | undefined;
  addressMappings.onChange(() => {
    revision = undefined;
  });

  async function report(key: string, limit: AbortSignal): Promise<void> {
    const mappings = addressMappings.byKey(key);
    if (mappings === undefined || mappings.metadata.deletionTimestamp !== undefined) return;
    revision ??= mappingRevision(usableMappings(addressMappings.list()));
    await applyStatus(
      {
        kube: context.kube,
        fieldManager,
        object: mappings,
        findings: [mappingFinding(mappings, revision, fabricNodes.list())],
        now: clock.now(),
      },
      limit,
    );
  }

  await Promise.all([
    runController(
      {
        name: 'address-mappings',
        concurrency: 1,
        sources: [
          fromVirtualPods(pods, all),
          from(peerings, all),
          fromAspect(offloadings, ({ status }) => (status?.remotes ?? []).map(({ peering }) => peering), all),
          fromAspect(localClusters, ({ status }) => status?.externalCIDR, all),
          fromAspect(addressMappings, ({ spec, metadata }) => [spec, metadata.deletionTimestamp], all),
        ],
        reconcile,
        ...parts,
      },
      signal,
    ),
    runController(
      {
        name: 'address-mapping-status',
        sources: [
          // A revision covers all mappings, so a change of one can complete another.
          fromAspect(addressMappings, ({ spec, metadata }) => [spec, metadata.deletionTimestamp], everyOne),
          fromAspect(
            fabricNodes,
            ({ spec, status }) => [spec.tunnelEndpoint, status?.heldTunnelEndpoint, status?.mappingRevision],
            everyOne,
          ),
        ],
        reconcile: report,
        ...parts,
      },
      signal,
    ),
  ]);
}

/** The fields that this controller owns and applies. */
function bare({ apiVersion, kind: name, metadata, spec }: AddressMapping): AddressMapping {
  const { uid, labels } = metadata;
  return {
    apiVersion,
    kind: name,
    metadata: { name: metadata.name, ...(uid !== undefined && { uid }), ...(labels && { labels }) },
    spec,
  };
}

/** The cache was stale; the pending watch event triggers another reconcile. */
async function ignoringRaces(step: Promise<unknown>): Promise<void> {
  try {
    await step;
  } catch (error) {
    if (!isAlreadyExists(error) && !isConflict(error) && !isNotFound(error)) throw error;
  }
}
