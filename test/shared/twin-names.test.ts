import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { shorten, tenantNamespace, twinName, twinSuffix } from '../../shared/names.ts';
import { twinNameProblem, twinNameRules } from '../../shared/twin-names.ts';

const test = suite('names of twin namespaces');
const rules = twinNameRules('elm', 'default', undefined);

test('a name ends in the consumer’s ID, or the grant lists it', () => {
  for (const [name, others, pattern] of [
    ['shop-elm', [], undefined],
    // Search domains: a Service `github` in this namespace would answer for github.com.
    ['com', [], /must end in -elm/],
    ['corp', [], /must end in -elm/],
    ['monitoring', [], /must end in -elm/],
    ['elm', [], /must end in -elm/],
    ['-elm', [], /must end in -elm/],
    ['shopelm', [], /must end in -elm/],
    ['shop-elm-gpu', [], /must end in -elm/],
    ['bank-alice-bbbbbb', [], /must end in -elm/],
    // The consumer `elm` may not use names of `red-elm`.
    ['shop-red-elm', ['-red-elm'], /kept for another consumer/],
    ['shop-red-elm', ['-elm', '-m', '-oak'], undefined],
  ] as const) {
    const problem = twinNameProblem(name, rules, others);
    if (pattern === undefined) assert.is(problem, undefined, name);
    else assert.match(problem ?? '', pattern, name);
  }
  const listed = twinNameRules('elm', 'default', { twinNamespaces: ['monitoring', 'xn--p1ai'] });
  assert.is(twinNameProblem('monitoring', listed), undefined);
  assert.match(twinNameProblem('corp', listed) ?? '', /must end in/);
});

test('a consumer called p1ai has no xn--p1ai, which is a top-level domain', () => {
  const hostile = twinNameRules('p1ai', 'default', { twinNamespaces: ['xn--p1ai'] });
  assert.match(twinNameProblem('xn--p1ai', hostile) ?? '', /IDNA/);
});

test('the suffix of names follows from the tenant namespace, and every default name has it', () => {
  const long = 'n'.repeat(63);
  for (const [consumer, peering] of [
    ['elm', 'default'],
    ['elm', 'gpu'],
    ['e'.repeat(40), 'default'],
    ['e'.repeat(40), 'p'.repeat(20)],
  ] as const) {
    const suffix = twinSuffix(consumer, peering);
    // As computed by the admission policy: request.namespace.substring(13).
    assert.is(suffix, tenantNamespace(consumer, peering).slice(13));
    assert.match(suffix, /^-[a-z0-9]/);
    for (const source of ['shop', long]) {
      const name = twinName(source, consumer, peering);
      assert.ok(name.length <= 63 && name.endsWith(suffix), name);
      assert.is(twinNameProblem(name, twinNameRules(consumer, peering, undefined)), undefined);
    }
    assert.is.not(twinName(long, consumer, peering), twinName(`${long.slice(1)}m`, consumer, peering));
  }
  assert.is(twinName('shop', 'elm'), 'shop-elm');
  assert.is(twinName('shop', 'elm', 'gpu'), 'shop-elm-gpu');
  assert.is(shorten('abc', 3), 'abc');
});

test.run();
