/** `hawser peer --in-band`: starts a peering where only a tunnel endpoint is reachable. */
import type { RemoteCluster } from '../../shared/api/clusters.ts';
import type { KubernetesObject } from '../../shared/api/meta.ts';
import { apiVersion } from '../../shared/api/meta.ts';
import type { IncomingPeering, OutgoingPeering } from '../../shared/api/peerings.ts';
import { findCondition } from '../../shared/conditions.ts';
import { labels, nodeName, peeringFinalizer, peeringName, secrets } from '../../shared/names.ts';
import { text, type Invocation } from '../command.ts';
import { CommandError, UsageError } from '../exit.ts';
import { issueToken } from '../issue-token.ts';
import { core, hawser, withKubeAt } from '../kube.ts';
import { followPeering } from '../peering-progress.ts';
import { printFacts } from '../output.ts';
import { timeoutOf, waitUntil } from '../wait.ts';
import { endpointOf, providerOf, remoteOf, withSides, type Sides } from './sides.ts';
import { endOpening, openTunnel, steps } from './tunnel.ts';
import { requestsOf } from './requests.ts';

export const inBandSeconds = 120;
/** How long to wait for the removal of a former peering. */
const previousSeconds = 45;
const takeBackMilliseconds = 5000;

interface TokenSecret extends KubernetesObject {
  type: string;
  stringData: { token: string };
}

export async function peerInBand(invocation: Invocation, peering: string): Promise<void> {
  if (invocation.arguments.length > 0) {
    throw new UsageError(
      '--in-band takes no token: the provider issues one on request of this command (--remote-context)',
    );
  }
  const endpoints = {
    provider: endpointOf(invocation, 'endpoint'),
    consumer: endpointOf(invocation, 'consumer-endpoint'),
  };
  const seconds = timeoutOf(invocation, inBandSeconds);
  if (seconds === 0) {
    throw new UsageError(
      '--timeout 0: must be positive with --in-band, since this command itself exchanges the network documents',
    );
  }
  await withSides(invocation, async (sides) => {
    const { consumer, provider } = sides;
    const name = peeringName(provider.clusterID, peering);
    const { terminal } = invocation;
    const startedAt = invocation.now();
    terminal.log(`Peering ${consumer.clusterID} with ${provider.clusterID}, in-band`);
    await refuseOutOfBand(sides);
    const existing = await awaitFormer(invocation, sides, name, peering);
    await openTunnel(invocation, sides, requestsOf(sides, endpoints, invocation.now()), {
      seconds,
      startedAt,
      advice: `One side must reach the other’s tunnel endpoint over UDP (--endpoint, --consumer-endpoint). Run the command again to continue; otherwise its objects are removed after 15 minutes.`,
    });
    if (needsToken(existing)) await handOver(invocation, sides, peering, existing);
    terminal.step('done', `OutgoingPeering ${name} created`, invocation.now() - startedAt);
    const ready = await followPeering(invocation, consumer.kube, name, {
      startedAt,
      seconds,
      reported: [steps.established, steps.pathVerified],
    });
    await endOpening(sides);
    const facts = {
      peering: name,
      provider: provider.clusterID,
      controlPlane: 'InBand',
      node: ready.spec.nodeName,
      seconds: (invocation.now() - startedAt) / 1000,
    };
    await printFacts(
      invocation,
      facts,
      (each) =>
        `Ready: ${each.provider} is available as node ${each.node}. Next: hawser offload namespace NAME`,
    );
  });
}

/** Reasons of IdentityValid that only a new token resolves. */
const spent = new Set(['TokenRefused', 'TokenInvalid', 'TokenMissing', 'PeeringEnded', 'KeyMismatch']);

/** Not where a token of an earlier run is still pending or was redeemed. */
function needsToken(existing: OutgoingPeering | undefined): boolean {
  if (existing === undefined) return true;
  const identity = findCondition(existing.status?.conditions, 'IdentityValid');
  return identity?.status === 'False' && spent.has(identity.reason);
}

async function refuseOutOfBand({ consumer, provider }: Sides): Promise<void> {
  const known = await remoteOf(consumer, provider);
  if (known?.spec.controlPlane !== 'OutOfBand' || known.spec.gatewayURL === undefined) return;
  throw new CommandError(
    `this cluster is already peered with ${provider.clusterID} out-of-band (API gateway ${known.spec.gatewayURL}); run "hawser unpeer ${provider.clusterID}" first`,
  );
}

