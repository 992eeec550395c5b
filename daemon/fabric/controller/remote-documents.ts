/** The contents of both network documents of a pair of clusters, as far as the fabric needs them. */
import type { RemoteCluster } from '../../../shared/api/clusters.ts';
import { openDocument, readStored } from '../../../shared/trust/documents-cache.ts';
import { NetworkDocumentError } from '../../../shared/trust/network-documents.ts';
import type { NetworkDocument } from '../../../shared/wire/network-document.ts';

export interface Documents {
  /** The remote's document, verified again here, since all routes follow from it. */
  remote?: NetworkDocument;
  /** Why there is no usable document. */
  problem?: string;
  /** The document that this cluster declares to that remote. */
  own?: NetworkDocument;
}

/** Reads both documents; never throws for their contents. */
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
