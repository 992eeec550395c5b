/** What the command says: facts to standard output, everything on the way to them to standard error. */

interface Stream {
  write(text: string): unknown;
  isTTY?: boolean | undefined;
  columns?: number | undefined;
  rows?: number | undefined;
}

const styles = { bold: [1, 22], dim: [2, 22], red: [31, 39], green: [32, 39], yellow: [33, 39] } as const;
export type Style = keyof typeof styles;

export class Terminal {
  readonly #out: Stream;
  readonly #err: Stream;
  readonly #colour: boolean;
  readonly #colourErr: boolean;
  #line = '';

  constructor(out: Stream, err: Stream, environment: Record<string, string | undefined>) {
    this.#out = out;
    this.#err = err;
    // no-color.org: set and not empty, whatever its value.
    const wanted = !environment['NO_COLOR'] && environment['TERM'] !== 'dumb';
    this.#colour = wanted && out.isTTY === true;
    this.#colourErr = wanted && err.isTTY === true;
  }

  /** Whether somebody watches what is going on: then lines are rewritten in place. */
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

  /** Draws a whole screen over the one before; what does not fit is cut, so that nothing scrolls. */
  draw(text: string): void {
    const lines = text.replace(/\n$/, '').split('\n');
    const fitting = lines.slice(0, Math.max(1, (this.#out.rows ?? 50) - 1));
    const home = '\u001B[H';
    const toLineEnd = '\u001B[K';
    const toScreenEnd = '\u001B[J';
    this.#out.write(`${home}${fitting.map((line) => `${line}${toLineEnd}\n`).join('')}${toScreenEnd}`);
  }

  /** Styles text for standard output; unchanged when it goes to a pipe. */
  style(style: Style, text: string): string {
    return this.#colour ? paint(style, text) : text;
  }

  /** Facts: to standard output. */
  print(text: string): void {
    this.#clear();
    this.#out.write(text.endsWith('\n') ? text : `${text}\n`);
  }

  /** What is going on: to standard error. */
  say(text: string): void {
    this.#clear();
    this.#err.write(`${text}\n`);
  }

  /** A step that is done, with how long it took since the beginning. */
  step(mark: 'done' | 'failed' | 'waiting', text: string, milliseconds?: number): void {
    const time = milliseconds === undefined ? '' : `${(milliseconds / 1000).toFixed(1)} s`;
    const [word, style] = {
      done: ['ok', 'green'] as const,
      failed: ['no', 'red'] as const,
      waiting: ['..', 'yellow'] as const,
    }[mark];
    const painted = this.#colourErr ? paint(style, word) : word;
    this.say(`  ${painted} ${time === '' ? text : `${text.padEnd(56)} ${time.padStart(7)}`}`);
  }

  /** A line that the next one replaces, on a terminal. Elsewhere nothing: the steps tell enough. */
  progress(text: string): void {
    if (!this.live) return;
    const width = (this.#err.columns ?? 80) - 1;
    const shown = text.length > width ? `${text.slice(0, width - 1)}…` : text;
    if (shown === this.#line) return;
    this.#clear();
    this.#err.write(shown);
    this.#line = shown;
  }

  #clear(): void {
    if (this.#line === '') return;
    this.#err.write('\r\u001B[2K');
    this.#line = '';
  }
}

function paint(style: Style, text: string): string {
  const [on, off] = styles[style];
  return `\u001B[${on}m${text}\u001B[${off}m`;
}

/** Columns as wide as what stands in them, two blanks apart. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, cell.length);
  }
  return rows
    .map((row) =>
      row
        .map((cell, index) => (index === row.length - 1 ? cell : cell.padEnd(widths[index] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
