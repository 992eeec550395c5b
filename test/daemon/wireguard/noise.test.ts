import { suite } from 'uvu';
import * as assert from 'uvu/assert';

import {
  acceptInitiation,
  openInitiation,
  readResponse,
  writeInitiation,
  writeResponse,
} from '../../../daemon/wireguard/noise.ts';
import { diffieHellman, publicKeyOf, seal } from '../../../daemon/wireguard/primitives.ts';
import { fromHex, toHex } from './hex.ts';
import published from './vectors/noise-ikpsk2.json' with { type: 'json' };

const test = suite('noise');

function keysOf(hex: string) {
  const privateKey = fromHex(hex);
  return { privateKey, publicKey: publicKeyOf(privateKey) };
}

type Vector = (typeof published.vectors)[number];

function run(vector: Vector) {
  const initiator = keysOf(vector.initiatorStatic);
  const responder = keysOf(vector.responderStatic);
  const prologue = fromHex(vector.prologue);
  const presharedKey = fromHex(vector.presharedKey);
  const [first, second] = vector.messages;
  assert.ok(first && second);
  const shared = diffieHellman(initiator.privateKey, responder.publicKey);
  assert.ok(shared !== null);
  const written = writeInitiation({
    local: initiator,
    remoteStatic: responder.publicKey,
    staticStatic: shared,
    ephemeralPrivate: fromHex(vector.initiatorEphemeral),
    prologue,
    payload: fromHex(first.payload),
  });
  assert.ok(written !== null);
  const opened = openInitiation({ local: responder, prologue, message: written.message });
  assert.ok(opened !== null);
  const accepted = acceptInitiation(opened, shared);
  assert.ok(accepted !== null);
  const response = writeResponse({
    accepted,
    ephemeralPrivate: fromHex(vector.responderEphemeral),
    presharedKey,
    payload: fromHex(second.payload),
  });
  assert.ok(response !== null);
  return {
    vector,
    initiator,
    responder,
    prologue,
    presharedKey,
    shared,
    written,
    opened,
    accepted,
    response,
  };
}

test('published vectors give the same messages and both transport keys', () => {
  assert.is(published.vectors.length, 4);
  for (const vector of published.vectors) {
    const { written, initiator, opened, accepted, response, presharedKey } = run(vector);
    const [first, second, third, fourth] = vector.messages;
    assert.ok(first && second && third && fourth);
    assert.is(toHex(written.message), first.ciphertext);
    assert.is(toHex(opened.remoteStatic), toHex(initiator.publicKey));
    assert.is(toHex(accepted.payload), first.payload);
    assert.is(toHex(response.message), second.ciphertext);
    const read = readResponse({
      initiated: written.initiated,
      local: initiator,
      presharedKey,
      message: response.message,
    });
    assert.ok(read !== null);
    assert.is(toHex(read.payload), second.payload);
    assert.equal(read.keys, response.keys);
    const none = new Uint8Array(0);
    assert.is(toHex(seal(read.keys.initiatorToResponder, fromHex(third.payload), none)), third.ciphertext);
    assert.is(toHex(seal(read.keys.responderToInitiator, fromHex(fourth.payload), none)), fourth.ciphertext);
  }
});

test('a message with any flipped byte is refused, and a refused response changes no state', () => {
  const [vector] = published.vectors;
  assert.ok(vector);
  const { written, initiator, responder, prologue, presharedKey, shared, response } = run(vector);
  for (let position = 0; position < written.message.length; position++) {
    const forged = Uint8Array.from(written.message);
    forged[position] = (forged[position] ?? 0) ^ 0x40;
    const opened = openInitiation({ local: responder, prologue, message: forged });
    assert.ok(opened === null || acceptInitiation(opened, shared) === null, `initiation byte ${position}`);
  }
  for (let position = 0; position < response.message.length; position++) {
    const forged = Uint8Array.from(response.message);
    forged[position] = (forged[position] ?? 0) ^ 0x40;
    const read = readResponse({
      initiated: written.initiated,
      local: initiator,
      presharedKey,
      message: forged,
    });
    assert.is(read, null, `response byte ${position}`);
  }
  const genuine = { initiated: written.initiated, local: initiator, presharedKey, message: response.message };
  assert.ok(readResponse(genuine) !== null);
});

test('a message with another pre-shared key, prologue or static key is refused', () => {
  const [vector] = published.vectors;
  assert.ok(vector);
  const { written, initiator, responder, presharedKey, response } = run(vector);
  const other = keysOf('11'.repeat(32));
  const message = response.message;
  assert.is(
    readResponse({
      initiated: written.initiated,
      local: initiator,
      presharedKey: new Uint8Array(32),
      message,
    }),
    null,
  );
  assert.is(readResponse({ initiated: written.initiated, local: other, presharedKey, message }), null);
  const prologue = Uint8Array.of(1);
  assert.is(openInitiation({ local: responder, prologue, message: written.message }), null);
  assert.is(openInitiation({ local: other, prologue: new Uint8Array(0), message: written.message }), null);
});

test('a public key of low order is refused', () => {
  const local = keysOf('22'.repeat(32));
  const lowOrder = new Uint8Array(32);
  assert.is(
    writeInitiation({
      local,
      remoteStatic: lowOrder,
      staticStatic: new Uint8Array(32),
      ephemeralPrivate: fromHex('33'.repeat(32)),
      prologue: new Uint8Array(0),
      payload: new Uint8Array(12),
    }),
    null,
  );
  assert.is(
    openInitiation({ local, prologue: new Uint8Array(0), message: new Uint8Array(108) }),
    null,
    'an ephemeral of low order',
  );
  assert.is(openInitiation({ local, prologue: new Uint8Array(0), message: new Uint8Array(5) }), null);
});

test.run();
