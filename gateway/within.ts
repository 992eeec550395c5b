/**
 * A signal that is aborted with its parent or after a time, whichever comes first. Unlike what AbortSignal.any makes it is
 * held by its parent until it is disposed of, so that it can't be collected while somebody only waits for it.
 *
 *     using limited = within(signal, 10_000, 'no answer of the API server');
 *     await fetch(url, { signal: limited.signal });
 */
export interface Limited extends Disposable {
  signal: AbortSignal;
  /** Begins the time anew. */
  restart: (milliseconds: number) => void;
  /** Stops the time; the parent still counts. */
  pause: () => void;
}

/** `message` is the TimeoutError's. */
export function within(parent: AbortSignal, milliseconds: number, message: string): Limited {
  const controller = new AbortController();
  const end = () => controller.abort(parent.reason);
  const timeOut = () => controller.abort(new DOMException(message, 'TimeoutError'));
  let timer = setTimeout(timeOut, milliseconds);
  if (parent.aborted) end();
  else parent.addEventListener('abort', end, { once: true });
  return {
    signal: controller.signal,
    restart: (next) => {
      clearTimeout(timer);
      timer = setTimeout(timeOut, next);
    },
    pause: () => clearTimeout(timer),
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      parent.removeEventListener('abort', end);
    },
  };
}
