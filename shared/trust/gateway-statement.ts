/**
 * A cluster's statement about its API gateway's certificate, signed by its cluster key: clusters that know the key trust a new
 * certificate automatically, and an old statement never replaces a newer one.
 */
import { z } from 'zod';
import type { SignedDocument } from '../api/clusters.ts';
import { clusterID, dateTime, sha256Hex } from '../api/meta.ts';
import { verifySignature, type ClusterKey } from './cluster-key.ts';
import { bytesOf, concatenate, fromBase64URL, textOf, toBase64URL } from './encoding.ts';
import { followSuccessions } from './key-succession.ts';

const CONTEXT = bytesOf('hawser gateway certificate v1\0');

const statement = z.looseObject({
  clusterID,
  pin: sha256Hex,
  since: dateTime.describe('When this pin took the place of another; only a later one is taken'),
});
export type GatewayStatement = z.infer<typeof statement>;

export function signGatewayStatement(content: GatewayStatement, key: ClusterKey): SignedDocument {
  const payload = toBase64URL(bytesOf(JSON.stringify(statement.parse(content))));
  return { payload, signature: toBase64URL(key.sign(concatenate(CONTEXT, bytesOf(payload)))) };
}

/** The statement, if it is signed by the known cluster key or by one of its successors. Never throws. */
export function openGatewayStatement(
  signed: SignedDocument,
  sender: { clusterID: string; publicKey: string },
): GatewayStatement | undefined {
  try {
    const key = followSuccessions(sender.publicKey, sender.clusterID, signed.successions);
    const bytes = concatenate(CONTEXT, bytesOf(signed.payload));
    if (!verifySignature(key, bytes, fromBase64URL(signed.signature))) return undefined;
    const found = statement.safeParse(JSON.parse(textOf(fromBase64URL(signed.payload)))).data;
    return found?.clusterID === sender.clusterID ? found : undefined;
  } catch {
    return undefined;
  }
}
