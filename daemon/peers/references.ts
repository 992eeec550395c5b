/** Which objects still need a RemoteCluster and its tunnel. Pure. */
import type { RemoteCluster } from '../../shared/api/clusters.ts';
import type { IncomingPeering, OutgoingPeering } from '../../shared/api/peerings.ts';

/**
 * Whether no other peering needs the RemoteCluster. `except`: UID of the peering that is being deleted.
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

/** How long a tunnel is still kept open for an expected peering, in milliseconds; 0 if it is not. */
export function openingMilliseconds(remote: RemoteCluster | undefined, now: number): number {
  const until = Date.parse(remote?.spec.keepTunnelUntil ?? '');
  return until > now ? until - now : 0;
}
