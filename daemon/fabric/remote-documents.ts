/** What the two network documents of a pair of clusters say, as far as the fabric needs it. */
import type { RemoteCluster } from '../../shared/api/clusters.ts';
import {
  NetworkDocumentError,
  openNetworkDocument,
  readStoredDocument,
} from '../../shared/trust/network-documents.ts';
import type { NetworkDocument } from '../../shared/wire/network-document.ts';

export interface Documents {
  /** The remote's; checked again here, since everything that is routed follows from it. */
  remote?: NetworkDocument;
  /** Why there is none. */
  problem?: string;
  /** This cluster's salt for that remote. */
  ownSalt?: string;
}

/** A signature is verified once for an object as it was read: it is asked for at every change of anything. */
const known = new WeakMap<RemoteCluster, { localID: string; documents: Documents }>();

/** Reads both; never throws for what they contain. The object must not change afterwards. */
export function readDocuments(remote: RemoteCluster, localID: string): Documents {
  const before = known.get(remote);
  if (before?.localID === localID) return before.documents;
  const documents = read(remote, localID);
  known.set(remote, { localID, documents });
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
    if (own !== undefined) result.ownSalt = readStoredDocument(own).salt;
  } catch (error) {
    if (!(error instanceof NetworkDocumentError)) throw error;
  }
  return result;
}
