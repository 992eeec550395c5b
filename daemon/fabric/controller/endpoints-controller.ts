/** Assigns addresses and tunnel endpoints to nodes, and creates the keys and Services of tunnel endpoints. */
import type { LocalCluster } from '../../../shared/api/clusters.ts';
import { apiVersion } from '../../../shared/api/meta.ts';
import { fabricNode as fabricNodeKind, type FabricNode } from '../../../shared/api/network.ts';
import { endpointService, labels, publicKeyAnnotation, secrets } from '../../../shared/names.ts';
import {
  from,
  isAlreadyExists,
  kind,
  messageOf,
  runController,
  stableText,
  triggers,
  type AnyObject,
  type ControllerContext,
  type EndpointSlice,
  type Informer,
  type Node,
  type Secret,
  type Service,
} from '../../kube/index.ts';
import { fromAspect } from '../../kube/relevant-changes.ts';
import { secretText } from '../node-key.ts';
import { assignNodes, internalAddress, endpointNames, type NodeAssignment } from './endpoint-assignment.ts';
import { EndpointLeases } from './endpoint-leases.ts';
import { newEndpointSecret, endpointSliceObject, endpointServiceObject } from './endpoint-objects.ts';
import { readTunnelKey } from '../tunnel-keys.ts';

const fieldManager = 'hawser-fabric';

interface EndpointInformers {
  secret: Informer<Secret>;
  service: Informer<Service>;
  endpoints: Informer<EndpointSlice>;
}

export async function runEndpoints(context: ControllerContext, signal: AbortSignal): Promise<void> {
  const { informer, namespace, log, clock, metrics } = context;
  const nodes: Informer<Node> = informer(kind.node);
  const fabricNodes: Informer<FabricNode> = informer(kind.fabricNode);
  const localClusters: Informer<LocalCluster> = informer(kind.localCluster);
  const tunnelEndpoints = new Map<string, EndpointInformers>(
    endpointNames.map((tunnelEndpoint) => {
      const named = (name: string) => ({ namespace, fieldSelector: `metadata.name=${name}` });
      return [
        tunnelEndpoint,
        {
          secret: informer<Secret>(kind.secret, named(secrets.tunnelEndpoint(tunnelEndpoint))),
          service: informer<Service>(kind.service, named(endpointService(tunnelEndpoint))),
          endpoints: informer<EndpointSlice>(kind.endpointSlice, named(endpointService(tunnelEndpoint))),
        },
      ];
    }),
  );
  const leaseChanges = triggers();
  const leases = new EndpointLeases({
    kube: context.kube,
    namespace,
    tunnelEndpoints: endpointNames,
    onChange: () => leaseChanges.trigger('nodes'),
    clock: context.clock,
    log,
  });

  await Promise.all([
    leases.run(signal),
    runController(
      {
        name: 'fabric-nodes',
        concurrency: 1,
        sources: [
          fromAspect(nodes, nodeText, () => ['nodes']),
          fromAspect(fabricNodes, specText, () => ['nodes']),
          from(localClusters, () => ['nodes']),
          leaseChanges,
        ],
        reconcile: async (_key, limit) => {
          const externalCIDR = localClusters.byKey('self')?.status?.externalCIDR;
          const present = fabricNodes.list();
          const silent = leases.silent();
          const wanted = assignNodes(nodes.list(), present, externalCIDR, silent);
          // An endpoint is first removed from its old holder, so that it is never assigned to two nodes.
          const order = wanted.toSorted(
            (one, other) =>
              Number(one.spec.tunnelEndpoint !== undefined) - Number(other.spec.tunnelEndpoint !== undefined),
          );
          for (const assignment of order) {
            const { tunnelEndpoint } = assignment.spec;
            if (tunnelEndpoint !== undefined) await leases.handOver(tunnelEndpoint, assignment.name, limit);
            await applyFabricNode(context, assignment, present, limit);
          }
          reportSilence(context, present, wanted, silent);
          const names = new Set(wanted.map(({ name }) => name));
          for (const { metadata } of present) {
            if (names.has(metadata.name)) continue;
            await context.kube.delete(
              { kind: kind.fabricNode, name: metadata.name },
              metadata.uid === undefined ? {} : { uid: metadata.uid },
              limit,
            );
          }
        },
        log,
        clock,
        ...(metrics && { metrics }),
      },
      signal,
    ),
    runController(
      {
        name: 'tunnelEndpoints',
        sources: [
          ...[...tunnelEndpoints].flatMap(([tunnelEndpoint, parts]) =>
            [parts.secret, parts.service, parts.endpoints].map((part) =>
              from(part as Informer, () => [tunnelEndpoint]),
            ),
          ),
          fromAspect(fabricNodes, specText, () => endpointNames),
        ],
        reconcile: (tunnelEndpoint, limit) =>
          reconcileEndpoint(
            context,
            tunnelEndpoint,
            tunnelEndpoints.get(tunnelEndpoint),
            fabricNodes,
            nodes,
            limit,
          ),
        log,
        clock,
        ...(metrics && { metrics }),
      },
      signal,
    ),
  ]);
}

