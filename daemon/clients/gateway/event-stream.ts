/** Reads server-sent events (WHATWG HTML, section 9.2.6) with bounds, since a peer's stream may be of any size. */

export interface ServerSentEvent {
  event: string;
  data: string;
  id: string | undefined;
}

export interface EventStreamOptions {
  /** Maximum length of an event, and of other lines between two events. */
  characters: number;
  /** Called whenever anything arrives, including comments. */
  onActivity: () => void;
}

/** Yields the events of a stream until it ends; releases the stream when the loop is left. Throws RangeError for an oversized event. */
export async function* readEvents(
  stream: ReadableStream<Uint8Array>,
  options: EventStreamOptions,
): AsyncGenerator<ServerSentEvent> {
  const decoder = new TextDecoder();
  const reader = stream.getReader();
  const blocks = new Blocks();
  let sinceEvent = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      options.onActivity();
      sinceEvent += value.length;
      for (const block of blocks.take(decoder.decode(value, { stream: true }))) {
        const event = parseEvent(block);
        if (event === undefined) continue;
        sinceEvent = 0;
        yield event;
      }
      if (blocks.pending > options.characters)
        throw new RangeError(`an event of more than ${options.characters} characters`);
      // Heartbeats alone take days to reach this limit.
      if (sinceEvent > options.characters)
        throw new RangeError(`more than ${options.characters} characters without an event`);
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/**
 * Splits text into blocks that an empty line ends. Each character is examined once, however the text is chunked; a line
 * break may be split between two chunks.
 */
class Blocks {
  /** Complete lines of the current block. */
  #lines: string[] = [];
  /** Chunks of the current line. */
  #line: string[] = [];
  /** Whether the last chunk ended with a carriage return; a line feed at the start of the next one belongs to it. */
  #afterReturn = false;
  /** Number of characters of the incomplete block. */
  pending = 0;

  take(text: string): string[] {
    const blocks: string[] = [];
    let rest = this.#afterReturn && text.startsWith('\n') ? text.slice(1) : text;
    if (text !== '') this.#afterReturn = text.endsWith('\r');
    for (let end = rest.search(lineEnd); end >= 0; end = rest.search(lineEnd)) {
      this.#line.push(rest.slice(0, end));
      rest = rest.slice(end + (rest.startsWith('\r\n', end) ? 2 : 1));
      const line = this.#line.join('');
      this.#line = [];
      if (line !== '') {
        this.#lines.push(line);
        this.pending += end + 1;
        continue;
      }
      if (this.#lines.length > 0) blocks.push(this.#lines.join('\n'));
      this.#lines = [];
      this.pending = 0;
    }
    if (rest !== '') this.#line.push(rest);
    this.pending += rest.length;
    return blocks;
  }
}

const lineEnd = /\r\n|\r|\n/;

/** Parses one block of lines; undefined if it holds only comments. */
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
