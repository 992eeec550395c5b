/** The pre-shared keys of all tunnels, derived from the cluster key and both sides' salts. */
import type { RemoteCluster } from '../../../shared/api/clusters.ts';
import { keyInForce } from '../../../shared/trust/key-succession.ts';
import { derivePresharedKey, presharedKeyRevision } from '../../../shared/trust/preshared-key.ts';
import { contentGeneration } from '../../../shared/wire/network-document.ts';
import type { Secret } from '../../kube/index.ts';
import { readIdentity, type LocalIdentity } from '../../peers/local-identity.ts';
import { readDocuments } from './remote-documents.ts';

/** This cluster's half of the key derivation. */
export type KeyHolder = Pick<LocalIdentity, 'clusterID' | 'key'>;

/** Importing a key costs a scalar multiplication and happens at every change. Objects of informer caches are immutable. */
const identities = new WeakMap<Secret, LocalIdentity | null>();

/** Read from Secret `hawser-cluster-key`; undefined while it is missing or not valid, which peering/ reports. */
export function findIdentity(secret: Secret | undefined): LocalIdentity | undefined {
  if (secret === undefined) return undefined;
  let identity = identities.get(secret);
  if (identity === undefined) {
    try {
      identity = readIdentity(secret);
    } catch {
      identity = null;
    }
    identities.set(secret, identity);
  }
  return identity ?? undefined;
}

/** Public hash that names the key shared with a remote; empty while one of the salts is missing. */
export function keyRevision(identity: KeyHolder | undefined, remote: RemoteCluster): string {
  const sides = identity && sidesOf(identity, remote);
  if (identity === undefined || sides === undefined) return '';
  const { local, other } = sides;
  return presharedKeyRevision({ ...local, publicKey: identity.key.publicKey }, other);
}

/**
 * Whether the remote has confirmed our salt and our cluster key, from which it derives a new key. Until then the key in
 * use stays: handshakes with different keys fail, and the current session would expire without a successor.
 */
export function holdsOurHalf(identity: KeyHolder, remote: RemoteCluster): boolean {
  const { own } = readDocuments(remote, identity.clusterID);
  return own?.publicKey === identity.key.publicKey && ourDocumentHeld(remote, identity.clusterID);
}

/** Whether the remote has confirmed the document that this cluster declares to it now. */
export function ourDocumentHeld(remote: RemoteCluster, localID: string): boolean {
  const { own } = readDocuments(remote, localID);
  return own !== undefined && (remote.status?.acknowledgedGeneration ?? 0) >= contentGeneration(own);
}

function sidesOf(identity: KeyHolder, remote: RemoteCluster) {
  const { remote: document, own } = readDocuments(remote, identity.clusterID);
  if (document === undefined || own === undefined) return undefined;
  return {
    local: { clusterID: identity.clusterID, salt: own.salt },
    other: {
      clusterID: remote.spec.clusterID,
      publicKey: keyInForce(remote, remote.spec.networkDocument),
      salt: document.salt,
    },
  };
}

/** Derives each key once and caches it: a derivation costs a scalar multiplication, and documents rarely change. */
export class KeyStore {
  readonly #derived = new Map<
    string,
    { remote: RemoteCluster; ownKey: string; revision: string; text: string }
  >();

  /** Remote cluster → 32 bytes in base64, for remotes whose salts are both known. */
  derive(identity: KeyHolder, remotes: readonly RemoteCluster[]): Map<string, string> {
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
