/** The event stream of a provider's network documents, with reconnection. */
import type { SignedDocument } from '../../../shared/api/clusters.ts';
import { parameters } from '../../../shared/wire/gateway-api.ts';
import { sleep } from '../../../shared/time.ts';
import { deadline } from '../../../shared/time.ts';
import { GatewayUnreachable, isTemporary, MeaninglessAnswer, parseJSON } from './errors.ts';
import { readEvents } from './event-stream.ts';

const FIRST_BACKOFF_MILLISECONDS = 500;
const LAST_BACKOFF_MILLISECONDS = 30_000;
/** A gateway sends something every 15 s; after three silent intervals the connection counts as dead. */
const SILENCE_MILLISECONDS = 45_000;
const HEAD_MILLISECONDS = 30_000;
const EVENT_CHARACTERS = 256 * 1024;
/** Maximum number of events of unknown types between two documents. */
const MEANINGLESS_EVENTS = 1000;

export interface WatchOptions {
  peering?: string;
  /** Aborting it ends the iteration. */
  signal: AbortSignal;
  /** Generation of the document that the caller already has; it is not sent again. */
  heldGeneration?: number;
  /** Called for every lost or failed connection before the next attempt. */
  onInterruption?: (error: unknown) => void;
  /** Returns a number from 0 to 1; default Math.random. */
  random?: () => number;
}

type Open = (headers: Record<string, string>, signal: AbortSignal) => Promise<Response>;

export async function* watchParameters(
  open: Open,
  options: WatchOptions,
): AsyncGenerator<SignedDocument, void, undefined> {
  const { signal } = options;
  const random = options.random ?? Math.random;
  let lastEventID = options.heldGeneration === undefined ? undefined : String(options.heldGeneration);
  let backoff = FIRST_BACKOFF_MILLISECONDS;
  while (!signal.aborted) {
    const silence = deadline(signal, HEAD_MILLISECONDS, 'the event stream');
    try {
      const response = await open(
        { accept: 'text/event-stream', ...(lastEventID !== undefined && { 'last-event-id': lastEventID }) },
        silence.signal,
      );
      if (response.body === null) throw new GatewayUnreachable('the gateway answered a watch without a body');
      silence.restart(SILENCE_MILLISECONDS);
      const events = readEvents(response.body, {
        characters: EVENT_CHARACTERS,
        onActivity: () => silence.restart(SILENCE_MILLISECONDS),
      });
      let meaningless = 0;
      for await (const event of events) {
        if (event.event === 'ended') return;
        if (event.event !== 'parameters') {
          meaningless += 1;
          if (meaningless > MEANINGLESS_EVENTS)
            throw new MeaninglessAnswer('the gateway sends many events, none of them a network document');
          continue;
        }
        meaningless = 0;
        backoff = FIRST_BACKOFF_MILLISECONDS;
        const parsed = parameters.safeParse(parseJSON(event.data));
        if (!parsed.success)
          throw new MeaninglessAnswer('the gateway sent an event that is not a valid network document');
        // A slow reader does not count as silence of the gateway.
        silence.pause();
        yield parsed.data.networkDocument;
        silence.restart(SILENCE_MILLISECONDS);
        lastEventID = event.id;
      }
      options.onInterruption?.(new GatewayUnreachable('the gateway ended the event stream'));
    } catch (error) {
      if (signal.aborted) return;
      if (!(isTemporary(error) || !isAnswer(error))) throw error;
      options.onInterruption?.(
        error instanceof RangeError
          ? new MeaninglessAnswer(`the gateway sent ${error.message}`, { cause: error })
          : error,
      );
    } finally {
      silence[Symbol.dispose]();
    }
    await sleep(backoff * (0.5 + random()), signal);
    backoff = Math.min(backoff * 2, LAST_BACKOFF_MILLISECONDS);
  }
}

// Any error other than a refusal or a wrong certificate is a broken connection.
function isAnswer(error: unknown): boolean {
  return (
    error instanceof Error && ['GatewayProblem', 'CertificatePinError', 'TypeError'].includes(error.name)
  );
}
