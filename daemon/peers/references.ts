/** What keeps a RemoteCluster and its tunnel. Pure. */
import type { RemoteCluster } from '../../shared/api/clusters.ts';
import type { IncomingPeering, OutgoingPeering } from '../../shared/api/peerings.ts';

/**
 * True when no peering but the one named needs the RemoteCluster. `except`: UID of the peering that is going.
 */
export function isUnreferenced(
  remoteCluster: string,
  peerings: readonly (OutgoingPeering | IncomingPeering)[],
  except: string | undefined,
): boolean {
  return !peerings.some(
    (peering) => peering.spec.remoteCluster === remoteCluster && peering.metadata.uid !== except,
  );
}

/** How long a tunnel is kept open for a peering that is still to come, milliseconds from now; 0: no longer, or never was. */
export function openingMilliseconds(remote: RemoteCluster | undefined, now: number): number {
  const until = Date.parse(remote?.spec.keepTunnelUntil ?? '');
  return until > now ? until - now : 0;
}
