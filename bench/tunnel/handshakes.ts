/**
 * How many handshakes a second a device answers: initiations of many peers, made beforehand, are sent so that a few are always
 * on their way (too few to make a device defend itself with cookies), and its responses counted.
 */
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';

import { encodeKey } from '../../daemon/wireguard/keys.ts';
import { clamped, publicKeyOf } from '../../daemon/wireguard/primitives.ts';
import type { Contestant } from './contestants.ts';
import type { Figures } from './measure.ts';

/** A device takes an initiation of one peer every 50 ms at most; so many peers that this doesn't count. */
const PEERS = 256;
const ROUNDS = 8;
const program = fileURLToPath(new URL('handshake-sender.ts', import.meta.url));

export interface SenderTask {
  publicKey: string;
  endpoint: { address: string; port: number };
  /** In base64. */
  privateKeys: readonly string[];
  rounds: number;
}

export async function handshakes(contestant: Contestant): Promise<Figures> {
  const { handshakes: target } = contestant;
  if (target === undefined) return {};
  const privateKeys = Array.from({ length: PEERS }, () => clamped(Uint8Array.from(randomBytes(32))));
  const publicKeys = privateKeys.map((key) => encodeKey(publicKeyOf(key)));
  await target.addPeers(publicKeys);
  try {
    const task: SenderTask = {
      publicKey: target.publicKey,
      endpoint: target.endpoint,
      privateKeys: privateKeys.map((key) => encodeKey(key)),
      rounds: ROUNDS,
    };
    // Keys of a benchmark are no secrets.
    const output = await contestant.run(process.execPath, [program, JSON.stringify(task)], 60);
    return { 'handshakes/s': Number(output) };
  } finally {
    await target.removePeers(publicKeys);
  }
}
