import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { toMapped, toReal } from '../../../shared/net/address-mapping.ts';
import { overlaps, parseRange } from '../../../shared/net/cidr.ts';
import {
  defaultRemapPools,
  maximumRemaps,
  planRemaps,
  type RemapInput,
} from '../../../shared/net/remapping.ts';

const base: RemapInput = {
  declared: [],
  stored: [],
  ownRanges: ['10.244.0.0/16', '10.96.0.0/12', '192.168.7.0/24', '100.64.16.0/20'],
  otherRanges: [],
  pools: defaultRemapPools,
};

test('a free range is used as it is', () => {
  const { remaps, unplaced } = planRemaps({ ...base, declared: ['10.42.0.0/16', '100.99.0.0/20'] });
  assert.equal(remaps, [
    { real: '10.42.0.0/16', mapped: '10.42.0.0/16', state: 'InUse' },
    { real: '100.99.0.0/20', mapped: '100.99.0.0/20', state: 'InUse' },
  ]);
  assert.equal(unplaced, []);
});

test('a range that meets an own one gets another of the same size', () => {
  const { remaps } = planRemaps({ ...base, declared: ['10.244.0.0/16', '100.64.16.0/20'] });
  assert.equal(
    remaps.map((record) => record.mapped),
    ['10.128.0.0/16', '10.129.0.0/20'],
  );
});

test('the choice is stable, whatever else appears', () => {
  const first = planRemaps({ ...base, declared: ['10.244.0.0/16'] });
  const again = planRemaps({
    ...base,
    declared: ['10.9.0.0/16', '10.244.0.0/16'],
    stored: first.remaps,
    pools: ['172.16.0.0/12'],
  });
  assert.equal(again.remaps[0], first.remaps[0]);
  assert.equal(again.remaps.length, 2);
});

test('other tunnels’ ranges are avoided, so that two remotes with the same ranges have two names', () => {
  const first = planRemaps({ ...base, declared: ['10.244.0.0/16'] });
  const second = planRemaps({
    ...base,
    declared: ['10.244.0.0/16'],
    otherRanges: first.remaps.map((record) => record.mapped),
  });
  assert.equal(second.remaps[0]?.mapped, '10.129.0.0/16');
});

test('records are append-only: what is no longer declared drains, and comes back under its old name', () => {
  const first = planRemaps({ ...base, declared: ['10.244.0.0/16'] });
  const changed = planRemaps({ ...base, declared: ['10.243.0.0/16'], stored: first.remaps });
  assert.equal(changed.remaps, [
    { real: '10.244.0.0/16', mapped: '10.128.0.0/16', state: 'Draining' },
    { real: '10.243.0.0/16', mapped: '10.243.0.0/16', state: 'InUse' },
  ]);
  const back = planRemaps({ ...base, declared: ['10.244.0.0/16'], stored: changed.remaps });
  assert.equal(
    back.remaps.map((record) => record.state),
    ['InUse', 'Draining'],
  );
});

test('a choice that has come to lie on an own range stays until somebody approves that it moves', () => {
  const input: RemapInput = {
    ...base,
    declared: ['10.42.0.0/16'],
    stored: [{ real: '10.42.0.0/16', mapped: '10.42.0.0/16', state: 'InUse' }],
    ownRanges: [...base.ownRanges, '10.42.128.0/20'],
  };
  const asked = planRemaps(input);
  assert.equal(
    asked.remaps,
    input.stored.map((record) => ({ ...record, held: true })),
  );
  assert.equal(asked.collisions, [{ real: '10.42.0.0/16', mapped: '10.42.0.0/16', own: '10.42.128.0/20' }]);
  const approved = { ...input, approved: ['10.42.0.0/16'] };
  const moved = planRemaps(approved);
  assert.equal(moved.collisions, []);
  assert.equal(moved.remaps, [
    { real: '10.42.0.0/16', mapped: '10.42.0.0/16', state: 'Draining', held: true },
    { real: '10.42.0.0/16', mapped: '10.128.0.0/16', state: 'InUse' },
  ]);
  assert.equal(planRemaps({ ...approved, stored: moved.remaps }), moved, 'and is chosen once');
  const later = planRemaps({ ...input, stored: moved.remaps, approved: [] });
  assert.equal(later, moved, 'also when the approval is taken back');
});

