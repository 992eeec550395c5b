import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { plainLine, plainText } from '../../shared/plain-text.ts';

const harmless = suite('plain text');

const rows: [name: string, text: string, plain: string][] = [
  ['letters, signs and emoji stay', 'pods 10.0.0.0/16 → “ok” é 😀', 'pods 10.0.0.0/16 → “ok” é 😀'],
  ['tabs and line feeds stay', 'a\tb\nc', 'a\tb\nc'],
  ['a colour', '\u001B[31mred', '\\u001b[31mred'],
  ['a clipboard write (OSC 52)', '\u001B]52;c;aGk=\u0007', '\\u001b]52;c;aGk=\\u0007'],
  ['a C1 control sequence introducer', '\u009B2J', '\\u009b2J'],
  ['a carriage return that overwrites the line', 'NotReady\rReady', 'NotReady\\u000dReady'],
  ['backspaces and DEL', 'a\b\u007F', 'a\\u0008\\u007f'],
  ['bidirectional overrides', '\u202Eko\u202C \u2066x\u2069', '\\u202eko\\u202c \\u2066x\\u2069'],
  ['bidirectional marks', '\u200Ea\u200F\u061C', '\\u200ea\\u200f\\u061c'],
  ['zero-width characters', 'o\u200Bak\uFEFF', 'o\\u200bak\\ufeff'],
  ['line and paragraph separators', 'a\u2028b\u2029', 'a\\u2028b\\u2029'],
  ['tag characters', 'a\u{E0041}', 'a\\udb40\\udc41'],
  ['half of a surrogate pair', 'a\uD800', 'a\\ud800'],
];

for (const [name, text, plain] of rows) harmless(name, () => assert.is(plainText(text), plain));

harmless('a JSON document keeps its meaning', () => {
  const facts = { message: rows.map(([, text]) => text).join('') };
  assert.equal(JSON.parse(plainText(JSON.stringify(facts))), facts);
});

harmless('plainLine joins lines', () => {
  assert.is(plainLine('late\n✓ peering is Ready\r\n'), 'late ✓ peering is Ready\\u000d ');
});

harmless.run();
