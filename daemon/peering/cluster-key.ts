/** The cluster's key and ID: made once, at the first start, and read ever after. */
import { randomBytes } from 'node:crypto';
import { clusterID as clusterIDSchema } from '../../shared/api/meta.ts';
import { labels, secrets } from '../../shared/names.ts';
import { ClusterKey } from '../../shared/trust/cluster-key.ts';
import type { KubeClient } from '../kube/client.ts';
import { isAlreadyExists } from '../kube/errors.ts';
import { kind, type Ref } from '../kube/refs.ts';
import type { Secret } from '../kube/types.ts';
import { fieldManager } from './names.ts';

/** Who this cluster is. */
export interface LocalIdentity {
  clusterID: string;
  key: ClusterKey;
}

/** RFC 4648, section 6, in lower case: what a DNS label may hold, without letters that look alike (0, 1, 8, 9). */
const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
const suffixLength = 6;
const defaultName = 'cluster';

/** A new ID: the name, a dash, and 30 random bits. */
export function newClusterID(name: string | undefined, random: (length: number) => Uint8Array): string {
  const beginning = (name ?? defaultName).slice(0, 33).replace(/-+$/, '') || defaultName;
  const suffix = [...random(suffixLength)].map((byte) => alphabet[byte % alphabet.length]).join('');
  return `${beginning}-${suffix}`;
}

/** What the Secret holds. Throws Error when that is no identity; the message never repeats any of it. */
export function readIdentity(secret: Secret): LocalIdentity {
  const value = (name: string) => Buffer.from(secret.data?.[name] ?? '', 'base64').toString('utf8');
  const where = `Secret ${secret.metadata.namespace}/${secret.metadata.name}`;
  const parsed = clusterIDSchema.safeParse(value('clusterID'));
  if (!parsed.success)
    throw new Error(`${where}: clusterID is no cluster ID; restore the Secret from a backup`);
  let key: ClusterKey;
  try {
    key = ClusterKey.fromPrivateKey(value('privateKey').trim());
  } catch {
    throw new Error(`${where}: privateKey is no key; restore the Secret from a backup`);
  }
  if (value('publicKey') !== '' && value('publicKey').trim() !== key.publicKey) {
    throw new Error(`${where}: publicKey does not belong to privateKey; restore the Secret from a backup`);
  }
  return { clusterID: parsed.data, key };
}

/**
 * Reads the identity, or makes one. Of two who make one at once, the API server decides. `known`: the ID that this
 * cluster had when its key was lost; it keeps the ID, and its peers will want to be peered with anew.
 */
export async function ensureIdentity(
  kube: Pick<KubeClient, 'get' | 'create'>,
  namespace: string,
  { name, known }: { name: string | undefined; known: string | undefined },
  signal: AbortSignal,
  random: (length: number) => Uint8Array = randomBytes,
): Promise<LocalIdentity> {
  const ref: Ref<Secret> = { kind: kind.secret, namespace, name: secrets.clusterKey };
  const present = await kube.get(ref, signal);
  if (present !== undefined) return readIdentity(present);
  const key = ClusterKey.generate(random);
  const made: Secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: secrets.clusterKey, namespace, labels: { [labels.managedBy]: 'hawser' } },
    type: 'Opaque',
    immutable: true,
    stringData: {
      privateKey: key.exportPrivateKey(),
      publicKey: key.publicKey,
      clusterID: known ?? newClusterID(name, random),
    },
  };
  try {
    return readIdentity(await kube.create(made, signal, { fieldManager }));
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    const theirs = await kube.get(ref, signal);
    if (theirs === undefined) throw error;
    return readIdentity(theirs);
  }
}
