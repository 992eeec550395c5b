/** Which peerings keep a RemoteCluster. Pure. */
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
