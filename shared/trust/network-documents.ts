/**
 * The transport form of network documents: the JSON text in base64url, and an Ed25519 signature over exactly that text. No
 * canonical form of JSON is needed, and fields unknown to a version stay as they were signed.
 */
import type { SignedDocument } from '../api/clusters.ts';
import { networkDocument, understood, type NetworkDocument } from '../wire/network-document.ts';
import { verifySignature, type ClusterKey } from './cluster-key.ts';
import { bytesOf, concatenate, fromBase64URL, textOf, toBase64URL } from './encoding.ts';
import { followSuccessions } from './key-succession.ts';

/** Separates signatures over documents from all others of the cluster key. */
const CONTEXT = bytesOf('hawser network document v1\0');
/** The limit of the schema `signedDocument`. */
const PAYLOAD_LIMIT = 65_536;

export type NetworkDocumentProblem =
  'TooLarge' | 'BadSignature' | 'Malformed' | 'OtherSender' | 'OtherRecipient' | 'NotUnderstood';

/** Why a signed document is refused. */
export class NetworkDocumentError extends Error {
  override readonly name = 'NetworkDocumentError';
  readonly reason: NetworkDocumentProblem;
  /** Path of the invalid field, as in `tunnel endpoints.0.publicKey`; only for Malformed. */
  readonly field: string | undefined;
  constructor(reason: NetworkDocumentProblem, message: string, field?: string) {
    super(message);
    this.reason = reason;
    this.field = field;
  }
}

/** Signs a document with its sender's cluster key. Throws ZodError for an invalid one, NetworkDocumentError for a too large one. */
export function signNetworkDocument(document: NetworkDocument, key: ClusterKey): SignedDocument {
  const payload = toBase64URL(bytesOf(JSON.stringify(networkDocument.parse(document))));
  if (payload.length > PAYLOAD_LIMIT)
    throw new NetworkDocumentError(
      'TooLarge',
      `the network document has ${payload.length} characters; at most ${PAYLOAD_LIMIT} are allowed`,
    );
  return { payload, signature: toBase64URL(key.sign(signedBytes(payload))) };
}

export interface DocumentExpectation {
  /** The sender's cluster key, base64. */
  publicKey: string;
  /** Cluster ID of the sender. */
  sender: string;
  /** Cluster ID of the reader. */
  recipient: string;
}

/**
 * Verifies, parses and validates a document: signed by the expected key, or by the one to which its successions lead (see
 * `followSuccessions`). The caller compares the generation (`supersedes`). Throws NetworkDocumentError.
 */
export function openNetworkDocument(signed: SignedDocument, expected: DocumentExpectation): NetworkDocument {
  if (signed.payload.length > PAYLOAD_LIMIT)
    throw new NetworkDocumentError(
      'TooLarge',
      `the network document has ${signed.payload.length} characters; at most ${PAYLOAD_LIMIT} are allowed`,
    );
  const key = followSuccessions(expected.publicKey, expected.sender, signed.successions);
  if (!verifySignature(key, signedBytes(signed.payload), signatureOf(signed)))
    throw new NetworkDocumentError(
      'BadSignature',
      `the network document is not signed by the cluster key of ${expected.sender}`,
    );
  const document = parsePayload(signed);
  if (document.clusterID !== expected.sender)
    throw new NetworkDocumentError(
      'OtherSender',
      `the network document was issued by another cluster than ${expected.sender}`,
    );
  if (document.recipient !== expected.recipient)
    throw new NetworkDocumentError(
      'OtherRecipient',
      `the network document of ${expected.sender} is not addressed to ${expected.recipient}`,
    );
  const unknown = document.requires.filter((word) => !understood.includes(word));
  if (unknown.length > 0)
    throw new NetworkDocumentError(
      'NotUnderstood',
      `the network document of ${expected.sender} requires ${unknown.map((word) => JSON.stringify(word)).join(', ')}, which this version does not support; upgrade Hawser on this cluster`,
    );
  return document;
}

/** Whether a document replaces the stored one; generations only grow. */
export function supersedes(document: Pick<NetworkDocument, 'generation'>, held: number | undefined): boolean {
  return held === undefined || document.generation > held;
}

/**
 * Parses a document whose signature was verified before it was stored in this cluster's own API. Throws NetworkDocumentError
 * (Malformed).
 */
export function readStoredDocument(signed: SignedDocument): NetworkDocument {
  return parsePayload(signed);
}

function parsePayload(signed: SignedDocument): NetworkDocument {
  let value: unknown;
  try {
    value = JSON.parse(textOf(fromBase64URL(signed.payload)));
  } catch {
    throw new NetworkDocumentError('Malformed', 'the network document is not JSON in base64url');
  }
  const parsed = networkDocument.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const field = issue?.path.map(String).join('.');
  throw new NetworkDocumentError(
    'Malformed',
    `the network document’s field ${field ? JSON.stringify(field) : '(whole)'} is not valid: ${issue?.message ?? ''}`,
    field,
  );
}

function signatureOf(signed: SignedDocument): Uint8Array {
  try {
    return fromBase64URL(signed.signature);
  } catch {
    return new Uint8Array(0);
  }
}

function signedBytes(payload: string): Uint8Array {
  return concatenate(CONTEXT, bytesOf(payload));
}
