/**
 * Opening the tunnel of an in-band peering, or bringing one back: each side's RemoteCluster, each side's document carried
 * to the other, until both have verified the path. Each look reads the world anew, so that it may begin, end and begin
 * again anywhere.
 */
import type { RemoteCluster } from '../../shared/api/clusters.ts';
import type { Tunnel } from '../../shared/api/network.ts';
import { findCondition, isTrue } from '../../shared/conditions.ts';
import type { Invocation } from '../command.ts';
import { CommandError } from '../exit.ts';
import { hawser, KubeError } from '../kube.ts';
import { waitUntil, type Look } from '../wait.ts';
import { remoteOf, type Side, type Sides } from './sides.ts';
import {
  changesOf,
  isNewer,
  isSettled,
  leadsTo,
  newRemote,
  refusalOf,
  type Request,
  type Requests,
} from './requests.ts';

export interface Opening {
  seconds: number;
  begun: number;
  advice: string;
}

/** Rejects with what was waited for when the time is over, and with what a side refuses. */
export async function openTunnel(
  invocation: Invocation,
  sides: Sides,
  requests: Requests,
  { seconds, begun, advice }: Opening,
): Promise<void> {
  const said = new Set<string>();
  const say = (step: string) => {
    if (said.has(step)) return;
    said.add(step);
    invocation.terminal.step('done', step, invocation.now() - begun);
  };
  const { consumer, provider } = sides;
  await waitUntil<true>(invocation, { seconds, advice }, async () => {
    const [atConsumer, atProvider] = await Promise.all([
      ensureRemote(consumer, provider, requests.consumer),
      ensureRemote(provider, consumer, requests.provider),
    ]);
    if (atConsumer === undefined || atProvider === undefined) {
      return { waitingFor: 'both clusters to know each other' };
    }
    say('both clusters know each other’s ID and key');
    const carried = await Promise.all([
      carry(atProvider, consumer, atConsumer),
      carry(atConsumer, provider, atProvider),
    ]);
    for (const [side, remote] of [
      [consumer, atConsumer],
      [provider, atProvider],
    ] as const) {
      const refusal = refusalOf(remote);
      if (refusal !== undefined) throw new CommandError(`the ${side.name} refuses: ${refusal}`);
    }
    for (const [side, other, remote] of [
      [consumer, provider, atConsumer],
      [provider, consumer, atProvider],
    ] as const) {
      // Its controller takes it by what the document brings with it, and from nobody's hand.
      if (remote.spec.publicKey !== other.publicKey) {
        return { waitingFor: `the ${side.name} to take the new cluster key of ${other.clusterID}` };
      }
    }
    if (carried.includes(true) || !isSettled(atConsumer, atProvider)) {
      return { waitingFor: waitFor(atConsumer, atProvider, sides) };
    }
    say('network documents exchanged');
    return seeTunnels(sides, say);
  });
}

async function seeTunnels({ consumer, provider }: Sides, say: (step: string) => void): Promise<Look<true>> {
  const tunnelOf = (side: Side, other: Side) => side.kube.get<Tunnel>(hawser('tunnels'), other.clusterID);
  const tunnels = await Promise.all([tunnelOf(consumer, provider), tunnelOf(provider, consumer)]);
  const conditions = tunnels.map((tunnel) => tunnel?.status?.conditions);
  for (const [type, step, hint] of [
    ['Established', 'tunnel established', 'a gateway node to open the tunnel'],
    ['PathVerified', 'path verified by a probe through both translations', 'the answer to a probe'],
  ] as const) {
    for (const [index, side] of [consumer, provider].entries()) {
      if (isTrue(conditions[index], type)) continue;
      const message = findCondition(conditions[index], type)?.message ?? hint;
      return { waitingFor: `the ${side.name}: ${message}` };
    }
    say(step);
  }
  return { done: true };
}

/**
 * The peering stands, and keeps the tunnel from now on: what was opened for its start is not to outlive it. If this is never
 * reached, the time of the opening runs out.
 */
export async function endOpening({ consumer, provider }: Sides): Promise<void> {
  await Promise.all(
    (
      [
        [consumer, provider],
        [provider, consumer],
      ] as const
    ).map(async ([side, other]) => {
      try {
        await side.kube.patch(hawser('remoteclusters'), other.clusterID, { spec: { openUntil: null } });
      } catch (error) {
        if (!(error instanceof KubeError) || error.status !== 404) throw error;
      }
    }),
  );
}

/** Undefined: somebody was quicker, and the next look will see. */
async function ensureRemote(side: Side, other: Side, request: Request): Promise<RemoteCluster | undefined> {
  const found = await remoteOf(side, other);
  try {
    if (found === undefined) return await side.kube.create(hawser('remoteclusters'), newRemote(request));
    if (found.metadata.deletionTimestamp !== undefined) return undefined;
    if (!leadsTo(found, other)) {
      throw new CommandError(
        `the ${side.name} knows ${request.clusterID} by another cluster key than it has now: if it was made anew, end the peering (hawser unpeer ${request.clusterID}), delete that RemoteCluster in the ${side.name}, and peer again`,
      );
    }
    const changes = changesOf(request, found);
    if (changes === undefined) return found;
    return await side.kube.patch(hawser('remoteclusters'), request.clusterID, { spec: changes });
  } catch (error) {
    if (error instanceof KubeError && (error.status === 404 || error.status === 409)) return undefined;
    throw error;
  }
}

/** Brings what the one side declares to the other, if that is newer than what it holds. Says whether it was. */
async function carry(declaring: RemoteCluster, side: Side, holding: RemoteCluster): Promise<boolean> {
  const document = declaring.status?.localDocument;
  if (!isNewer(document, holding.spec.networkDocument)) return false;
  const { name, resourceVersion } = holding.metadata;
  try {
    await side.kube.patch(hawser('remoteclusters'), name, {
      metadata: { resourceVersion },
      spec: { networkDocument: document },
    });
  } catch (error) {
    // Its own controller may have had a newer one meanwhile; the next look will see.
    if (!(error instanceof KubeError) || (error.status !== 404 && error.status !== 409)) throw error;
  }
  return true;
}

function waitFor(
  atConsumer: RemoteCluster,
  atProvider: RemoteCluster,
  { consumer, provider }: Sides,
): string {
  for (const [side, remote] of [
    [consumer, atConsumer],
    [provider, atProvider],
  ] as const) {
    if (remote.status?.localDocument === undefined)
      return `the ${side.name}’s controller to declare its network`;
  }
  return `${consumer.clusterID} and ${provider.clusterID} to hold each other’s network documents`;
}