test('a public range is never used as it is: its owner may be somebody else', () => {
  const { remaps } = planRemaps({ ...base, declared: ['8.8.8.0/24', '30.0.0.0/16', '192.0.0.0/8'] });
  assert.equal(
    remaps.map(({ mapped }) => mapped),
    ['10.128.0.0/24', '10.129.0.0/16'],
  );
  const six = planRemaps({ ...base, declared: ['2001:db8::/64'], pools: ['fd12:3456:789a::/48'] });
  assert.equal(six.remaps[0]?.mapped, 'fd12:3456:789a::/64');
});

test('what another tunnel came to occupy does not push a choice away', () => {
  const stored = [{ real: '10.42.0.0/16', mapped: '10.42.0.0/16', state: 'InUse' as const }];
  const { remaps } = planRemaps({
    ...base,
    declared: ['10.42.0.0/16'],
    stored,
    otherRanges: ['10.42.7.7/32'],
  });
  assert.equal(remaps, stored);
});

test('IPv6 needs a pool of its own', () => {
  const input = { ...base, ownRanges: ['fd00:1::/48'], declared: ['fd00:1:0:1::/64'] };
  assert.equal(planRemaps(input).unplaced, ['fd00:1:0:1::/64']);
  assert.equal(
    planRemaps({ ...input, pools: [...defaultRemapPools, 'fd12:3456:789a::/48'] }).remaps[0]?.mapped,
    'fd12:3456:789a::/64',
  );
});

test('a peer cannot make the records grow without end', () => {
  let stored: RemapInput['stored'] = [];
  for (let round = 0; round < 100; round++) {
    stored = planRemaps({ ...base, stored, declared: [`10.${round}.0.0/16`] }).remaps;
  }
  assert.equal(stored.length, maximumRemaps);
});

test('no choice ever meets an own range, another tunnel’s, or another choice', () => {
  let seed = 7;
  const random = (limit: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return (seed >>> 8) % limit;
  };
  const any = () => `10.${random(256)}.0.0/16`;
  for (let round = 0; round < 100; round++) {
    const own = [any(), any(), any()];
    const others = [any(), any()];
    let stored: RemapInput['stored'] = [];
    for (let step = 0; step < 4; step++) {
      const declared = [any(), any()];
      const before = stored;
      const { remaps } = planRemaps({ ...base, ownRanges: own, otherRanges: others, stored, declared });
      assert.equal(
        remaps.slice(0, before.length).map((record) => [record.real, record.mapped]),
        before.map((record) => [record.real, record.mapped]),
      );
      const mapped = remaps.map((record) => parseRange(record.mapped));
      mapped.forEach((one, index) => {
        for (const other of [...own, ...others]) assert.not.ok(overlaps(one, parseRange(other)));
        mapped.forEach((other, at) => assert.ok(at === index || !overlaps(one, other)));
      });
      stored = remaps;
    }
  }
});

test('addresses lead there and back; uncovered ones nowhere', () => {
  const remaps = [
    { real: '10.244.0.0/16', mapped: '10.128.0.0/16', state: 'Draining' as const },
    { real: '10.244.0.0/16', mapped: '10.129.0.0/16', state: 'InUse' as const },
    { real: 'fd00:1::/64', mapped: 'fd00:2::/64', state: 'InUse' as const },
  ];
  assert.equal(toMapped(remaps, '10.244.3.4'), '10.129.3.4');
  assert.equal(toReal(remaps, '10.129.3.4'), '10.244.3.4');
  assert.equal(toReal(remaps, '10.128.3.4'), '10.244.3.4', 'what drains is still understood');
  assert.equal(toMapped(remaps, 'fd00:1::abcd'), 'fd00:2::abcd');
  assert.is(toMapped(remaps, '10.245.0.1'), undefined);
  assert.is(toMapped(remaps, 'nonsense'), undefined);
  assert.is(toReal([], '10.0.0.1'), undefined);
});

test.run();
