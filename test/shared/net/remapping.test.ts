import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { toMapped, toReal } from '../../../shared/net/address-mapping.ts';
import { contains, overlaps, parseRange, readRanges } from '../../../shared/net/cidr.ts';
import { metadataRanges } from '../../../shared/net/metadata.ts';
import {
  defaultRemapPools,
  maximumRemaps,
  planRemaps as planRanges,
  uniqueLocalPool,
  waitingText,
  type RemapInput,
  type WaitingRange,
} from '../../../shared/net/remapping.ts';

type Texts = Omit<{ [Name in keyof RemapInput]: readonly string[] }, 'stored'>;
/** The input of a plan, as text. */
type RemapTexts = Texts & Pick<RemapInput, 'stored'>;

function planRemaps({ stored, ...texts }: RemapTexts) {
  const {
    declared,
    ownRanges,
    protectedRanges = [],
    accepted = [],
    approved = [],
    otherRanges,
    pools,
  } = texts;
  return planRanges({
    stored,
    declared: declared.map((text) => parseRange(text)),
    ownRanges: readRanges(ownRanges),
    protectedRanges: readRanges(protectedRanges),
    accepted: readRanges(accepted),
    approved: readRanges(approved),
    otherRanges: readRanges(otherRanges),
    pools: readRanges(pools),
  });
}

const base: RemapTexts = {
  declared: [],
  stored: [],
  ownRanges: ['10.244.0.0/16', '10.96.0.0/12', '192.168.7.0/24', '100.64.16.0/20'],
  otherRanges: [],
  pools: defaultRemapPools,
};

const inUse = (real: string, mapped: string) => ({ real, mapped, state: 'InUse' as const });
const drains = (real: string, mapped: string) => ({ real, mapped, state: 'Draining' as const });

test('every range of a remote is remapped, whatever it declares', () => {
  const declared = ['192.168.50.0/24', '10.42.0.0/16', '100.99.0.0/20', '8.8.8.0/24', '100.64.0.0/24'];
  const { remaps, waiting } = planRemaps({ ...base, declared });
  assert.equal(remaps, [
    inUse('192.168.50.0/24', '100.64.0.0/24'),
    inUse('10.42.0.0/16', '100.65.0.0/16'),
    inUse('100.99.0.0/20', '100.64.32.0/20'),
    inUse('8.8.8.0/24', '100.64.1.0/24'),
    inUse('100.64.0.0/24', '100.64.2.0/24'),
  ]);
  assert.equal(waiting, []);
  const six = planRemaps({ ...base, declared: ['fd77::/64'], pools: [uniqueLocalPool('elm')] });
  assert.ok(contains(parseRange(uniqueLocalPool('elm')), parseRange(six.remaps[0]?.mapped ?? '')));
});

test('a range is used without remapping only if it was accepted', () => {
  const accepted = ['10.40.0.0/14', '30.0.0.0/16'];
  const cases: [what: string, declared: string, mapped: string, more?: Partial<RemapTexts>][] = [
    ['an accepted range', '10.40.0.0/14', '10.40.0.0/14'],
    ['one inside', '10.42.0.0/16', '10.42.0.0/16'],
    ['a public one', '30.0.0.0/16', '30.0.0.0/16'],
    ['one around', '10.32.0.0/12', '100.80.0.0/12'],
    ['one beside', '10.44.0.0/16', '100.65.0.0/16'],
    ['nothing accepted', '10.42.0.0/16', '100.65.0.0/16', { accepted: [] }],
    ['nodes are there', '10.42.0.0/16', '100.65.0.0/16', { ownRanges: ['10.42.9.0/24', '100.64.16.0/20'] }],
    [
      'the API server is there',
      '10.42.0.0/16',
      '100.64.0.0/16',
      { ownRanges: [], protectedRanges: ['10.42.0.1/32'] },
    ],
    ['another remote is there', '10.42.0.0/16', '100.65.0.0/16', { otherRanges: ['10.42.0.0/20'] }],
  ];
  for (const [what, declared, mapped, more] of cases) {
    const { remaps } = planRemaps({ ...base, accepted, declared: [declared], ...more });
    assert.equal(remaps, [inUse(declared, mapped)], what);
  }
  const metadata = { ...base, declared: ['100.96.0.0/11'], accepted: ['100.64.0.0/10'] };
  const made = planRemaps(metadata);
  assert.equal(made.remaps, [inUse('100.96.0.0/11', '10.128.0.0/11')], 'a metadata service is in it');
  assert.equal(made.waiting, [
    { real: '100.96.0.0/11', reason: 'NotFree', mapped: '10.128.0.0/11', meets: '100.100.100.200/32' },
  ]);
});