/** The existing peering of that name; waits for one that is being removed, on both sides. */
async function awaitFormer(
  invocation: Invocation,
  { consumer, provider }: Sides,
  name: string,
  peering: string,
): Promise<OutgoingPeering | undefined> {
  const there = peeringName(consumer.clusterID, peering);
  return waitUntil(
    invocation,
    { seconds: previousSeconds, advice: `See "hawser status ${name}" in both clusters.` },
    async () => {
      const [outgoing, incoming] = await Promise.all([
        consumer.kube.get<OutgoingPeering>(hawser('outgoingpeerings'), name),
        provider.kube.get<IncomingPeering>(hawser('incomingpeerings'), there),
      ]);
      if (outgoing?.metadata.deletionTimestamp !== undefined)
        return { waitingFor: `the removal of the former peering ${name} at the consumer` };
      if (incoming?.metadata.deletionTimestamp !== undefined)
        return { waitingFor: `the removal of the former peering ${there} at the provider` };
      return { done: outgoing };
    },
  );
}

/** Passes the provider's token to the consumer's controller, which continues without this command. */
async function handOver(
  invocation: Invocation,
  sides: Sides,
  peering: string,
  existing: OutgoingPeering | undefined,
): Promise<void> {
  const { consumer, provider } = sides;
  const remote = await remoteOf(consumer, provider);
  if (remote?.metadata.uid === undefined) {
    throw new CommandError(
      `RemoteCluster ${provider.clusterID} was deleted while this command ran; run it again`,
    );
  }
  const { object, token } = await issueToken(invocation, provider.kube, provider.status, {
    consumer: consumer.clusterID,
    inBand: true,
    issuedBy: `hawser peer --in-band, context ${provider.kube.context}`,
  });
  try {
    await writeToken(invocation, sides, peering, existing, remote, token);
  } catch (error) {
    await takeBack(invocation, object.metadata.name);
    throw error;
  }
}

/** Deletes a token that was not handed over. If this fails too, the token expires. */
async function takeBack(invocation: Invocation, name: string): Promise<void> {
  const signal = AbortSignal.timeout(takeBackMilliseconds);
  await withKubeAt({ ...invocation, signal }, providerOf(invocation), (kube) =>
    kube.remove(hawser('peeringtokens', kube.namespace), name),
  ).catch(() => undefined);
}

async function writeToken(
  invocation: Invocation,
  { consumer, provider }: Sides,
  peering: string,
  existing: OutgoingPeering | undefined,
  remote: RemoteCluster,
  token: string,
): Promise<void> {
  const name = peeringName(provider.clusterID, peering);
  const belongs = { [labels.managedBy]: 'hawser-cli', [labels.remoteCluster]: provider.clusterID };
  const { namespace } = consumer.kube;
  await consumer.kube.apply<TokenSecret>(core('secrets', namespace), {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name: secrets.inBandToken,
      namespace,
      labels: { ...belongs, [labels.peering]: name },
      // If the attempt is abandoned, it is garbage-collected with the RemoteCluster.
      ownerReferences: [
        { apiVersion, kind: 'RemoteCluster', name: remote.metadata.name, uid: remote.metadata.uid ?? '' },
      ],
    },
    type: 'Opaque',
    stringData: { token },
  });
  const peerings = hawser('outgoingpeerings');
  if (existing !== undefined) {
    await consumer.kube.patch(peerings, name, { spec: { tokenSecretName: secrets.inBandToken } });
    return;
  }
  await consumer.kube.create<OutgoingPeering>(peerings, {
    apiVersion,
    kind: 'OutgoingPeering',
    // Set at creation: if it is deleted before the controller has seen it, its dependants must still be removed.
    metadata: { name, labels: belongs, finalizers: [peeringFinalizer] },
    spec: {
      remoteCluster: provider.clusterID,
      peering,
      tokenSecretName: secrets.inBandToken,
      nodeName: text(invocation, 'node') ?? nodeName(provider.clusterID, peering),
      desired: 'Active',
    },
  });
}
