/** Which tunnel key a node uses: its own, or that of the tunnel endpoint that it holds. */
import { secrets } from '../../shared/names.ts';
import { messageOf, type Secret } from '../kube/index.ts';
import { readTunnelKey, type TunnelKeyPair } from './tunnel-keys.ts';

export interface NodeKey {
  key: TunnelKeyPair;
  /** The tunnel endpoint whose key this is; absent for the node's own key. */
  tunnelEndpoint?: string;
  /** Why an assigned tunnel endpoint is not held. */
  waiting?: string;
}

/**
 * A node releases a tunnel endpoint as soon as it is no longer assigned. It takes an assigned one over once it has read the
 * key and everything else that a gateway node needs: before that it would drop packets of pods that it does not know.
 *
 * @param assigned tunnel endpoint in the spec of the node's FabricNode
 * @param secret the tunnel endpoint's Secret; undefined when it does not exist
 * @param synced whether the informers of a gateway node have synced
 */
export function chooseNodeKey(
  nodeKey: TunnelKeyPair,
  previous: NodeKey,
  assigned: string | undefined,
  secret: Secret | undefined,
  synced: boolean,
): NodeKey {
  if (assigned === undefined) return { key: nodeKey };
  const held = previous.tunnelEndpoint === assigned;
  if (!synced)
    return held ? previous : { key: nodeKey, waiting: 'reading the objects that a gateway node needs' };
  const text = secretText(secret, 'privateKey');
  // A deleted Secret does not cut the tunnels: the controller recreates it, or reassigns the tunnel endpoint.
  if (text === undefined)
    return held
      ? previous
      : { key: nodeKey, waiting: `Secret ${secrets.tunnelEndpoint(assigned)} holds no key` };
  try {
    return { key: readTunnelKey(text), tunnelEndpoint: assigned };
  } catch (error) {
    return held
      ? previous
      : { key: nodeKey, waiting: `Secret ${secrets.tunnelEndpoint(assigned)}: ${messageOf(error)}` };
  }
}

/** A value of a Secret as text. */
export function secretText(secret: Secret | undefined, name: string): string | undefined {
  const data = secret?.data?.[name];
  return data === undefined ? undefined : Buffer.from(data, 'base64').toString('utf8').trim();
}

/** `hawser-tunnel-keys`: remote cluster → 32 bytes in base64. Malformed entries are left out. */
export function readPresharedKeys(secret: Secret | undefined): Map<string, Uint8Array> {
  const result = new Map<string, Uint8Array>();
  for (const remoteCluster of Object.keys(secret?.data ?? {})) {
    const key = Buffer.from(secretText(secret, remoteCluster) ?? '', 'base64');
    if (key.length === 32) result.set(remoteCluster, Uint8Array.from(key));
  }
  return result;
}
