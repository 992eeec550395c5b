/** The terminal layer: marks, colours, progress lines, and sanitized text of other clusters. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { load } from 'js-yaml';
import { Terminal, type Mark } from '../../cli/terminal.ts';
import { printFacts } from '../../cli/output.ts';
import type { Invocation } from '../../cli/command.ts';

const terminals = suite('terminal');
const utf8 = { LANG: 'en_US.UTF-8' };

interface Setting {
  isTTY?: boolean;
  environment?: Record<string, string>;
  columns?: number;
  rows?: number;
}

/** Writes both outputs to one stream; returns its content. */
function written(use: (terminal: Terminal) => void, setting: Setting = {}): string {
  let out = '';
  const { isTTY = false, environment = utf8, columns = 80, rows = 24 } = setting;
  const stream = { isTTY, columns, rows, write: (text: string) => (out += text) };
  use(new Terminal(stream, stream, environment));
  return out;
}

terminals('marks are ✓ ✗ ! ? in a UTF-8 locale, and words of one width elsewhere', () => {
  const kinds: Mark[] = ['done', 'failed', 'warning', 'unknown'];
  const shown = (environment: Record<string, string>) =>
    written((terminal) => terminal.print(kinds.map((kind) => `${terminal.mark(kind)}|`).join('')), {
      environment,
    }).trim();
  const ascii = 'OK  |FAIL|WARN|SKIP|';
  const rows: [environment: Record<string, string>, text: string][] = [
    [{ LANG: 'C.UTF-8' }, '✓|✗|!|?|'],
    [{ LANG: 'de_DE.utf8' }, '✓|✗|!|?|'],
    [{ LANG: 'C', LC_ALL: 'en_US.UTF-8' }, '✓|✗|!|?|'],
    [{ LANG: 'en_US.UTF-8', LC_ALL: 'C' }, ascii],
    [{ LANG: 'en_US.ISO-8859-1' }, ascii],
    [{ LANG: 'en_US.UTF-8', TERM: 'dumb' }, ascii],
    [{}, ascii],
  ];
  for (const [environment, text] of rows) assert.is(shown(environment), text, JSON.stringify(environment));
});

terminals('without UTF-8, arrows, dashes and apostrophes become ASCII', () => {
  const out = written((terminal) => terminal.print('← oak’s N−2 → …'), { environment: {} });
  assert.is(out, "<- oak's N-2 -> ...\n");
});

terminals('colours are written to a terminal only, and never with NO_COLOR or TERM=dumb', () => {
  const rows: [isTTY: boolean, environment: Record<string, string>, coloured: boolean][] = [
    [true, {}, true],
    [false, {}, false],
    [true, { NO_COLOR: '1' }, false],
    [true, { NO_COLOR: '' }, true],
    [true, { TERM: 'dumb' }, false],
  ];
  for (const [isTTY, environment, coloured] of rows) {
    const out = written(
      (terminal) => {
        terminal.step('done', 'a step', 1234);
        terminal.print(terminal.style('red', 'text'));
      },
      { isTTY, environment: { ...utf8, ...environment } },
    );
    assert.is(out.includes('\u001B[31mtext\u001B[39m'), coloured, JSON.stringify(environment));
    assert.is(out.includes('\u001B[32m✓\u001B[39m') || out.includes('\u001B[32mOK  \u001B[39m'), coloured);
    if (!coloured) assert.not.match(out, '\u001B');
    assert.match(out, /a step +1\.2 s/);
  }
});

terminals('progress rewrites its line on a terminal, and writes nothing elsewhere', () => {
  const use = (terminal: Terminal) => {
    terminal.progress('waiting for something very long');
    terminal.step('done', 'ready');
  };
  const out = written(use, { isTTY: true, columns: 20 });
  assert.match(out, '  … waiting for so…\r\u001B[2K');
  assert.not.match(written(use), 'waiting');
});

terminals('draw overwrites the screen before, and never scrolls', () => {
  const out = written((terminal) => terminal.draw('one\ntwo\nthree\nfour\n'), { isTTY: true, rows: 3 });
  assert.is(out, '\u001B[Hone\u001B[K\ntwo\u001B[K\n\u001B[J');
});

const hostile = '\u001B[2J\u001B]52;c;aGk=\u0007\u009B31m\u202Eko\u2066\u200B\r';
const shown = '\\u001b[2J\\u001b]52;c;aGk=\\u0007\\u009b31m\\u202eko\\u2066\\u200b\\u000d';

terminals('every way to write text makes control and bidirectional characters visible', () => {
  const ways: [name: string, use: (terminal: Terminal) => void][] = [
    ['print', (terminal) => terminal.print(hostile)],
    ['log', (terminal) => terminal.log(hostile)],
    ['step', (terminal) => terminal.step('done', hostile)],
    ['progress', (terminal) => terminal.progress(hostile)],
    ['draw', (terminal) => terminal.draw(hostile)],
    ['style', (terminal) => terminal.print(terminal.style('bold', hostile))],
  ];
  for (const [name, use] of ways) {
    const out = written(use, { isTTY: true, columns: 200 });
    assert.match(out, shown, name);
    // The rest, without the terminal's own sequences.
    // oxlint-disable-next-line no-control-regex -- these are what is looked for
    const rest = out.replaceAll(/\u001B\[(?:[0-9]+m|H|K|J|2K)/g, '').replaceAll('\r', '');
    // oxlint-disable-next-line no-control-regex -- these are what is looked for
    assert.not.match(rest, /[\u0000-\u0009\u000B-\u001F\u007F-\u009F\u200B\u202E\u2066]/, name);
  }
});

terminals('text cannot imitate a style: its marker is random', () => {
  const random = () => 'b7e4';
  let out = '';
  const stream = { isTTY: true, write: (text: string) => (out += text) };
  const terminal = new Terminal(stream, stream, utf8, random);
  terminal.print(`<b7e5>31m ${terminal.style('red', 'own')}`);
  assert.is(out, '<b7e5>31m \u001B[31mown\u001B[39m\n');
  const [one, other] = [0, 1].map(() => {
    let text = '';
    const probe = { isTTY: true, write: () => true };
    text = new Terminal(probe, probe, utf8).style('red', '');
    return text;
  });
  assert.is.not(one, other);
});

terminals('a step and a progress line stay one line', () => {
  const out = written((terminal) => terminal.step('done', 'late\n  ✓ peering is Ready'));
  assert.is(out, '  ✓ late   ✓ peering is Ready\n');
});

terminals('json and yaml keep the values that they escape', async () => {
  const facts = { message: hostile, lines: 'a\n\u202Eb', plain: 'yes', list: [hostile] };
  for (const format of ['json', 'yaml'] as const) {
    let out = '';
    const stream = { isTTY: true, write: (text: string) => (out += text) };
    const invocation = { options: { output: format }, terminal: new Terminal(stream, stream, utf8) };
    await printFacts(invocation as unknown as Invocation, facts, () => '');
    // oxlint-disable-next-line no-control-regex -- these are what is looked for
    assert.not.match(out, /[\u0000-\u0009\u000B-\u001F\u007F-\u009F\u200B\u202E\u2066]/, format);
    assert.equal(format === 'json' ? JSON.parse(out) : load(out), facts, format);
  }
});

terminals.run();
