/** The cluster's key and ID, which are created once at the first start. */
import { randomBytes } from 'node:crypto';
import type { SignedText } from '../../shared/api/clusters.ts';
import { labels, secrets } from '../../shared/names.ts';
import { ClusterKey } from '../../shared/trust/cluster-key.ts';
import { signSuccession, withSuccession } from '../../shared/trust/key-succession.ts';
import type { KubeClient } from '../../shared/kube/client.ts';
import { isAlreadyExists } from '../../shared/kube/errors.ts';
import { kind, type Ref } from '../../shared/kube/refs.ts';
import type { Secret } from '../../shared/kube/types.ts';
import { readIdentity, type LocalIdentity } from '../peers/local-identity.ts';
import { fieldManager } from './names.ts';

/** RFC 4648, section 6, in lower case: valid in a DNS label, and without digits that resemble letters (0, 1, 8, 9). */
const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
const suffixLength = 6;
const defaultName = 'cluster';

/** A new ID: the name, a dash, and 30 random bits. */
export function newClusterID(name: string | undefined, random: (length: number) => Uint8Array): string {
  const beginning = (name ?? defaultName).slice(0, 33).replace(/-+$/, '') || defaultName;
  const suffix = [...random(suffixLength)].map((byte) => alphabet[byte % alphabet.length]).join('');
  return `${beginning}-${suffix}`;
}

/**
 * Replaces the current key by a new one, with a statement signed by the old one, in one write. `identity` is updated once
 * that is stored.
 */
export async function succeedKey(
  kube: Pick<KubeClient, 'get' | 'replace'>,
  namespace: string,
  identity: LocalIdentity,
  generation: number,
  now: number,
  signal: AbortSignal,
  random: (length: number) => Uint8Array = randomBytes,
): Promise<void> {
  const present = await kube.get({ kind: kind.secret, namespace, name: secrets.clusterKey }, signal);
  if (present === undefined) throw new Error(`Secret ${namespace}/${secrets.clusterKey} is gone`);
  const stored = readIdentity(present);
  let next = stored;
  if (stored.generation < generation) {
    const key = ClusterKey.generate(random);
    const statement = signSuccession(
      {
        clusterID: stored.clusterID,
        oldKey: stored.key.publicKey,
        newKey: key.publicKey,
        at: new Date(now).toISOString(),
      },
      stored.key,
    );
    const successions = withSuccession(stored.successions, statement);
    next = { clusterID: stored.clusterID, key, successions, generation };
    const encode = (text: string) => Buffer.from(text).toString('base64');
    // With the resource version that was read: of two concurrent writers, one fails and starts again from the other's key.
    await kube.replace(
      {
        ...present,
        data: {
          ...present.data,
          privateKey: encode(key.exportPrivateKey()),
          publicKey: encode(key.publicKey),
          successions: encode(JSON.stringify(successions)),
          generation: encode(String(generation)),
        },
      },
      { fieldManager },
      signal,
    );
  }
  identity.key = next.key;
  identity.successions = next.successions;
  identity.generation = next.generation;
}

/** A signed text for peers, which may know an older key. */
export function withSuccessions<T extends object>(
  signed: T,
  { successions }: Pick<LocalIdentity, 'successions'>,
): T & { successions?: SignedText[] } {
  return successions.length === 0 ? signed : { ...signed, successions: [...successions] };
}

/**
 * Reads the identity, or creates one. Of two concurrent creations the API server accepts one. `known`: the ID that this
 * cluster had before its key was lost; it keeps the ID, but its peers must be peered with again.
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
