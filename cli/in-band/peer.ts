/** `hawser peer --in-band`: the start of a peering of which only a tunnel endpoint is reachable. */
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
import { endOpening, openTunnel } from './tunnel.ts';
import { requestsOf } from './requests.ts';

export const inBandSeconds = 120;
/** A former peering that is on its way out. */
const previousSeconds = 45;
const takeBackMilliseconds = 5000;

interface TokenSecret extends KubernetesObject {
  type: string;
  stringData: { token: string };
}

export async function peerInBand(invocation: Invocation, peering: string): Promise<void> {
  if (invocation.arguments.length > 0) {
    throw new UsageError(
      'in-band no token is wanted: the command has the provider issue one (--remote-context)',
    );
  }
  const endpoints = {
    provider: endpointOf(invocation, 'endpoint'),
    consumer: endpointOf(invocation, 'consumer-endpoint'),
  };
  const seconds = timeoutOf(invocation, inBandSeconds);
  if (seconds === 0) {
    throw new UsageError(
      '--timeout 0: in-band the command itself carries what the two clusters tell each other',
    );
  }
  await withSides(invocation, async (sides) => {
    const { consumer, provider } = sides;
    const name = peeringName(provider.clusterID, peering);
    const { terminal } = invocation;
    const begun = invocation.now();
    terminal.say(`Peering ${consumer.clusterID} with ${provider.clusterID}, in-band`);
    await refuseOutOfBand(sides);
    const existing = await awaitFormer(invocation, sides, name, peering);
    await openTunnel(invocation, sides, requestsOf(sides, endpoints, invocation.now()), {
      seconds,
      begun,
      advice: `One side must reach the other’s tunnel endpoint by UDP (--endpoint, --consumer-endpoint). Run the command again to go on; what it made goes by itself in a quarter of an hour.`,
    });
    if (needsToken(existing)) await handOver(invocation, sides, peering, existing);
    terminal.step('done', `OutgoingPeering ${name} written`, invocation.now() - begun);
    const ready = await followPeering(invocation, consumer.kube, name, {
      begun,
      seconds,
      said: ['tunnel established', 'path verified by a probe through both translations'],
    });
    await endOpening(sides);
    const facts = {
      peering: name,
      provider: provider.clusterID,
      controlPlane: 'InBand',
      node: ready.spec.nodeName,
      seconds: (invocation.now() - begun) / 1000,
    };
    await printFacts(
      invocation,
      facts,
      (each) => `Ready: ${each.provider} is the node ${each.node}. Next: hawser offload namespace NAME`,
    );
  });
}

/** Reasons of IdentityValid after which only another token helps. */
const spent = new Set(['TokenRefused', 'TokenInvalid', 'TokenMissing', 'PeeringEnded', 'KeyMismatch']);

/** One that an earlier run handed over is still on its way, or has done its work. */
function needsToken(existing: OutgoingPeering | undefined): boolean {
  if (existing === undefined) return true;
  const identity = findCondition(existing.status?.conditions, 'IdentityValid');
  return identity?.status === 'False' && spent.has(identity.reason);
}

async function refuseOutOfBand({ consumer, provider }: Sides): Promise<void> {
  const known = await remoteOf(consumer, provider);
  if (known?.spec.controlPlane !== 'OutOfBand' || known.spec.gatewayURL === undefined) return;
  throw new CommandError(
    `${provider.clusterID} is peered with out of band (its gateway is ${known.spec.gatewayURL}): hawser unpeer ${provider.clusterID} first`,
  );
}

/** The peering of that name if there is one; waits for one that is on its way out, on both sides. */
async function awaitFormer(
  invocation: Invocation,
  { consumer, provider }: Sides,
  name: string,
  peering: string,
): Promise<OutgoingPeering | undefined> {
  const there = peeringName(consumer.clusterID, peering);
  return waitUntil(
    invocation,
    { seconds: previousSeconds, advice: `See hawser status ${name} in both clusters.` },
    async () => {
      const [outgoing, incoming] = await Promise.all([
        consumer.kube.get<OutgoingPeering>(hawser('outgoingpeerings'), name),
        provider.kube.get<IncomingPeering>(hawser('incomingpeerings'), there),
      ]);
      if (outgoing?.metadata.deletionTimestamp !== undefined)
        return { waitingFor: `the former peering ${name} to be gone from the consumer` };
      if (incoming?.metadata.deletionTimestamp !== undefined)
        return { waitingFor: `the former peering ${there} to be gone from the provider` };
      return { done: outgoing };
    },
  );
}

/** The provider's token goes to the consumer's controller; from then on nobody needs this command any more. */
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
      `RemoteCluster ${provider.clusterID} was deleted meanwhile; run the command again`,
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

/** A token that reached nobody is worth nothing to anybody. If this fails too, it expires. */
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
      // Whatever becomes of the attempt, it goes with what it is for.
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
    // From its first moment: removed before the controller had seen it, it would leave what hangs on it behind.
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
