/** The pre-shared keys of all tunnels, derived anew from the cluster key and both sides' salts. */
import type { RemoteCluster } from '../../shared/api/clusters.ts';
import { ClusterKey } from '../../shared/trust/cluster-key.ts';
import { derivePresharedKey, presharedKeyRevision } from '../../shared/trust/preshared-key.ts';
import type { Secret } from '../kube/index.ts';
import { secretText } from './node-key.ts';
import { readDocuments } from './remote-documents.ts';

/** This cluster's half. */
export interface LocalIdentity {
  clusterID: string;
  key: ClusterKey;
}

/** From Secret `hawser-cluster-key`; undefined while it is not there or not whole. */
export function readLocalIdentity(secret: Secret | undefined): LocalIdentity | undefined {
  const clusterID = secretText(secret, 'clusterID');
  const privateKey = secretText(secret, 'privateKey');
  if (clusterID === undefined || privateKey === undefined) return undefined;
  try {
    return { clusterID, key: ClusterKey.fromPrivateKey(privateKey) };
  } catch {
    return undefined;
  }
}

/** Public name of the key with a remote; empty while one of the salts is missing. */
export function keyRevision(identity: LocalIdentity | undefined, remote: RemoteCluster): string {
  const sides = identity && sidesOf(identity, remote);
  if (identity === undefined || sides === undefined) return '';
  const { local, other } = sides;
  return presharedKeyRevision({ ...local, publicKey: identity.key.publicKey }, other);
}

function sidesOf(identity: LocalIdentity, remote: RemoteCluster) {
  const { remote: document, ownSalt } = readDocuments(remote, identity.clusterID);
  if (document === undefined || ownSalt === undefined) return undefined;
  return {
    local: { clusterID: identity.clusterID, salt: ownSalt },
    other: { clusterID: remote.spec.clusterID, publicKey: remote.spec.publicKey, salt: document.salt },
  };
}

/** Derives keys, each once: a derivation is a scalar multiplication, and documents change seldom. */
export class KeyStore {
  readonly #derived = new Map<
    string,
    { remote: RemoteCluster; ownKey: string; revision: string; text: string }
  >();

  /** Remote cluster → 32 bytes in base64, for those whose salts are both known. */
  derive(identity: LocalIdentity, remotes: readonly RemoteCluster[]): Map<string, string> {
    const result = new Map<string, string>();
    const ownKey = identity.key.publicKey;
    for (const remote of remotes) {
      const id = remote.spec.clusterID;
      let entry = this.#derived.get(id);
      if (entry?.remote !== remote || entry.ownKey !== ownKey) {
        const sides = sidesOf(identity, remote);
        if (sides === undefined) continue;
        const revision = keyRevision(identity, remote);
        let text = entry?.revision === revision ? entry.text : undefined;
        if (text === undefined) {
          const key = derivePresharedKey(identity.key, sides.local, sides.other);
          text = Buffer.from(key).toString('base64');
          key.fill(0);
        }
        entry = { remote, ownKey, revision, text };
        this.#derived.set(id, entry);
      }
      result.set(id, entry.text);
    }
    for (const id of this.#derived.keys()) if (!result.has(id)) this.#derived.delete(id);
    return result;
  }
}