/** The event is on the node that lost the endpoint, where a person will look; Kubernetes may still report it Ready. */
function reportSilence(
  { events }: ControllerContext,
  present: readonly FabricNode[],
  wanted: readonly NodeAssignment[],
  silent: ReadonlySet<string>,
): void {
  for (const node of present) {
    const { tunnelEndpoint } = node.spec;
    const next = wanted.find(({ spec }) => spec.tunnelEndpoint === tunnelEndpoint)?.name;
    if (tunnelEndpoint === undefined || next === node.metadata.name || !silent.has(node.metadata.name))
      continue;
    const message = `the node did not renew the Lease of tunnel endpoint ${tunnelEndpoint}, which moves to node ${next}: check the node and its hawser-node pod`;
    events.emit(node, 'Warning', 'GatewaySilent', message);
  }
}

/** The inputs of assignments. */
function nodeText({ metadata, status }: Node): string {
  const ready = status?.conditions?.find(({ type }) => type === 'Ready')?.status;
  return stableText([metadata.uid, metadata.labels, metadata.deletionTimestamp, ready, status?.addresses]);
}

const specText = ({ spec, metadata }: FabricNode) => stableText([spec, metadata.ownerReferences]);

async function applyFabricNode(
  { kube }: ControllerContext,
  { name, uid, spec }: NodeAssignment,
  present: readonly FabricNode[],
  signal: AbortSignal,
): Promise<void> {
  const found = present.find(({ metadata }) => metadata.name === name);
  const owned = found?.metadata.ownerReferences?.some((owner) => owner.uid === uid);
  if (found !== undefined && owned === true && stableText(found.spec) === stableText(spec)) return;
  const desired: FabricNode = {
    apiVersion,
    kind: fabricNodeKind.kind,
    metadata: {
      name,
      labels: { [labels.managedBy]: fieldManager },
      // The owner reference deletes the FabricNode with its Node, even while no controller runs.
      ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name, uid }],
    },
    spec,
  };
  await kube.apply(desired, { fieldManager }, signal);
}

async function reconcileEndpoint(
  { kube, namespace, log, events }: ControllerContext,
  tunnelEndpoint: string,
  parts: EndpointInformers | undefined,
  fabricNodes: Informer<FabricNode>,
  nodes: Informer<Node>,
  signal: AbortSignal,
): Promise<void> {
  if (parts === undefined) return;
  let secret = parts.secret.list()[0];
  if (secret === undefined) {
    try {
      secret = await kube.create(newEndpointSecret(namespace, tunnelEndpoint), signal, { fieldManager });
      log.info('created a key for a tunnel endpoint', { tunnelEndpoint });
    } catch (error) {
      // The cache is stale; the pending watch event triggers another reconcile.
      if (isAlreadyExists(error)) return;
      throw error;
    }
  }
  let publicKey: string;
  try {
    ({ publicKey } = readTunnelKey(secretText(secret, 'privateKey') ?? ''));
  } catch (error) {
    events.emit(
      secret,
      'Warning',
      'InvalidEndpointKey',
      `privateKey: ${messageOf(error)}; delete this Secret, and the controller creates a new one`,
    );
    return;
  }
  if (secret.metadata.annotations?.[publicKeyAnnotation] !== publicKey) {
    const ref = { kind: kind.secret, namespace, name: secrets.tunnelEndpoint(tunnelEndpoint) };
    await kube.patch(
      ref,
      { metadata: { annotations: { [publicKeyAnnotation]: publicKey } } },
      { type: 'merge', fieldManager },
      signal,
    );
  }
  const service = parts.service.list()[0];
  const wanted = endpointServiceObject(namespace, tunnelEndpoint, publicKey, service);
  if (service?.metadata.annotations?.[publicKeyAnnotation] !== publicKey || !hasPort(service)) {
    await kube.apply(wanted, { fieldManager }, signal);
  }
  // Traffic goes to a node once it is assigned the endpoint and reports that it holds it.
  const holder = fabricNodes.list().find((node) => node.spec.tunnelEndpoint === tunnelEndpoint);
  const node = holder && nodes.byKey(holder.metadata.name);
  const address = node && internalAddress(node);
  const endpoints = endpointSliceObject(
    namespace,
    tunnelEndpoint,
    holder && address ? { node: holder.metadata.name, address } : undefined,
  );
  const present = parts.endpoints.list()[0];
  const differs = stableText(pick(present)) !== stableText(pick(endpoints));
  if (differs) await kube.apply(endpoints, { fieldManager }, signal);
}

const hasPort = (service: Service) =>
  service.spec?.ports?.some((port) => port.name === 'tunnel' && port.protocol === 'UDP') ?? false;

function pick(slice: (AnyObject & Partial<EndpointSlice>) | undefined): unknown {
  return slice && [slice.endpoints ?? [], slice.ports ?? [], slice.addressType];
}
