import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseHost, parseRange } from '../../../shared/net/cidr.ts';
import { acceptRemoteRemaps, validateDeclaredRanges } from '../../../shared/net/declared-ranges.ts';
import {
  allocateMappedAddresses,
  allocateNodeAddresses,
  chooseExternalCIDR,
  isMappedAddress,
  probeAddress,
} from '../../../shared/net/external-cidr.ts';

test('clusters rarely choose the same external CIDR', () => {
  const chosen = new Set(
    Array.from({ length: 20 }, (_, index) => chooseExternalCIDR(`cluster-${index}`, [])),
  );
  assert.ok(chosen.size >= 19, `${chosen.size} of 20`);
  for (const text of chosen)
    assert.match(text, /^100\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\.[0-9]+\.0\/20$/);
});

test('the choice is stable, and avoids what is in use', () => {
  const first = chooseExternalCIDR('blue', []);
  assert.equal(chooseExternalCIDR('blue', ['10.0.0.0/8', 'nonsense']), first);
  assert.is.not(chooseExternalCIDR('blue', [first]), first);
  assert.throws(() => chooseExternalCIDR('blue', ['100.64.0.0/10']), /externalCIDR/);
});

test('nodes keep their addresses', () => {
  const first = allocateNodeAddresses('100.64.16.0/20', ['b', 'a'], new Map());
  assert.equal(
    [...first].sort(([a], [b]) => a.localeCompare(b)),
    [
      ['a', '100.64.16.16'],
      ['b', '100.64.16.17'],
    ],
  );
  const later = allocateNodeAddresses('100.64.16.0/20', ['b', 'c', '0'], first);
  assert.equal(
    [...later].sort(([a], [b]) => a.localeCompare(b)),
    [
      ['0', '100.64.16.16'],
      ['b', '100.64.16.17'],
      ['c', '100.64.16.18'],
    ],
  );
});

test('an invalid address of a node is replaced', () => {
  const stored = new Map([
    ['a', '100.64.16.20'],
    ['b', '100.64.16.20'],
    ['c', '100.64.99.1'],
    ['d', '100.64.16.1'],
    ['e', 'nonsense'],
  ]);
  const result = allocateNodeAddresses('100.64.16.0/20', ['a', 'b', 'c', 'd', 'e'], stored);
  assert.equal(result.get('a'), '100.64.16.20');
  assert.is(new Set(result.values()).size, 5);
});

test('nodes beyond an exhausted range get no address', () => {
  const nodes = Array.from({ length: 20 }, (_, index) => `node-${index}`);
  assert.is(allocateNodeAddresses('100.64.16.0/27', nodes, new Map()).size, 15);
  assert.is(probeAddress(parseRange('100.64.16.0/20')).address, '100.64.16.1');
});

test('mapped addresses follow those of nodes, and stay', () => {
  const lend = (wanted: string[], stored: [string, string][] = [], range = '100.64.16.0/20') => [
    ...allocateMappedAddresses(range, wanted, new Map(stored)),
  ];
  const cases: [string, [string, string][], [string, string][]][] = [
    [
      'the first free ones, in order',
      lend(['p', 'q']),
      [
        ['p', '100.64.24.0'],
        ['q', '100.64.24.1'],
      ],
    ],
    [
      'assigned addresses stay',
      lend(['q', 'p'], [['p', '100.64.24.0']]),
      [
        ['q', '100.64.24.1'],
        ['p', '100.64.24.0'],
      ],
    ],
    ['draining addresses are not assigned', lend(['q'], [['gone', '100.64.24.0']]), [['q', '100.64.24.1']]],
    [
      'held twice: the second gets another',
      lend(
        ['p', 'q'],
        [
          ['p', '100.64.24.5'],
          ['q', '100.64.24.5'],
        ],
      ),
      [
        ['p', '100.64.24.5'],
        ['q', '100.64.24.0'],
      ],
    ],
    [
      'addresses of nodes, foreign and invalid ones are replaced',
      lend(
        ['p', 'q', 'r'],
        [
          ['p', '100.64.16.16'],
          ['q', '10.0.0.1'],
          ['r', 'x'],
        ],
      ),
      [
        ['p', '100.64.24.0'],
        ['q', '100.64.24.1'],
        ['r', '100.64.24.2'],
      ],
    ],
    ['asked for twice, given once', lend(['p', 'p']), [['p', '100.64.24.0']]],
    ['a range that is hardly large enough for nodes lends nothing', lend(['p'], [], '100.64.16.0/27'), []],
    ['IPv6', lend(['p'], [], 'fd00:1::/112'), [['p', 'fd00:1::8000']]],
  ];
  for (const [what, found, expected] of cases) assert.equal(found, expected, what);
});

test('mapped addresses are limited, and exclude the last one of a range', () => {
  const wanted = Array.from({ length: 5000 }, (_, index) => `p${index}`);
  const given = allocateMappedAddresses('100.64.16.0/20', wanted, new Map());
  assert.is(given.size, 2047);
  assert.is(new Set(given.values()).size, 2047);
  const range = parseRange('100.64.16.0/20');
  for (const address of given.values()) assert.ok(isMappedAddress(range, parseHost(address)), address);
  assert.not([...given.values()].includes('100.64.31.255'));
  // A key without an address gets the first one that becomes free.
  given.delete('p7');
  assert.is(
    allocateMappedAddresses('100.64.16.0/20', [...given.keys(), 'p4999'], given).get('p4999'),
    '100.64.24.7',
  );
  const nodes = allocateNodeAddresses('100.64.16.0/20', wanted, new Map());
  assert.is(nodes.size, 2048 - 16);
  for (const address of nodes.values()) assert.not(isMappedAddress(range, parseHost(address)), address);
});

test('a peer’s declared ranges are validated', () => {
  const check = (podCIDRs: string[], externalCIDR = '100.64.0.0/20') =>
    validateDeclaredRanges({ podCIDRs, externalCIDR });
  assert.equal(check(['10.244.0.0/16', 'fd00:1::/56']), []);
  assert.match(check(['0.0.0.0/0'])[0] ?? '', /larger than a \/8/);
  assert.match(check(['127.0.0.0/8'])[0] ?? '', /is reserved/);
  assert.match(check(['169.254.0.0/16'])[0] ?? '', /is reserved/);
  assert.match(check(['fe80::/64'])[0] ?? '', /is reserved/);
  assert.match(check(['10.0.0.1/16'])[0] ?? '', /host bits/);
  assert.match(check(['10.0.0.0/16', '10.0.1.0/24'])[0] ?? '', /overlaps/);
  assert.match(check(['100.64.0.0/16'])[0] ?? '', /overlaps/);
  assert.match(check(['10.0.0.0/16'], '100.64.0.0/30')[0] ?? '', /smaller/);
});

test('a peer cannot declare remaps of ranges that are not ours', () => {
  assert.equal(
    acceptRemoteRemaps(
      [
        { real: '10.244.0.0/16', mapped: '10.128.0.0/16' },
        { real: '10.244.0.0/16', mapped: '10.129.0.0/16' },
        { real: '10.96.0.0/12', mapped: '10.96.0.0/12' },
        { real: '100.64.0.0/20', mapped: '100.64.0.0/16' },
        { real: '100.64.0.0/20', mapped: '127.0.0.0/20' },
        { real: 'x', mapped: 'y' },
      ],
      ['10.244.0.0/16', '100.64.0.0/20'],
    ),
    [{ real: '10.244.0.0/16', mapped: '10.128.0.0/16' }],
  );
});

test.run();