test('the pool excludes metadata services, own ranges and networks of nodes, and has fallback pools', () => {
  let stored: RemapTexts['stored'] = [];
  const ownRanges = [...base.ownRanges, '100.96.0.0/12'];
  const declared = Array.from({ length: 60 }, (_, index) => `10.${index}.0.0/16`);
  stored = planRemaps({ ...base, ownRanges, declared, approved: declared }).remaps;
  assert.is(stored.length, 60);
  for (const { mapped } of stored) {
    for (const used of [...readRanges(ownRanges), ...metadataRanges])
      assert.not(overlaps(parseRange(mapped), used), mapped);
  }
  // 64 ranges, minus the own external CIDR's, and minus sixteen of nodes, which include the metadata service's.
  const pool = parseRange('100.64.0.0/10');
  assert.is(stored.filter(({ mapped }) => contains(pool, parseRange(mapped))).length, 47);
  assert.is(stored[47]?.mapped, '10.128.0.0/16');
});

test('ranges beyond a remote’s share wait for approval', () => {
  const sixteen = Array.from({ length: 16 }, (_, index) => `10.${index}.0.0/16`);
  const input = { ...base, declared: [...sixteen, '172.30.0.0/16'] };
  const first = planRemaps(input);
  assert.is(first.remaps.length, 16);
  assert.equal(
    first.waiting.map(({ real, reason }) => [real, reason]),
    [['172.30.0.0/16', 'NeedsApproval']],
  );
  assert.match(
    waitingText('oak', first.waiting[0] as WaitingRange),
    /hawser remap approve oak 172\.30\.0\.0\/16/,
  );
  const again = planRemaps({ ...input, stored: first.remaps });
  assert.equal(again.remaps, first.remaps, 'and disturbs nothing meanwhile');
  const approved = planRemaps({ ...input, stored: first.remaps, approved: ['172.30.0.0/16'] });
  assert.is(approved.remaps.length, 17);
  assert.equal(approved.waiting, []);
  assert.equal(
    planRemaps({ ...base, declared: ['10.0.0.0/8'] }).remaps,
    [],
    'large ones wait from the start',
  );
  // Draining remaps keep their place: a remote that changes its declaration gets no larger share.
  const other = planRemaps({ ...base, stored: first.remaps, declared: ['172.31.0.0/16'] });
  assert.is(other.waiting[0]?.reason, 'NeedsApproval');
});

test('a range used without remapping that is no longer accepted is remapped', () => {
  const stored = [inUse('192.168.50.0/24', '192.168.50.0/24')];
  const input = { ...base, declared: ['192.168.50.0/24'], stored };
  const moved = planRemaps(input);
  assert.equal(moved.remaps, [
    drains('192.168.50.0/24', '192.168.50.0/24'),
    inUse('192.168.50.0/24', '100.64.0.0/24'),
  ]);
  assert.equal(planRemaps({ ...input, stored: moved.remaps }), moved);
});

test('a range that is accepted later keeps its remap until approval', () => {
  const stored = [inUse('10.42.0.0/16', '100.65.0.0/16')];
  const input = { ...base, declared: ['10.42.0.0/16'], stored, accepted: ['10.42.0.0/16'] };
  const asked = planRemaps(input);
  assert.equal(asked.remaps, stored);
  assert.equal(asked.waiting, [
    { real: '10.42.0.0/16', reason: 'InUseOtherwise', mapped: '100.65.0.0/16', meets: undefined },
  ]);
  const approved = { ...input, approved: ['100.65.0.0/16'] };
  const moved = planRemaps(approved);
  assert.equal(moved, {
    remaps: [drains('10.42.0.0/16', '100.65.0.0/16'), inUse('10.42.0.0/16', '10.42.0.0/16')],
    collisions: [],
    waiting: [],
  });
  assert.equal(planRemaps({ ...approved, stored: moved.remaps }), moved, 'and once');
  assert.equal(planRemaps({ ...input, stored: moved.remaps }), moved, 'also when the approval is taken back');
  const back = planRemaps({ ...input, stored: moved.remaps, accepted: [] });
  assert.equal(back.remaps, [inUse('10.42.0.0/16', '100.65.0.0/16'), drains('10.42.0.0/16', '10.42.0.0/16')]);
  const forth = planRemaps({ ...approved, stored: back.remaps });
  assert.equal(forth.remaps, moved.remaps, 'under the record that was there');
});

