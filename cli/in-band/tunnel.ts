/**
 * Opens the tunnel of an in-band peering, or repairs it: writes each side's RemoteCluster and transfers each side's network
 * document to the other, until both have verified the path. Each look reads both clusters again, so that the command can be
 * interrupted and repeated at any point.
 */
import type { RemoteCluster } from '../../shared/api/clusters.ts';
import type { Tunnel } from '../../shared/api/network.ts';
import { findCondition, isTrue } from '../../shared/conditions.ts';
import { plainLine } from '../../shared/plain-text.ts';
import type { Invocation } from '../command.ts';
import { CommandError } from '../exit.ts';
import { answerOf, hawser } from '../kube.ts';
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
  startedAt: number;
  advice: string;
}

/** Steps that both openings and the controller report; `followPeering` skips those that were reported. */
export const steps = {
  established: 'tunnel established',
  pathVerified: 'path verified: a probe passed both address translations',
} as const;

/** Rejects at the deadline with what was waited for last, and when a side refuses. */
export async function openTunnel(
  invocation: Invocation,
  sides: Sides,
  requests: Requests,
  { seconds, startedAt, advice }: Opening,
): Promise<void> {
  const reported = new Set<string>();
  const report = (step: string) => {
    if (reported.has(step)) return;
    reported.add(step);
    invocation.terminal.step('done', step, invocation.now() - startedAt);
  };
  const { consumer, provider } = sides;
  await waitUntil<true>(invocation, { seconds, advice }, async () => {
    const [atConsumer, atProvider] = await Promise.all([
      ensureRemote(consumer, provider, requests.consumer),
      ensureRemote(provider, consumer, requests.provider),
    ]);
    if (atConsumer === undefined || atProvider === undefined) {
      return { waitingFor: 'both clusters to record each other' };
    }
    report('both clusters have recorded each other’s ID and key');
    const carried = await Promise.all([
      carry(atProvider, consumer, atConsumer),
      carry(atConsumer, provider, atProvider),
    ]);
    for (const [side, remote] of [
      [consumer, atConsumer],
      [provider, atProvider],
    ] as const) {
      const refusal = refusalOf(remote);
      if (refusal !== undefined) throw new CommandError(`the ${side.name} refuses: ${plainLine(refusal)}`);
    }
    for (const [side, other, remote] of [
      [consumer, provider, atConsumer],
      [provider, consumer, atProvider],
    ] as const) {
      // Only its controller accepts a new key, by the succession statements in the document.
      if (remote.spec.publicKey !== other.publicKey) {
        return { waitingFor: `the ${side.name} to accept the new cluster key of ${other.clusterID}` };
      }
    }
    if (carried.includes(true) || !isSettled(atConsumer, atProvider)) {
      return { waitingFor: waitFor(atConsumer, atProvider, sides) };
    }
    report('network documents exchanged');
    return checkTunnels(sides, report);
  });
}

async function checkTunnels(
  { consumer, provider }: Sides,
  report: (step: string) => void,
): Promise<Look<true>> {
  const tunnelOf = (side: Side, other: Side) => side.kube.get<Tunnel>(hawser('tunnels'), other.clusterID);
  const tunnels = await Promise.all([tunnelOf(consumer, provider), tunnelOf(provider, consumer)]);
  const conditions = tunnels.map((tunnel) => tunnel?.status?.conditions);
  for (const [type, step, hint] of [
    ['Established', steps.established, 'a gateway node to open the tunnel'],
    ['PathVerified', steps.pathVerified, 'the reply to a path probe'],
  ] as const) {
    for (const [index, side] of [consumer, provider].entries()) {
      if (isTrue(conditions[index], type)) continue;
      const message = findCondition(conditions[index], type)?.message ?? hint;
      return { waitingFor: `the ${side.name}: ${message}` };
    }
    report(step);
  }
  return { done: true };
}

/**
 * Clears the expiry of the opening: from now on the peering keeps the tunnel, and removes it when it ends. If this is never
 * reached, the opening expires.
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
        await side.kube.patch(hawser('remoteclusters'), other.clusterID, { spec: { keepTunnelUntil: null } });
      } catch (error) {
        if (answerOf(error)?.status !== 404) throw error;
      }
    }),
  );
}

/** Undefined: another writer was quicker, and the next look reads its result. */
async function ensureRemote(side: Side, other: Side, request: Request): Promise<RemoteCluster | undefined> {
  const found = await remoteOf(side, other);
  try {
    if (found === undefined) return await side.kube.create(hawser('remoteclusters'), newRemote(request));
    if (found.metadata.deletionTimestamp !== undefined) return undefined;
    if (!leadsTo(found, other)) {
      throw new CommandError(
        `the ${side.name} has recorded another cluster key for ${request.clusterID} than it has now; if Hawser was reinstalled there, run "hawser unpeer ${request.clusterID}", delete RemoteCluster ${request.clusterID} in the ${side.name}, and peer again`,
      );
    }
    const changes = changesOf(request, found);
    if (changes === undefined) return found;
    return await side.kube.patch(hawser('remoteclusters'), request.clusterID, { spec: changes });
  } catch (error) {
    if (isMissingOrTaken(error)) return undefined;
    throw error;
  }
}

/** Transfers what one side declares to the other, if it is newer than what that one has recorded. Returns whether it was. */
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
    // Its own controller may have recorded a newer one; the next look reads it.
    if (!isMissingOrTaken(error)) throw error;
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
  return `${consumer.clusterID} and ${provider.clusterID} to accept each other’s network documents`;
}

function isMissingOrTaken(error: unknown): boolean {
  return [404, 409].includes(answerOf(error)?.status ?? 0);
}
