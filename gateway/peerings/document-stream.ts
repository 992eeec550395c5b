/**
 * Server-sent events (WHATWG HTML, section 9.2) of this cluster's network document for one remote: the whole document per
 * event, the newest one only, so that a slow reader costs no memory.
 */
import type { RemoteCluster, SignedDocument } from '../../shared/api/clusters.ts';
import type { IncomingPeering } from '../../shared/api/peerings.ts';
import { Problem } from '../../shared/errors.ts';
import { peeringName } from '../../shared/names.ts';
import { bytesOf } from '../../shared/trust/encoding.ts';
import type { Dependencies } from '../http/context.ts';
import type { Shares } from '../http/shares.ts';
import { generationOf } from './remote-clusters.ts';

/** Counts a stream of `clusterID` until the result is called. Throws Problem when there are enough. */
function openStream(streams: Shares, clusterID: string): () => void {
  const close = streams.take(clusterID);
  if (close !== undefined) return close;
  throw new Problem(
    'overloaded',
    `${clusterID} already has ${streams.of(clusterID)} open event streams, of ${streams.total} in all. Close some.`,
    { retryAfterSeconds: 10 },
  );
}

export interface StreamOptions {
  remote: RemoteCluster;
  peering: string;
  /** Generation of the document that the client already has. */
  lastEventID: string | undefined;
  /** Ends with the connection. */
  signal: AbortSignal;
}

/** A stream that ends with the peering, a succession of the remote's key, or its maximum duration. */
export function documentStream(
  dependencies: Dependencies,
  streams: Shares,
  options: StreamOptions,
): ReadableStream<Uint8Array> {
  const { clusterID, publicKey } = options.remote.spec;
  const close = openStream(streams, clusterID);
  const { keepAliveMilliseconds, streamMilliseconds } = dependencies.limits;
  const state = { sent: options.lastEventID, ended: undefined as string | undefined, over: false };
  let document: SignedDocument | undefined;
  let wake = () => {};
  const end = (reason: string) => {
    state.ended ??= reason;
    wake();
  };
  const onRemote = (object: RemoteCluster | undefined) => {
    // A succession of its key: it connects again with the new one.
    if (object !== undefined && object.spec.publicKey !== publicKey) state.over = true;
    if (object === undefined) end('The provider no longer knows this cluster.');
    document = object?.status?.localDocument;
    wake();
  };
  let peeringUID: string | undefined;
  const onPeering = (object: IncomingPeering | undefined) => {
    peeringUID ??= object?.metadata.uid;
    if (
      object === undefined ||
      object.metadata.deletionTimestamp !== undefined ||
      object.metadata.uid !== peeringUID
    )
      end('The provider ended the peering.');
  };
  const name = peeringName(clusterID, options.peering);
  const unsubscribe = [
    dependencies.remoteClusters.subscribe(clusterID, onRemote),
    dependencies.incomingPeerings.subscribe(name, onPeering),
  ];
  // The client reconnects unless it received the end of the peering.
  const finish = () => {
    state.over = true;
    wake();
  };
  const lifetime = setTimeout(finish, streamMilliseconds);
  const stop = () => {
    clearTimeout(lifetime);
    dependencies.stopping.removeEventListener('abort', finish);
    for (const each of unsubscribe) each();
    close();
    wake();
  };
  options.signal.addEventListener('abort', stop, { once: true });
  dependencies.stopping.addEventListener('abort', finish);
  // The cache may be older than the object that the caller has just read.
  document = options.remote.status?.localDocument;
  const current = dependencies.remoteClusters.get(clusterID);
  if (current !== undefined) onRemote(current);
  return new ReadableStream<Uint8Array>(
    {
      start: (controller) => controller.enqueue(bytesOf(': hawser\n\n')),
      pull: async (controller) => {
        for (;;) {
          if (options.signal.aborted || state.over) {
            controller.close();
            stop();
            return;
          }
          if (state.ended !== undefined) {
            controller.enqueue(event('ended', undefined, { reason: state.ended }));
            controller.close();
            stop();
            return;
          }
          const id = document === undefined ? undefined : String(generationOf(document) ?? 0);
          if (document !== undefined && id !== undefined && id !== state.sent) {
            state.sent = id;
            controller.enqueue(event('parameters', id, { networkDocument: document }));
            return;
          }
          if (!(await woken(keepAliveMilliseconds))) {
            controller.enqueue(bytesOf(': still here\n\n'));
            return;
          }
        }
      },
      cancel: stop,
    },
    { highWaterMark: 1 },
  );

  /** True after an event, false after the timeout. */
  function woken(milliseconds: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        wake = () => {};
        resolve(false);
      }, milliseconds);
      wake = () => {
        clearTimeout(timer);
        wake = () => {};
        resolve(true);
      };
    });
  }
}

function event(name: string, id: string | undefined, data: unknown): Uint8Array {
  return bytesOf(`event: ${name}\n${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`);
}
