/**
 * A cache of verified network documents. Objects are processed at every change of any field, and their documents change rarely:
 * verifying and parsing happens only once.
 */
import type { SignedDocument } from '../api/clusters.ts';
import type { NetworkDocument } from '../wire/network-document.ts';
import {
  NetworkDocumentError,
  openNetworkDocument,
  readStoredDocument,
  type DocumentExpectation,
} from './network-documents.ts';

interface Opened {
  /** All inputs of the result. */
  from: readonly string[];
  result: NetworkDocument | NetworkDocumentError;
}

/** By both cluster IDs: one document each, so that a remote with many documents takes no more memory. */
const opened = new Map<string, Opened>();
/** More than any cluster needs; beyond it the oldest entry is dropped. */
const mostOpened = 4096;

/** Like `openNetworkDocument`. */
export function openDocument(signed: SignedDocument, expected: DocumentExpectation): NetworkDocument {
  const pair = `${expected.recipient} ${expected.sender}`;
  const from = [
    expected.publicKey,
    signed.payload,
    signed.signature,
    ...(signed.successions ?? []).flatMap(({ payload, signature }) => [payload, signature]),
  ];
  let known = opened.get(pair);
  if (known?.from.length !== from.length || !known.from.every((part, index) => part === from[index])) {
    known = { from, result: attempt(signed, expected) };
    opened.delete(pair);
    opened.set(pair, known);
    if (opened.size > mostOpened) {
      const [oldest] = opened.keys();
      if (oldest !== undefined) opened.delete(oldest);
    }
  }
  if (known.result instanceof NetworkDocumentError) throw known.result;
  return known.result;
}

function attempt(
  signed: SignedDocument,
  expected: DocumentExpectation,
): NetworkDocument | NetworkDocumentError {
  try {
    return openNetworkDocument(signed, expected);
  } catch (error) {
    if (error instanceof NetworkDocumentError) return error;
    throw error;
  }
}

/** Objects of informers never change: a change replaces the object. */
const stored = new WeakMap<SignedDocument, NetworkDocument | null>();

/** A document that was verified before it was stored in this cluster's own API; undefined if missing or unreadable. */
export function readStored(signed: SignedDocument | undefined): NetworkDocument | undefined {
  if (signed === undefined) return undefined;
  let document = stored.get(signed);
  if (document === undefined) {
    document = parse(signed);
    stored.set(signed, document);
  }
  return document ?? undefined;
}

function parse(signed: SignedDocument): NetworkDocument | null {
  try {
    return readStoredDocument(signed);
  } catch {
    return null;
  }
}
