/**
 * Handshakes per second that a device answers: sends precomputed initiations of many peers, keeps a few of them pending (too
 * few for the device's cookie defence), and counts the responses.
 */
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';

import { encodeKey } from '../../daemon/wireguard/keys.ts';
import { clamped, publicKeyOf } from '../../daemon/wireguard/primitives.ts';
import type { Contestant } from './contestants.ts';
import type { Figures } from './measure.ts';

/** A device accepts at most one initiation per peer every 50 ms; with this many peers that limit has no effect. */
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
    // Keys of a benchmark need no protection.
    const output = await contestant.run(process.execPath, [program, JSON.stringify(task)], 60);
    return { 'handshakes/s': Number(output) };
  } finally {
    await target.removePeers(publicKeys);
  }
}
