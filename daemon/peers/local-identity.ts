/** This cluster’s identity, from Secret `hawser-cluster-key`. */
import { keySuccessions, type SignedText } from '../../shared/api/clusters.ts';
import { clusterID as clusterIDSchema } from '../../shared/api/meta.ts';
import type { Secret } from '../../shared/kube/types.ts';
import { ClusterKey } from '../../shared/trust/cluster-key.ts';

export interface LocalIdentity {
  readonly clusterID: string;
  /** The current key, which a succession replaces. */
  key: ClusterKey;
  /** The signed succession statements that lead to this key. */
  successions: readonly SignedText[];
  /** Starts at 1; grows with each requested succession. */
  generation: number;
}

/** Parses the Secret. Throws Error when it is not a valid identity; the message never repeats its content. */
export function readIdentity(secret: Secret): LocalIdentity {
  const value = (name: string) => Buffer.from(secret.data?.[name] ?? '', 'base64').toString('utf8');
  const where = `Secret ${secret.metadata.namespace}/${secret.metadata.name}`;
  const parsed = clusterIDSchema.safeParse(value('clusterID'));
  if (!parsed.success)
    throw new Error(`${where}: clusterID is not a valid cluster ID; restore the Secret from a backup`);
  let key: ClusterKey;
  try {
    key = ClusterKey.fromPrivateKey(value('privateKey').trim());
  } catch {
    throw new Error(`${where}: privateKey is not a valid key; restore the Secret from a backup`);
  }
  if (value('publicKey') !== '' && value('publicKey').trim() !== key.publicKey) {
    throw new Error(`${where}: publicKey does not belong to privateKey; restore the Secret from a backup`);
  }
  return {
    clusterID: parsed.data,
    key,
    successions: readSuccessions(value('successions')),
    generation: Math.max(1, Math.floor(Number(value('generation'))) || 1),
  };
}

/** Lost statements do not invalidate the key: remotes that know it still accept it. */
function readSuccessions(text: string): SignedText[] {
  try {
    const parsed = keySuccessions.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : [];
  } catch {
    return [];
  }
}
