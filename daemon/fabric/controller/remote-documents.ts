/** What the two network documents of a pair of clusters say, as far as the fabric needs it. */
import type { RemoteCluster } from '../../../shared/api/clusters.ts';
import {
  NetworkDocumentError,
  openNetworkDocument,
  readStoredDocument,
} from '../../../shared/trust/network-documents.ts';
import type { NetworkDocument } from '../../../shared/wire/network-document.ts';

export interface Documents {
  /** The remote's; checked again here, since everything that is routed follows from it. */
  remote?: NetworkDocument;
  /** Why there is none. */
  problem?: string;
  /** What this cluster declares to that remote. */
  own?: NetworkDocument;
}

interface Known {
  /** All that the documents were read from. */
  from: readonly (string | undefined)[];
  documents: Documents;
}

/** By both IDs. A signature is verified once: the object is read anew at every change of anything in it. */
const known = new Map<string, Known>();
/** More than any cluster has; beyond it all are read anew. */
const mostKnown = 4096;

/** Reads both; never throws for what they contain. */
export function readDocuments(remote: RemoteCluster, localID: string): Documents {
  const { networkDocument, publicKey, clusterID } = remote.spec;
  const own = remote.status?.localDocument;
  const pair = `${localID} ${clusterID}`;
  const from = [
    publicKey,
    networkDocument?.payload,
    networkDocument?.signature,
    own?.payload,
    own?.signature,
  ];
  const before = known.get(pair);
  if (before?.from.every((part, index) => part === from[index]) === true) return before.documents;
  const documents = read(remote, localID);
  if (known.size >= mostKnown) known.clear();
  known.set(pair, { from, documents });
  return documents;
}

function read(remote: RemoteCluster, localID: string): Documents {
  const result: Documents = {};
  const { networkDocument, publicKey, clusterID } = remote.spec;
  const own = remote.status?.localDocument;
  try {
    if (networkDocument !== undefined) {
      result.remote = openNetworkDocument(networkDocument, {
        publicKey,
        sender: clusterID,
        recipient: localID,
      });
    }
  } catch (error) {
    if (!(error instanceof NetworkDocumentError) && !(error instanceof RangeError)) throw error;
    result.problem = error.message;
  }
  try {
    if (own !== undefined) result.own = readStoredDocument(own);
  } catch (error) {
    if (!(error instanceof NetworkDocumentError)) throw error;
  }
  return result;
}
