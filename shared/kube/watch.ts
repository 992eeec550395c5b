/** Watches: a stream of events, with limits of bytes and of silence. */
import { deadline } from '../time.ts';
import { readLines } from './body.ts';
import { KubeError, UnreachableError, asUnreachable, statusError, type StatusBody } from './errors.ts';
import type { Selection } from './lists.ts';
import { collectionPath, type AnyObject, type KindRef } from './refs.ts';
import { query, type Requests } from './requests.ts';

export interface WatchOptions extends Selection {
  resourceVersion: string;
  /** The server ends the watch after this time. */
  timeoutSeconds: number;
  /** The client ends it after this time without even a bookmark; the server sends one about once a minute. */
  idleTimeoutMilliseconds: number;
}

export interface WatchEvent<T> {
  type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  object: T;
}

/**
 * The events of a kind from a resource version on. Ends when the server ends the watch; an ERROR event is thrown as KubeError
 * (410: list again).
 */
export async function* watchEvents<T extends AnyObject>(
  { send, read }: Requests,
  kind: KindRef<T>,
  { namespace, timeoutSeconds, idleTimeoutMilliseconds, ...selectors }: WatchOptions,
  maximumBytes: number,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent<T>, void, void> {
  const collection = collectionPath(kind, namespace);
  const what = `WATCH ${collection}`;
  const parameters = {
    ...selectors,
    watch: '1',
    allowWatchBookmarks: 'true',
    timeoutSeconds: String(Math.ceil(timeoutSeconds)),
  };
  const response = await send('GET', collection + query(parameters), {}, signal);
  if (response.status !== 200) throw statusError(what, response, await read(response, 65_536, what, signal));
  using silence = deadline(signal, idleTimeoutMilliseconds, what);
  const silent = () =>
    response.cancel(
      signal.aborted
        ? (signal.reason as Error)
        : new UnreachableError(what, 'DEADLINE', `silent for ${idleTimeoutMilliseconds / 1000} s`),
    );
  silence.signal.addEventListener('abort', silent, { once: true });
  const onActivity = () => silence.restart(idleTimeoutMilliseconds);
  try {
    for await (const line of readLines(response.body, maximumBytes, what, onActivity))
      yield parseEvent<T>(line, what);
  } catch (error) {
    throw signal.aborted ? error : asUnreachable(what, error);
  } finally {
    response.cancel(new Error('the watch has ended'));
  }
}

function parseEvent<T>(line: string, what: string): WatchEvent<T> {
  let event: { type: string; object: T };
  try {
    event = JSON.parse(line) as { type: string; object: T };
  } catch (error) {
    throw new UnreachableError(what, 'MALFORMED', 'an event is no JSON', error);
  }
  if (event.type === 'ERROR') {
    const status = event.object as StatusBody;
    throw new KubeError(what, status.code ?? 500, status);
  }
  return event as WatchEvent<T>;
}
