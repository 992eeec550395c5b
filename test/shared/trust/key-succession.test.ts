import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { maximumSuccessions } from '../../../shared/api/clusters.ts';
import { signNetworkDocument, openNetworkDocument } from '../../../shared/trust/network-documents.ts';
import {
  followSuccessions,
  signSuccession,
  succeededKeys,
  withSuccession,
} from '../../../shared/trust/key-succession.ts';
import { keyOf } from './keys.ts';

const at = '2026-01-01T00:00:00Z';
const step = (from: number, to: number, more: object = {}, by = from) =>
  signSuccession(
    { clusterID: 'rome', oldKey: keyOf(from).publicKey, newKey: keyOf(to).publicKey, at, ...more },
    keyOf(by),
  );
const follow = (known: number, ...successions: ReturnType<typeof step>[]) =>
  followSuccessions(keyOf(known).publicKey, 'rome', successions);
const key = (number: number) => keyOf(number).publicKey;

test('a chain of statements leads from each of its keys to the last', () => {
  const chain = [step(1, 2), step(2, 3), step(3, 4)];
  assert.equal(
    [1, 2, 3, 4].map((known) => follow(known, ...chain)),
    [4, 4, 4, 4].map(key),
  );
  assert.is(follow(9, ...chain), key(9), 'who knows none of them stays where it is');
  assert.equal(succeededKeys(chain), [1, 2, 3].map(key));
});

test('only statements signed by the old key for this cluster count', () => {
  assert.is(followSuccessions(key(1), 'milan', [step(1, 2)]), key(1));
  assert.is(follow(1, step(1, 2, { clusterID: 'milan' })), key(1));
  const forged = { ...step(3, 2, { oldKey: key(3) }), payload: step(1, 2).payload };
  assert.is(follow(1, forged), key(1));
  assert.is(follow(1, { payload: '?', signature: '?' }, step(1, 2)), key(2));
  assert.is(follow(1, step(2, 3), step(1, 2)), key(2), 'in their order alone');
  assert.is(follow(1, step(1, 2, { newKey: Buffer.alloc(32).toString('base64') })), key(1));
  assert.is(followSuccessions(key(1), 'rome', undefined), key(1));
  assert.throws(() => step(1, 2, {}, 3), RangeError);
});

test('the oldest statements are dropped, and a chain has a maximum length', () => {
  let chain: ReturnType<typeof step>[] = [];
  for (let from = 1; from <= maximumSuccessions + 1; from++)
    chain = withSuccession(chain, step(from, from + 1));
  assert.is(chain.length, maximumSuccessions);
  assert.is(follow(1, ...chain), key(1));
  assert.is(follow(2, ...chain), key(maximumSuccessions + 2));
});

test('a document signed by a successor is valid for a verifier with the former key', () => {
  const document = {
    version: 1 as const,
    clusterID: 'rome',
    recipient: 'milan',
    generation: 1,
    requires: [],
    podCIDRs: ['10.0.0.0/16'],
    externalCIDR: '100.64.0.0/20',
    mtu: 1420,
    tunnelEndpoints: [],
    remaps: [],
    salt: Buffer.alloc(32, 1).toString('base64'),
    acknowledges: 0,
  };
  const signed = { ...signNetworkDocument(document, keyOf(2)), successions: [step(1, 2)] };
  const expected = { sender: 'rome', recipient: 'milan' };
  assert.is(openNetworkDocument(signed, { ...expected, publicKey: key(1) }).generation, 1);
  assert.is(openNetworkDocument(signed, { ...expected, publicKey: key(2) }).generation, 1);
  assert.throws(() => openNetworkDocument(signed, { ...expected, publicKey: key(3) }), /not signed/);
  const byTheOld = { ...signNetworkDocument(document, keyOf(1)), successions: [step(1, 2)] };
  assert.throws(() => openNetworkDocument(byTheOld, { ...expected, publicKey: key(1) }), /not signed/);
});

test.run();
