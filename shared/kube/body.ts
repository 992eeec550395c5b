/**
 * Reads bodies within limits: another cluster's API server is not trusted to end a body, nor to send it in few chunks. All
 * functions take linear time in the received bytes, for any chunks.
 */
import { UnreachableError } from './errors.ts';

const lineFeed = 10;
const smallest = 1024;

/** Bytes that grow by doubling: a chunk of one byte costs one byte, not a separate array. */
class Bytes {
  #held = new Uint8Array(0);
  length = 0;

  append(chunk: Uint8Array): void {
    const needed = this.length + chunk.length;
    if (needed > this.#held.length) {
      const larger = new Uint8Array(Math.max(needed, this.#held.length * 2, smallest));
      larger.set(this.#held.subarray(0, this.length));
      this.#held = larger;
    }
    this.#held.set(chunk, this.length);
    this.length = needed;
  }

  /** Returns the appended bytes, and empties the buffer. */
  take(): Uint8Array {
    const whole = this.#held.subarray(0, this.length);
    this.#held = new Uint8Array(0);
    this.length = 0;
    return whole;
  }
}

/** The complete body as text. Throws UnreachableError `TOO_LARGE` beyond the limit in bytes. */
export async function readBody(
  body: AsyncIterable<Uint8Array>,
  limit: number,
  what: string,
): Promise<string> {
  const bytes = new Bytes();
  let only: Uint8Array | undefined;
  for await (const chunk of body) {
    if ((only?.length ?? 0) + bytes.length + chunk.length > limit)
      throw new UnreachableError(what, 'TOO_LARGE', `the answer is larger than ${limit} bytes`);
    // Most bodies are one chunk, which needs no copy.
    if (only === undefined && bytes.length === 0) {
      only = chunk;
      continue;
    }
    if (only !== undefined) bytes.append(only);
    only = undefined;
    bytes.append(chunk);
  }
  return new TextDecoder().decode(only ?? bytes.take());
}

/**
 * The lines of a body as they arrive, without empty ones; text after the last line feed is ignored. Throws UnreachableError
 * `TOO_LARGE` for a line beyond the limit in bytes. `onActivity` is called for each chunk.
 */
export async function* readLines(
  body: AsyncIterable<Uint8Array>,
  limit: number,
  what: string,
  onActivity: () => void,
): AsyncGenerator<string, void, void> {
  const decoder = new TextDecoder();
  const pending = new Bytes();
  for await (const chunk of body) {
    onActivity();
    let from = 0;
    for (let end = chunk.indexOf(lineFeed); end >= 0; end = chunk.indexOf(lineFeed, from)) {
      const piece = chunk.subarray(from, end);
      from = end + 1;
      if (pending.length + piece.length > limit) throw tooLong(what, limit);
      if (pending.length === 0) {
        if (piece.length > 0) yield decoder.decode(piece);
        continue;
      }
      pending.append(piece);
      yield decoder.decode(pending.take());
    }
    if (from === chunk.length) continue;
    pending.append(chunk.subarray(from));
    if (pending.length > limit) throw tooLong(what, limit);
  }
}

function tooLong(what: string, limit: number): UnreachableError {
  return new UnreachableError(what, 'TOO_LARGE', `an event of more than ${limit} bytes`);
}
