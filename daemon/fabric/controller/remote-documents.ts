/** What the two network documents of a pair of clusters say, as far as the fabric needs it. */
import type { RemoteCluster } from '../../../shared/api/clusters.ts';
import { openDocument, readStored } from '../../../shared/trust/documents-cache.ts';
import { NetworkDocumentError } from '../../../shared/trust/network-documents.ts';
import type { NetworkDocument } from '../../../shared/wire/network-document.ts';

export interface Documents {
  /** The remote's; checked again here, since everything that is routed follows from it. */
  remote?: NetworkDocument;
  /** Why there is none. */
  problem?: string;
  /** What this cluster declares to that remote. */
  own?: NetworkDocument;
}

/** Reads both; never throws for what they contain. */
export function readDocuments(remote: RemoteCluster, localID: string): Documents {
  const { networkDocument, publicKey, clusterID } = remote.spec;
  const own = readStored(remote.status?.localDocument);
  const result: Documents = own === undefined ? {} : { own };
  if (networkDocument === undefined) return result;
  try {
    result.remote = openDocument(networkDocument, { publicKey, sender: clusterID, recipient: localID });
  } catch (error) {
    if (!(error instanceof NetworkDocumentError) && !(error instanceof RangeError)) throw error;
    result.problem = error.message;
  }
  return result;
}
