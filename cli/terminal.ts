/**
 * The command's output: facts to standard output, progress to standard error. All output passes `#write`, which escapes
 * control characters in text of other clusters.
 */
import { randomUUID } from 'node:crypto';
import { plainLine, plainText } from '../shared/plain-text.ts';

interface Stream {
  write(text: string): unknown;
  isTTY?: boolean | undefined;
  columns?: number | undefined;
  rows?: number | undefined;
}

const styles = { bold: [1, 22], dim: [2, 22], red: [31, 39], green: [32, 39], yellow: [33, 39] } as const;
export type Style = keyof typeof styles;

/** How a check or a step ended. */
export type Mark = 'done' | 'failed' | 'warning' | 'unknown' | 'waiting';

/** All marks of a set have the same width, so that the following text is aligned. */
const marks: Readonly<Record<'unicode' | 'ascii', Record<Mark, string>>> = {
  unicode: { done: '✓', failed: '✗', warning: '!', unknown: '?', waiting: '…' },
  ascii: { done: 'OK  ', failed: 'FAIL', warning: 'WARN', unknown: 'SKIP', waiting: '..  ' },
};
const markStyles = {
  done: 'green',
  failed: 'red',
  warning: 'yellow',
  unknown: 'yellow',
  waiting: 'yellow',
} as const satisfies Record<Mark, Style>;

/** Non-ASCII characters in messages, and their replacements where the locale is not UTF-8. */
const asciiOf: Readonly<Record<string, string>> = {
  '’': "'",
  '…': '...',
  '→': '->',
  '←': '<-',
  '⇄': '<->',
  '−': '-',
  '–': '-',
};

/** Styles text for the stream that it is written to. */
export interface Painter {
  style(style: Style, text: string): string;
  mark(mark: Mark): string;
}

export class Terminal implements Painter {
  readonly #out: Stream;
  readonly #err: Stream;
  readonly #colour: boolean;
  readonly #colourErr: boolean;
  readonly #marks: Record<Mark, string>;
  readonly #unicode: boolean;
  /** Placeholder for the start of a control sequence until it is written. Random, so that a peer's text cannot contain it. */
  readonly #sequence: string;
  #line = '';

  constructor(
    out: Stream,
    err: Stream,
    environment: Record<string, string | undefined>,
    random: () => string = randomUUID,
  ) {
    this.#out = out;
    this.#err = err;
    // no-color.org: set and not empty, whatever its value.
    const coloured = !environment['NO_COLOR'] && environment['TERM'] !== 'dumb';
    this.#colour = coloured && out.isTTY === true;
    this.#colourErr = coloured && err.isTTY === true;
    this.#unicode = isUnicode(environment);
    this.#marks = marks[this.#unicode ? 'unicode' : 'ascii'];
    this.#sequence = `<${random()}>`;
  }

  /** Whether a person watches standard error: then progress lines are rewritten in place. */
  get live(): boolean {
    return this.#err.isTTY === true;
  }

  /** Whether standard output is a screen that can be drawn on again. */
  get redraws(): boolean {
    return this.#out.isTTY === true;
  }

  clearScreen(): void {
    this.#out.write('\u001B[2J');
  }

  /** Draws a full screen over the previous one; lines that do not fit are cut, so that nothing scrolls. */
  draw(text: string): void {
    const lines = text.replace(/\n$/, '').split('\n');
    const fitting = lines.slice(0, Math.max(1, (this.#out.rows ?? 50) - 1));
    const [home, toLineEnd, toScreenEnd] = ['H', 'K', 'J'].map((end) => this.#sequence + end);
    this.#write(this.#out, `${home}${fitting.map((line) => `${line}${toLineEnd}\n`).join('')}${toScreenEnd}`);
  }

  /** Styles text for standard output; unchanged when standard output is no terminal. */
  style(style: Style, text: string): string {
    return this.#colour ? this.#paint(style, text) : text;
  }

  /** The mark for standard output. */
  mark(mark: Mark): string {
    return this.style(markStyles[mark], this.#marks[mark]);
  }

  /** Facts: to standard output. */
  print(text: string): void {
    this.#clear();
    this.#write(this.#out, text.endsWith('\n') ? text : `${text}\n`);
  }

  /** Messages: to standard error. */
  log(text: string): void {
    this.#clear();
    this.#write(this.#err, `${text}\n`);
  }

  /** A step with its mark, and the time since the command began. */
  step(mark: Mark, text: string, milliseconds?: number): void {
    const time = milliseconds === undefined ? '' : `${(milliseconds / 1000).toFixed(1)} s`;
    const painted = this.#colourErr ? this.#paint(markStyles[mark], this.#marks[mark]) : this.#marks[mark];
    const line = plainLine(text);
    this.log(`  ${painted} ${time === '' ? line : `${line.padEnd(57)} ${time.padStart(7)}`}`);
  }

  /** On a terminal, a line that the next one replaces. Elsewhere nothing is written, since the steps suffice. */
  progress(text: string): void {
    if (!this.live) return;
    const width = (this.#err.columns ?? 80) - 1;
    const line = this.#shown(plainLine(`  ${this.#marks.waiting} ${text}`));
    const fitting = line.length > width ? this.#shown(`${line.slice(0, width - 1)}…`) : line;
    if (fitting === this.#line) return;
    this.#clear();
    this.#write(this.#err, fitting);
    this.#line = fitting;
  }

  #paint(style: Style, text: string): string {
    const [on, off] = styles[style];
    return `${this.#sequence}${on}m${text}${this.#sequence}${off}m`;
  }

  #shown(text: string): string {
    return this.#unicode ? text : text.replace(/[’…→←⇄−–]/g, (character) => asciiOf[character] ?? character);
  }

  #write(stream: Stream, text: string): void {
    stream.write(this.#shown(plainText(text)).replaceAll(this.#sequence, '\u001B['));
  }

  #clear(): void {
    if (this.#line === '') return;
    this.#err.write('\r\u001B[2K');
    this.#line = '';
  }
}

/** Whether the locale's encoding is UTF-8: the first that is set decides (POSIX, Environment Variables, section 8.2). */
function isUnicode(environment: Record<string, string | undefined>): boolean {
  const locale = [environment['LC_ALL'], environment['LC_CTYPE'], environment['LANG']].find(Boolean);
  return environment['TERM'] !== 'dumb' && /utf-?8/i.test(locale ?? '');
}

/** Columns as wide as their widest cell, two blanks apart. */
export function table(rows: readonly (readonly string[])[]): string {
  const lines = rows.map((row) => row.map(plainLine));
  const widths: number[] = [];
  for (const row of lines) {
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, cell.length);
  }
  return lines
    .map((row) =>
      row
        .map((cell, index) => (index === row.length - 1 ? cell : cell.padEnd(widths[index] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
