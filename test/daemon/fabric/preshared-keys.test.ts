/** Two clusters that rotate their cluster keys: when each changes the pre-shared key of their tunnel. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { KeyStore } from '../../../daemon/fabric/controller/key-store.ts';
import { chooseKey } from '../../../daemon/fabric/controller/preshared-keys.ts';
import { composeDocument } from '../../../daemon/peering/compose-document.ts';
import { readStored } from '../../../shared/trust/documents-cache.ts';
import type { RemoteCluster, SignedText } from '../../../shared/api/clusters.ts';
import type { ClusterKey } from '../../../shared/trust/cluster-key.ts';
import { followSuccessions, signSuccession } from '../../../shared/trust/key-succession.ts';
import { signNetworkDocument } from '../../../shared/trust/network-documents.ts';
import { keyOf } from '../../shared/trust/keys.ts';

/** One of the two clusters, with what its API stores about the other. */
class Side {
  readonly id: string;
  key: ClusterKey;
  successions: SignedText[] = [];
  remote: RemoteCluster;
  presharedKey: string | undefined;
  readonly #store = new KeyStore();

  constructor(id: string, key: ClusterKey, other: string, otherKey: string) {
    this.id = id;
    this.key = key;
    this.remote = {
      apiVersion: 'hawser.dev/v1alpha1',
      kind: 'RemoteCluster',
      metadata: { name: other },
      spec: { clusterID: other, publicKey: otherKey, controlPlane: 'OutOfBand' },
    };
  }

  rotate(next: ClusterKey): void {
    const statement = {
      clusterID: this.id,
      oldKey: this.key.publicKey,
      newKey: next.publicKey,
      at: '2026-01-01T00:00:00Z',
    };
    this.successions.push(signSuccession(statement, this.key));
    this.key = next;
  }

  /** Does one reconciliation of the controller. */
  reconcile(now: number): void {
    const { spec, status } = this.remote;
    const publicKey = followSuccessions(spec.publicKey, spec.clusterID, spec.networkDocument?.successions);
    const theirs = readStored(spec.networkDocument);
    const composed = composeDocument({
      local: {
        clusterID: this.id,
        podCIDRs: ['10.1.0.0/16'],
        externalCIDR: '100.64.0.0/20',
        tunnelEndpoints: [],
      },
      publicKey: this.key.publicKey,
      recipient: spec.clusterID,
      previous: readStored(status?.localDocument),
      remote: theirs,
      tunnel: undefined,
      offer: {},
      newSalt: () => Buffer.alloc(32, this.id).toString('base64'),
      now,
    });
    if (!('document' in composed)) throw new Error(composed.waitingFor);
    const localDocument = {
      ...signNetworkDocument(composed.document, this.key),
      ...(this.successions.length > 0 && { successions: [...this.successions] }),
    };
    this.remote = {
      ...this.remote,
      spec: { ...spec, publicKey },
      status: { localDocument, acknowledgedGeneration: theirs?.acknowledges ?? 0 },
    };
    const identity = { clusterID: this.id, key: this.key };
    const derived = this.#store.derive(identity, [this.remote]).get(spec.clusterID);
    this.presharedKey = chooseKey(identity, this.remote, derived, this.presharedKey);
  }

  hear(other: Side): void {
    const networkDocument = other.remote.status?.localDocument;
    if (networkDocument !== undefined)
      this.remote = { ...this.remote, spec: { ...this.remote.spec, networkDocument } };
  }
}

function pair(): [Side, Side] {
  const [a, b] = [keyOf(1), keyOf(2)];
  return [new Side('rome', a, 'milan', b.publicKey), new Side('milan', b, 'rome', a.publicKey)];
}

function settle(one: Side, other: Side): void {
  for (let round = 0; round < 8; round++) {
    one.reconcile(round);
    other.hear(one);
    other.reconcile(round);
    one.hear(other);
  }
}

test('the first pre-shared key exists as soon as both salts are known', () => {
  const [rome, milan] = pair();
  rome.reconcile(0);
  assert.is(rome.presharedKey, undefined);
  settle(rome, milan);
  assert.ok(rome.presharedKey);
  assert.is(rome.presharedKey, milan.presharedKey);
});

test('after a key succession the old pre-shared key stays until the other side has the new cluster key', () => {
  const [rome, milan] = pair();
  settle(rome, milan);
  const before = rome.presharedKey;
  rome.rotate(keyOf(3));
  for (let round = 0; round < 3; round++) rome.reconcile(100);
  assert.is(rome.presharedKey, before, 'neither side knows yet');
  milan.hear(rome);
  milan.reconcile(101);
  assert.is(milan.remote.spec.publicKey, keyOf(3).publicKey);
  assert.is.not(milan.presharedKey, before, 'who learns it has both halves');
  assert.is(rome.presharedKey, before);
  rome.hear(milan);
  rome.reconcile(102);
  assert.is(rome.presharedKey, milan.presharedKey, 'one message later both have the new one');
});

test('simultaneous successions converge in any order, also while the other side is unreachable', () => {
  for (const order of [0, 1]) {
    const [rome, milan] = pair();
    settle(rome, milan);
    const before = rome.presharedKey;
    rome.rotate(keyOf(3));
    milan.rotate(keyOf(4));
    const [first, second] = order === 0 ? [rome, milan] : [milan, rome];
    first.reconcile(100);
    second.reconcile(100);
    assert.equal([first.presharedKey, second.presharedKey], [before, before]);
    settle(first, second);
    assert.is(first.presharedKey, second.presharedKey);
    assert.is.not(first.presharedKey, before);
    first.rotate(keyOf(5));
    first.rotate(keyOf(6));
    settle(second, first);
    assert.is(first.presharedKey, second.presharedKey);
    assert.is(second.remote.spec.publicKey, keyOf(6).publicKey);
  }
});

test('a pre-shared key that can no longer be derived stays', () => {
  const [rome] = pair();
  const identity = { clusterID: 'rome', key: keyOf(1) };
  assert.is(chooseKey(identity, rome.remote, undefined, 'in use'), 'in use');
  assert.is(chooseKey(identity, rome.remote, 'derived', undefined), 'derived');
  assert.is(chooseKey(identity, rome.remote, undefined, undefined), undefined);
});

test.run();
