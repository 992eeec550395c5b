/** Reading Hawser's objects: what every command begins with. */
import type { LocalCluster } from '../shared/api/clusters.ts';
import type { IncomingPeering, OutgoingPeering } from '../shared/api/peerings.ts';
import { CommandError, UsageError } from './exit.ts';
import { hawser, type Kube } from './kube.ts';

/** LocalCluster `self`. Throws a CommandError that names how to install Hawser where it is not installed. */
export async function localCluster(kube: Kube): Promise<LocalCluster> {
  const self = await kube.get<LocalCluster>(hawser('localclusters'), 'self');
  if (self === undefined) {
    throw new CommandError(
      `Hawser is not installed in the cluster of context "${kube.context}"; install the chart first ("hawser install" prints the commands)`,
    );
  }
  return self;
}

/** The peering with that name, or the only one with that remote cluster. Throws UsageError if there are several. */
export function choosePeering<T extends OutgoingPeering | IncomingPeering>(
  peerings: readonly T[],
  reference: string,
): T | undefined {
  const exact = peerings.find(({ metadata }) => metadata.name === reference);
  if (exact !== undefined) return exact;
  const same = peerings.filter(({ spec }) => spec.remoteCluster === reference);
  if (same.length > 1) {
    const names = same.map(({ metadata }) => metadata.name).join(', ');
    throw new UsageError(`${reference} has several peerings; name one of them: ${names}`);
  }
  return same[0];
}

type Named = { readonly metadata: { readonly name: string } };
const namesOf = (objects: readonly Named[]): string =>
  objects.map(({ metadata }) => metadata.name).join(', ') || 'none';

/** The error for a reference that names no peering of this cluster. */
export function peeringNotFound(reference: string, peerings: readonly Named[]): CommandError {
  return new CommandError(`peering "${reference}" not found (existing: ${namesOf(peerings)})`);
}

/** The same for one direction; `opposite`: the peering that the reference names in the other direction. */
export function directedPeeringNotFound(
  reference: string,
  incoming: boolean,
  peerings: readonly Named[],
  opposite: Named | undefined,
): CommandError {
  const [here, there] = incoming ? ['incoming', 'outgoing'] : ['outgoing', 'incoming'];
  const hint =
    opposite === undefined
      ? `(existing: ${namesOf(peerings)})`
      : `but an ${there} peering exists: ${incoming ? 'omit' : 'add'} --incoming`;
  return new CommandError(
    `${here} peering "${reference}" not found${opposite === undefined ? ' ' : ', '}${hint}`,
  );
}
