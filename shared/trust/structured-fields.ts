/**
 * The part of Structured Fields (RFC 9651) that HTTP signatures use: dictionaries of inner lists of strings with integer and
 * string parameters, and dictionaries of byte sequences. Anything else is refused.
 */
import { fromBase64, toBase64 } from './encoding.ts';

/** A longer text is no signature of Hawser. */
const LENGTH_LIMIT = 4096;
const MEMBERS_LIMIT = 8;

export type Parameter = string | number;

export interface InnerList {
  items: string[];
  parameters: Map<string, Parameter>;
}

/** A malformed header; the message states the position. */
export class StructuredFieldError extends Error {
  override readonly name = 'StructuredFieldError';
}

/** `label=("a" "b");name=1;other="text", …` */
export function parseInnerLists(text: string): Map<string, InnerList> {
  return parseDictionary(text, (reader) => {
    const items: string[] = [];
    reader.expect('(');
    reader.skipSpaces();
    while (!reader.take(')')) {
      items.push(reader.string());
      if (reader.take(')')) break;
      reader.expect(' ');
      reader.skipSpaces();
    }
    return { items, parameters: reader.parameters() };
  });
}

/** `label=:base64:, …` */
export function parseByteSequences(text: string): Map<string, Uint8Array> {
  return parseDictionary(text, (reader) => reader.bytes());
}

/** `("a" "b");name=1;other="text"`: the signed form (RFC 9421, section 2.3). */
export function serializeInnerList(list: InnerList): string {
  const items = list.items.map(serializeString).join(' ');
  const parameters = [...list.parameters].map(
    ([name, value]) => `;${name}=${typeof value === 'number' ? String(value) : serializeString(value)}`,
  );
  return `(${items})${parameters.join('')}`;
}

/** `:base64:` */
export function serializeBytes(bytes: Uint8Array): string {
  return `:${toBase64(bytes)}:`;
}

function serializeString(text: string): string {
  if (!/^[\x20-\x7e]*$/.test(text))
    throw new StructuredFieldError('a string holds more than printable ASCII');
  return `"${text.replace(/[\\"]/g, '\\$&')}"`;
}

function parseDictionary<T>(text: string, value: (reader: Reader) => T): Map<string, T> {
  if (text.length > LENGTH_LIMIT) throw new StructuredFieldError(`longer than ${LENGTH_LIMIT} characters`);
  const reader = new Reader(text.trim());
  const members = new Map<string, T>();
  while (!reader.atEnd()) {
    if (members.size > 0) {
      reader.skipSpaces();
      reader.expect(',');
      reader.skipSpaces();
    }
    const key = reader.key();
    if (members.has(key) || members.size >= MEMBERS_LIMIT)
      throw new StructuredFieldError(`a label twice, or more than ${MEMBERS_LIMIT} of them`);
    reader.expect('=');
    members.set(key, value(reader));
  }
  return members;
}

class Reader {
  readonly #text: string;
  #offset = 0;

  constructor(text: string) {
    this.#text = text;
  }

  atEnd(): boolean {
    return this.#offset >= this.#text.length;
  }

  take(character: string): boolean {
    if (this.#text[this.#offset] !== character) return false;
    this.#offset++;
    return true;
  }

  expect(character: string): void {
    if (!this.take(character))
      throw new StructuredFieldError(`expected "${character}" at character ${this.#offset + 1}`);
  }

  skipSpaces(): void {
    while (this.take(' '));
  }

  key(): string {
    return this.#match(/[a-z*][a-z0-9_.*-]*/y, 'a name')[0];
  }

  string(): string {
    return this.#match(/"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"/y, 'a string')[1].replace(
      /\\(["\\])/g,
      '$1',
    );
  }

  bytes(): Uint8Array {
    const [, text] = this.#match(/:([A-Za-z0-9+/=]*):/y, 'a byte sequence');
    try {
      return fromBase64(text);
    } catch {
      throw new StructuredFieldError('a byte sequence that is not canonical base64');
    }
  }

  parameters(): Map<string, Parameter> {
    const parameters = new Map<string, Parameter>();
    while (this.take(';')) {
      this.skipSpaces();
      const key = this.key();
      this.expect('=');
      if (parameters.has(key)) throw new StructuredFieldError(`the parameter "${key}" twice`);
      parameters.set(key, this.#text[this.#offset] === '"' ? this.string() : this.#integer());
    }
    return parameters;
  }

  // RFC 9651, section 3.3.1: at most 15 digits, so that every one is a safe integer.
  #integer(): number {
    return Number(this.#match(/-?\d{1,15}(?![\d.])/y, 'an integer')[0]);
  }

  #match(pattern: RegExp, what: string): [string, string] {
    pattern.lastIndex = this.#offset;
    const found = pattern.exec(this.#text);
    if (found === null) throw new StructuredFieldError(`expected ${what} at character ${this.#offset + 1}`);
    this.#offset = pattern.lastIndex;
    return [found[0], found[1] ?? ''];
  }
}
