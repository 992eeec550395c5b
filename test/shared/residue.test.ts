import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { residueOf, withResidue } from '../../shared/residue.ts';

const test = suite('residue');
const entry = (at: string, residue = ['something']) => ({
  kind: 'OutgoingPeering',
  name: 'oak',
  at,
  residue,
});

test('the residue of an object is found by its UID', () => {
  const data = withResidue(
    withResidue({}, 'a', entry('2026-01-01T00:00:00Z')),
    'b',
    entry('2026-01-02T00:00:00Z', ['else']),
  );
  assert.equal(residueOf(data, 'a'), ['something']);
  assert.equal(residueOf(data, 'b'), ['else']);
  assert.equal(residueOf(data, 'c'), []);
  assert.equal(residueOf(undefined, 'a'), []);
});

test('unreadable residue is empty', () => {
  for (const text of ['', '{', 'null', '[]', '{"residue":7}', '{"residue":[1]}']) {
    assert.equal(residueOf({ a: text }, 'a'), [], text);
  }
});

test('the oldest entries are dropped', () => {
  let data: Record<string, string> = {};
  for (let day = 10; day < 90; day++)
    data = withResidue(data, `uid-${day}`, entry(`20${day}-01-01T00:00:00Z`));
  assert.is(Object.keys(data).length, 64);
  assert.equal(residueOf(data, 'uid-25'), []);
  assert.equal(residueOf(data, 'uid-26'), ['something']);
});

test.run();
