/** Reads server-sent events (WHATWG HTML, section 9.2.6), bounded: a peer's stream is not trusted to be small. */

export interface ServerSentEvent {
  event: string;
  data: string;
  id: string | undefined;
}

export interface EventStreamOptions {
  /** Longest event, and most that is read between two of them. */
  characters: number;
  /** Called whenever anything arrives, comments included. */
  onActivity: () => void;
}

/** Events of a stream until it ends. Lets go of the stream when the loop is left. Throws RangeError for too long an event. */
export async function* readEvents(
  stream: ReadableStream<Uint8Array>,
  options: EventStreamOptions,
): AsyncGenerator<ServerSentEvent> {
  const decoder = new TextDecoder();
  const reader = stream.getReader();
  let rest = '';
  let sinceEvent = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      options.onActivity();
      sinceEvent += value.length;
      rest = (rest + decoder.decode(value, { stream: true })).replace(/\r\n?/g, '\n');
      const blocks = rest.split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) {
        const event = parseEvent(block);
        if (event === undefined) continue;
        sinceEvent = 0;
        yield event;
      }
      if (rest.length > options.characters)
        throw new RangeError(`an event of more than ${options.characters} characters`);
      // Heartbeats fill this in days.
      if (sinceEvent > options.characters)
        throw new RangeError(`more than ${options.characters} characters without an event`);
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** One block of lines; undefined for comments alone. */
export function parseEvent(block: string): ServerSentEvent | undefined {
  const data: string[] = [];
  let event = 'message';
  let id: string | undefined;
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'data') data.push(value);
    else if (field === 'event') event = value;
    else if (field === 'id') id = value;
  }
  return data.length === 0 ? undefined : { event, data: data.join('\n'), id };
}
