/**
 * Lists in pages, with limits per page and for the total (Kubernetes API concepts, "Retrieving large results sets in chunks").
 */
import { UnreachableError, isTooLarge } from './errors.ts';
import { collectionPath, type AnyObject, type KindRef } from './refs.ts';
import { query, type Requests } from './requests.ts';

/** Selects objects of a kind. */
export interface Selection {
  /** Absent: all namespaces. */
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
}

export interface ListOptions extends Selection {
  /** Maximum number of objects, in the API server's order. Default: all. */
  atMost?: number;
}

export interface ObjectList<T> {
  items: T[];
  /** The version at which a watch continues. */
  resourceVersion: string;
}

export interface ListBounds {
  /** Largest single object, like any response. */
  maximumBytes: number;
  /** Largest page; if a page is larger, fewer objects are requested. */
  maximumPageBytes: number;
  /** Largest list, all pages together. */
  maximumListBytes: number;
}

interface Page<T> {
  metadata: { resourceVersion: string; continue?: string };
  items: T[] | null;
}

const pageSize = 500;

/** Reads a complete list. */
export async function listAll<T extends AnyObject>(
  requests: Requests,
  kind: KindRef<T>,
  { namespace, atMost = Infinity, ...selectors }: ListOptions,
  { maximumBytes, maximumPageBytes, maximumListBytes }: ListBounds,
  signal: AbortSignal,
): Promise<ObjectList<T>> {
  const items: T[] = [];
  const collection = collectionPath(kind, namespace);
  const what = `LIST ${collection}`;
  let bytes = 0;
  let most = pageSize;
  for (let token: string | undefined; ;) {
    const limit = Math.min(most, atMost - items.length);
    const parameters = { ...selectors, limit: String(limit), continue: token };
    let page: Page<T>;
    try {
      // A single object may be as large as any response.
      const bound = limit === 1 ? maximumBytes : maximumPageBytes;
      const answer = await requests.ask('GET', collection + query(parameters), {}, signal, bound);
      page = answer.value as Page<T>;
      bytes += answer.bytes;
    } catch (error) {
      if (!isTooLarge(error) || limit === 1) throw error;
      // A few large objects must not prevent reading the others: request fewer at a time, down to one.
      most = Math.floor(limit / 2);
      continue;
    }
    // Each page is bounded; bound their total too.
    if (bytes > maximumListBytes)
      throw new UnreachableError(what, 'TOO_LARGE', `a list of more than ${maximumListBytes} bytes`);
    for (const item of page.items ?? []) {
      // Items of Kubernetes' own kinds lack kind and apiVersion; a caller with only the plural cannot supply them either.
      if (kind.kind !== '') Object.assign(item, { apiVersion: kind.apiVersion, kind: kind.kind });
      items.push(item);
    }
    token = page.metadata.continue;
    if (token && items.length < atMost) continue;
    // The server may ignore limits.
    return { items: items.slice(0, atMost), resourceVersion: page.metadata.resourceVersion };
  }
}
