/** Sends the initiations of `handshakes.ts` from inside a namespace, and prints the responses per second. */
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';

import { CookieGenerator } from '../../daemon/wireguard/cookie.ts';
import { PeerHandshake } from '../../daemon/wireguard/handshake.ts';
import { decodeKey } from '../../daemon/wireguard/keys.ts';
import { publicKeyOf } from '../../daemon/wireguard/primitives.ts';
import { TimestampSource } from '../../daemon/wireguard/tai64n.ts';
import type { SenderTask } from './handshakes.ts';

/** Maximum of unanswered initiations. */
const WINDOW = 32;
/** Milliseconds after which a missing response counts as lost. */
const PATIENCE = 200;
/** Timestamps must grow from round to round, and a device rounds ours down to 17 ms. */
const ROUND_MILLISECONDS = 100;
const RESPONSE = 2;

const task = JSON.parse(process.argv[2] ?? '') as SenderTask;
const remote = decodeKey(task.publicKey);
if (remote === null) throw new Error('the public key of the device is not 32 bytes in base64');
const random = (length: number): Uint8Array => Uint8Array.from(randomBytes(length));

const initiations: Uint8Array[] = [];
const senders = task.privateKeys.map((text) => {
  const privateKey = decodeKey(text) ?? new Uint8Array(32);
  const handshake = new PeerHandshake(remote);
  handshake.setLocal({ privateKey, publicKey: publicKeyOf(privateKey) });
  return { handshake, cookies: new CookieGenerator(remote), timestamps: new TimestampSource() };
});
const begun = Date.now();
for (let round = 0; round < task.rounds; round++)
  for (const [number, { handshake, cookies, timestamps }] of senders.entries()) {
    const timestamp = timestamps.next(begun + round * ROUND_MILLISECONDS);
    const message = handshake.initiate(initiations.length, timestamp, random);
    if (message === null) throw new Error(`no initiation of peer ${number}`);
    cookies.addMacs(message, 0);
    initiations.push(message);
  }

const socket = createSocket('udp4');
const { address, port } = task.endpoint;
let [next, waiting, answers, lastAt] = [0, 0, 0, 0];
const done = Promise.withResolvers<void>();
const fill = (): void => {
  while (waiting < WINDOW && next < initiations.length) {
    waiting++;
    socket.send(initiations[next++] ?? new Uint8Array(0), port, address);
  }
  if (next === initiations.length && waiting === 0) done.resolve();
};
socket.on('message', (message) => {
  lastAt = performance.now();
  if (message[0] !== RESPONSE) return;
  answers++;
  waiting = Math.max(0, waiting - 1);
  fill();
});
const startedAt = performance.now();
lastAt = startedAt;
fill();
const patience = setInterval(() => {
  if (performance.now() - lastAt < PATIENCE) return;
  // Pending initiations were lost or refused.
  lastAt = performance.now();
  waiting = 0;
  fill();
}, PATIENCE / 4);
await done.promise;
clearInterval(patience);
socket.close();
process.stdout.write(String(answers / ((lastAt - startedAt) / 1_000)));
