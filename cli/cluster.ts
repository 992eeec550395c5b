/** Reading Hawser's objects: what every command begins with. */
import type { LocalCluster } from '../shared/api/clusters.ts';
import type { IncomingPeering, OutgoingPeering } from '../shared/api/peerings.ts';
import { CommandError, UsageError } from './exit.ts';
import { hawser, type Kube } from './kube.ts';

/** LocalCluster `self`. Throws a CommandError that says how to install Hawser, or what it still waits for. */
export async function localCluster(kube: Kube): Promise<LocalCluster> {
  const self = await kube.get<LocalCluster>(hawser('localclusters'), 'self');
  if (self === undefined) {
    throw new CommandError(
      `Hawser is not installed in the cluster of context "${kube.context}": install the chart first (hawser install shows how)`,
    );
  }
  return self;
}

/** One peering among many, by its name, or by the remote's ID if that has only one. Throws UsageError. */
export function choosePeering<T extends OutgoingPeering | IncomingPeering>(
  peerings: readonly T[],
  wanted: string,
): T | undefined {
  const exact = peerings.find(({ metadata }) => metadata.name === wanted);
  if (exact !== undefined) return exact;
  const same = peerings.filter(({ spec }) => spec.remoteCluster === wanted);
  if (same.length > 1) {
    const names = same.map(({ metadata }) => metadata.name).join(', ');
    throw new UsageError(`there are several peerings with ${wanted}; name one of ${names}`);
  }
  return same[0];
}
