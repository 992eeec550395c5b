/** Both sides of a peering at cluster level: this cluster's identity, the remotes', and the documents that they exchange. */
import { commonOptions, type ControllerContext } from '../kube/context.ts';
import { backoff, sleep } from '../../shared/time.ts';
import { readStored } from '../../shared/trust/documents-cache.ts';
import { from, runController, triggers, type ControllerOptions, type Source } from '../kube/controller.ts';
import { messageOf } from '../../shared/kube/errors.ts';
import { fromAspect } from '../kube/relevant-changes.ts';
import type { Informer } from '../../shared/kube/informer.ts';
import type { LocalIdentity } from '../peers/local-identity.ts';
import { ensureIdentity } from './cluster-key.ts';
import { reconcileLocalCluster } from './local-cluster.ts';
import { reconcileOutgoing } from './outgoing.ts';
import { reconcileProviderReport } from './provider-report.ts';
import { createProviders } from './providers.ts';
import { reconcileRemoteCluster, type Delivered, type RefusedDocuments } from './remote-clusters.ts';
import { createSessions } from './sessions.ts';
import { createCaches, type Caches } from './caches.ts';

/** Runs the peering feature until the signal is aborted. */
export async function runPeering(context: ControllerContext, signal: AbortSignal): Promise<void> {
  const caches = createCaches(context);
  const identity = await waitForIdentity(context, caches, signal);
  if (identity === undefined) return;
  const delivered: Delivered = new Map();
  const refused: RefusedDocuments = new Map();
  const providers = createProviders(identity, caches.gatewayOf, (remote) => {
    const document = caches.remotes.byKey(remote)?.status?.localDocument;
    // A document signed by the former key is not usable.
    return readStored(document)?.publicKey === identity.key.publicKey ? document : undefined;
  });
  const sessionChanges = triggers();
  const sessions = createSessions(
    context,
    caches,
    identity,
    providers,
    delivered,
    refused,
    (remote) => sessionChanges.trigger(remote),
    signal,
  );
  const run = (options: ControllerOptions) =>
    runController({ ...commonOptions(context), ...options }, signal);
  const self = () => ['self'];
  const everyRemote = () => caches.remotes.list().map((remote) => remote.metadata.name);
  const outgoingOf = (remote: string) =>
    caches.outgoing
      .list()
      .filter((peering) => peering.spec.remoteCluster === remote)
      .map((peering) => peering.metadata.name);
  const outgoingOfSession: Source = {
    subscribe: (enqueue) =>
      sessionChanges.subscribe((remote) => {
        for (const name of outgoingOf(remote)) enqueue(name);
      }),
    synced: () => Promise.resolve(),
  };
  try {
    await Promise.all([
      run({
        name: 'local-cluster',
        sources: [
          // Reconciled even if the object does not exist.
          {
            subscribe: (enqueue) => (enqueue('self'), () => {}),
            synced: (until) => caches.local.synced(until),
          },
          from(caches.local, self),
          // Nodes report every few minutes; only their ranges and addresses matter here.
          fromAspect(caches.nodes, ({ spec, status }) => [spec?.podCIDRs, status?.addresses], self),
          from(caches.serviceCIDRs, self),
          // The state of remap pools depends on these.
          fromAspect(caches.tunnels, ({ spec }) => spec.remaps, self),
          fromAspect(caches.fabricNodes, ({ status }) => status?.networks, self),
          from(caches.services, self),
          ...caches.apiServerSources.map((source) => from(source as Informer, self)),
          from(caches.ownSecrets, (secret) => (secret.type === 'kubernetes.io/tls' ? ['self'] : [])),
        ],
        reconcile: reconcileLocalCluster(context, caches, identity),
      }),
      run({
        name: 'remote-clusters',
        sources: [
          from(caches.remotes),
          from(caches.local, everyRemote),
          from(caches.authorities, everyRemote),
          fromAspect(
            caches.tunnels,
            ({ spec }) => spec,
            (tunnel) => [tunnel.metadata.name],
          ),
          from(caches.incoming, (peering) => [peering.spec.remoteCluster]),
          sessionChanges,
        ],
        reconcile: reconcileRemoteCluster(context, caches, identity, delivered, refused),
      }),
      run({
        name: 'outgoing-peerings',
        concurrency: 8,
        sources: [
          from(caches.outgoing),
          from(caches.remotes, (remote) => outgoingOf(remote.metadata.name)),
          // The address of an in-band provider, and whether it can be reached.
          fromAspect(
            caches.tunnels,
            ({ spec, status }) => [spec, status?.conditions],
            (tunnel) => outgoingOf(tunnel.metadata.name),
          ),
          from(caches.local, () => caches.outgoing.list().map((peering) => peering.metadata.name)),
          from(caches.ownSecrets, (secret) => peeringsOfSecret(caches, secret.metadata.name)),
          outgoingOfSession,
        ],
        reconcile: reconcileOutgoing(context, caches, identity, providers, sessions),
      }),
      run({
        name: 'provider-words',
        concurrency: 8,
        sources: [from(caches.outgoing), from(caches.remotes, (remote) => outgoingOf(remote.metadata.name))],
        reconcile: reconcileProviderReport(context, caches, providers),
      }),
    ]);
  } finally {
    providers.close();
  }
}

function peeringsOfSecret(caches: Caches, secretName: string): string[] {
  return caches.outgoing
    .list()
    .filter(
      (peering) =>
        peering.spec.tokenSecretName === secretName ||
        secretName === `hawser-identity-${peering.metadata.name}`,
    )
    .map((peering) => peering.metadata.name);
}

/** Loads the cluster's key and ID; retries without limit, since nothing works without them. */
async function waitForIdentity(
  context: ControllerContext,
  caches: Caches,
  signal: AbortSignal,
): Promise<LocalIdentity | undefined> {
  const { kube, namespace, log, clock } = context;
  for (let failures = 0; !signal.aborted; failures++) {
    try {
      await caches.local.synced(signal);
      const name = caches.local.byKey('self')?.spec.name ?? context.clusterName;
      // The chart's LocalCluster contains the name; wait briefly for it before creating an ID without one.
      if (name === undefined && caches.local.byKey('self') === undefined && failures < 3) {
        await sleep(500, signal, clock);
        continue;
      }
      const known = caches.local.byKey('self')?.status?.clusterID;
      const identity = await ensureIdentity(kube, namespace, { name, known }, signal);
      const before = caches.local.byKey('self')?.status?.publicKey;
      if (before !== undefined && before !== identity.key.publicKey) {
        log.warn(
          'the cluster key was replaced without a succession: remotes refuse it until they are peered again',
          {
            clusterID: identity.clusterID,
          },
        );
      }
      return identity;
    } catch (error) {
      if (signal.aborted) return undefined;
      log.error('no cluster key yet', { error: messageOf(error) });
    }
    await sleep(backoff(failures, { base: 250, most: 15_000 }), signal, clock);
  }
  return undefined;
}