test('a remap over a needed address moves at once, without approval', () => {
  const stored = [inUse('10.42.0.0/16', '100.65.0.0/16')];
  const input = { ...base, declared: ['10.42.0.0/16'], stored };
  for (const range of ['100.65.7.7/32', '100.65.0.0/20']) {
    const { remaps, collisions } = planRemaps({ ...input, protectedRanges: [range] });
    assert.equal(remaps, [drains('10.42.0.0/16', '100.65.0.0/16'), inUse('10.42.0.0/16', '100.66.0.0/16')]);
    assert.equal(collisions, []);
  }
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

test('remaps of other tunnels are avoided, so that remotes with the same ranges get different ones', () => {
  const first = planRemaps({ ...base, declared: ['10.244.0.0/16'] });
  const second = planRemaps({
    ...base,
    declared: ['10.244.0.0/16'],
    otherRanges: first.remaps.map((record) => record.mapped),
  });
  assert.equal(second.remaps[0]?.mapped, '100.66.0.0/16');
});

test('remaps are append-only: an undeclared range drains, and returns under its old remap', () => {
  const first = planRemaps({ ...base, declared: ['10.244.0.0/16'] });
  const changed = planRemaps({ ...base, declared: ['10.243.0.0/16'], stored: first.remaps });
  assert.equal(changed.remaps, [
    drains('10.244.0.0/16', '100.65.0.0/16'),
    inUse('10.243.0.0/16', '100.66.0.0/16'),
  ]);
  const back = planRemaps({ ...base, declared: ['10.244.0.0/16'], stored: changed.remaps });
  assert.equal(
    back.remaps.map((record) => record.state),
    ['InUse', 'Draining'],
  );
});

test('a remap that comes to overlap an own range stays until its move is approved', () => {
  const input: RemapTexts = {
    ...base,
    declared: ['10.42.0.0/16'],
    stored: [inUse('10.42.0.0/16', '100.70.0.0/16')],
    ownRanges: [...base.ownRanges, '100.70.128.0/20'],
  };
  const asked = planRemaps(input);
  assert.equal(
    asked.remaps,
    input.stored.map((record) => ({ ...record, held: true })),
  );
  assert.equal(asked.collisions, [{ real: '10.42.0.0/16', mapped: '100.70.0.0/16', own: '100.70.128.0/20' }]);
  const approved = { ...input, approved: ['100.70.0.0/16'] };
  const moved = planRemaps(approved);
  assert.equal(moved.collisions, []);
  assert.equal(moved.remaps, [
    { ...drains('10.42.0.0/16', '100.70.0.0/16'), held: true },
    inUse('10.42.0.0/16', '100.65.0.0/16'),
  ]);
  assert.equal(planRemaps({ ...approved, stored: moved.remaps }), moved, 'and is chosen once');
  const later = planRemaps({ ...input, stored: moved.remaps, approved: [] });
  assert.equal(later, moved, 'also when the approval is taken back');
});

test('a range that another tunnel comes to use does not move a remap', () => {
  const stored = [inUse('10.42.0.0/16', '100.70.0.0/16')];
  const { remaps } = planRemaps({
    ...base,
    declared: ['10.42.0.0/16'],
    stored,
    otherRanges: ['100.70.7.7/32'],
  });
  assert.equal(remaps, stored);
});

test('IPv6 needs a separate pool', () => {
  const input = { ...base, ownRanges: ['fd00:1::/48'], declared: ['fd00:1:0:1::/64'] };
  assert.equal(
    planRemaps(input).waiting.map(({ real, reason }) => [real, reason]),
    [['fd00:1:0:1::/64', 'NoFreeRange']],
  );
  assert.equal(
    planRemaps({ ...input, pools: [...defaultRemapPools, 'fd12:3456:789a::/48'] }).remaps[0]?.mapped,
    'fd12:3456:789a::/64',
  );
});

test('a peer cannot make the records grow without bound', () => {
  let stored: RemapTexts['stored'] = [];
  for (let round = 0; round < 100; round++) {
    stored = planRemaps({ ...base, stored, declared: [`10.${round}.0.0/24`] }).remaps;
  }
  assert.equal(stored.length, maximumRemaps);
});

test('no remap overlaps an own range, another tunnel’s, or another remap', () => {
  let seed = 7;
  const random = (limit: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return (seed >>> 8) % limit;
  };
  const any = () => `10.${random(256)}.0.0/16`;
  for (let round = 0; round < 100; round++) {
    const own = [any(), any(), any()];
    const others = [any(), any()];
    let stored: RemapTexts['stored'] = [];
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

test('addresses round-trip, and uncovered ones have no translation', () => {
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
  const unequal = [{ real: '10.1.0.0/16', mapped: '10.2.0.0/24' }];
  assert.is(toMapped(unequal, '10.1.0.9'), '10.2.0.9');
  assert.is(toMapped(unequal, '10.1.1.9'), undefined, 'beyond the shorter name');
});

test.run();
