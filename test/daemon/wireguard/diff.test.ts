import { suite } from 'uvu';
import * as assert from 'uvu/assert';

import type { EngineDifference } from '../../../native/index.d.ts';
import { checkConfiguration, EMPTY_CONFIGURATION } from '../../../daemon/wireguard/configuration.ts';
import type { DeviceConfiguration, PeerConfiguration } from '../../../daemon/wireguard/configuration.ts';
import { allocateNumbers, difference } from '../../../daemon/wireguard/diff.ts';
import { encodeKey } from '../../../daemon/wireguard/keys.ts';

const test = suite('difference');

const [A, B, C] = [1, 2, 3].map((byte) => encodeKey(new Uint8Array(32).fill(byte))) as [
  string,
  string,
  string,
];
const peer = (publicKey: string, more: Partial<PeerConfiguration> = {}): PeerConfiguration => ({
  publicKey,
  persistentKeepaliveSeconds: 0,
  mtu: 0,
  ...more,
});
const configured = (more: Partial<DeviceConfiguration>): DeviceConfiguration => ({
  ...EMPTY_CONFIGURATION,
  ...more,
});

const admission = { local: [{ prefix: '10.0.0.0/8', groups: 1 }], remote: [] };
const translation = {
  in: { source: [], destination: [] },
  out: { source: [{ from: '10.1.0.0/16', to: '10.2.0.0/16' }], destination: [] },
};

const cases: {
  name: string;
  before: Partial<DeviceConfiguration>;
  after: Partial<DeviceConfiguration>;
  override?: string[];
  expected: EngineDifference | null;
}[] = [
  { name: 'nothing', before: {}, after: {}, expected: null },
  {
    name: 'a new peer, with its endpoint',
    before: {},
    after: { peers: [peer(A, { endpoint: '192.0.2.1:1', mtu: 1400, admission, translation })] },
    expected: { upsertPeers: [{ id: 0, mtu: 1400, endpoint: '192.0.2.1:1', admission, translation }] },
  },
  {
    name: 'a peer that stays is not told again, nor where it is',
    before: { peers: [peer(A, { endpoint: '192.0.2.1:1' })] },
    after: { peers: [peer(A, { endpoint: '192.0.2.1:1', persistentKeepaliveSeconds: 25 })] },
    expected: null,
  },
  {
    name: 'another MTU does not undo roaming',
    before: { peers: [peer(A, { endpoint: '192.0.2.1:1' })] },
    after: { peers: [peer(A, { endpoint: '192.0.2.1:1', mtu: 1280 })] },
    expected: { upsertPeers: [{ id: 0, mtu: 1280 }] },
  },
  {
    name: 'another endpoint is told',
    before: { peers: [peer(A, { endpoint: '192.0.2.1:1' })] },
    after: { peers: [peer(A, { endpoint: '192.0.2.2:1' })] },
    expected: { upsertPeers: [{ id: 0, mtu: 0, endpoint: '192.0.2.2:1' }] },
  },
  {
    name: 'the same endpoint, said on purpose',
    before: { peers: [peer(A, { endpoint: '192.0.2.1:1' })] },
    after: { peers: [peer(A, { endpoint: '192.0.2.1:1' })] },
    override: [A],
    expected: { upsertPeers: [{ id: 0, mtu: 0, endpoint: '192.0.2.1:1' }] },
  },
  {
    name: 'an endpoint that is no longer said stays as it is',
    before: { peers: [peer(A, { endpoint: '192.0.2.1:1' })] },
    after: { peers: [peer(A)] },
    expected: null,
  },
  {
    name: 'other translation and admission',
    before: { peers: [peer(A, { translation }), peer(B, { admission })] },
    after: { peers: [peer(A), peer(B, { admission: { local: [], remote: [] } })] },
    expected: {
      upsertPeers: [
        { id: 0, mtu: 0 },
        { id: 1, mtu: 0, admission: { local: [], remote: [] } },
      ],
    },
  },
  {
    name: 'a peer goes, another comes with a number of its own, a third keeps its own',
    before: { peers: [peer(A), peer(B)] },
    after: { peers: [peer(C), peer(B)] },
    expected: { removePeers: [0], upsertPeers: [{ id: 2, mtu: 0 }] },
  },
  {
    name: 'routes come, change and go',
    before: {
      peers: [peer(A), peer(B)],
      routes: [
        { prefix: '10.1.0.0/16', targets: [A] },
        { prefix: '10.2.0.0/16', targets: [A, B] },
        { prefix: '10.3.0.0/16', targets: ['local'] },
        { prefix: '10.4.0.0/16', targets: [B] },
      ],
    },
    after: {
      peers: [peer(A), peer(B)],
      routes: [
        { prefix: '10.1.0.0/16', targets: [B] },
        { prefix: '10.2.0.0/16', targets: [A, B] },
        { prefix: '10.3.0.0/16', targets: ['local'] },
        { prefix: 'fd00::/64', targets: ['local', A] },
      ],
    },
    expected: {
      removeRoutes: ['10.4.0.0/16'],
      upsertRoutes: [
        { prefix: '10.1.0.0/16', targets: [1] },
        { prefix: 'fd00::/64', targets: ['local', 0] },
      ],
    },
  },
  {
    name: 'sources and dead peers',
    before: { peers: [peer(A), peer(B)], tunSources: ['10.0.0.0/8'], deadPeers: [A] },
    after: { peers: [peer(A), peer(B)], deadPeers: [B] },
    expected: { tunSources: null, deadPeers: [1] },
  },
  {
    name: 'no dead peers any more, sources given',
    before: { peers: [peer(A)], deadPeers: [A] },
    after: { peers: [peer(A)], tunSources: [] },
    expected: { tunSources: [], deadPeers: [] },
  },
];

for (const { name, before, after, override, expected } of cases)
  test(name, () => {
    const first = {
      configuration: configured(before),
      numbers: allocateNumbers(new Map(), before.peers ?? [], 8),
    };
    const second = {
      configuration: configured(after),
      numbers: allocateNumbers(first.numbers, after.peers ?? [], 8),
    };
    assert.equal(difference(first, second, new Set(override)), expected);
    assert.is(difference(second, second), null, 'applying it again changes nothing');
  });

test('a freed number is reused at once only when none is left', () => {
  const full = allocateNumbers(new Map(), [peer(A), peer(B)], 2);
  assert.equal(
    [...full],
    [
      [A, 0],
      [B, 1],
    ],
  );
  assert.equal(
    allocateNumbers(full, [peer(C), peer(B)], 2),
    new Map([
      [B, 1],
      [C, 0],
    ]),
  );
  assert.throws(() => allocateNumbers(full, [peer(A), peer(B), peer(C)], 2), /more peers/);
});

const refused: [string, Partial<DeviceConfiguration>, RegExp][] = [
  ['a short private key', { privateKey: new Uint8Array(31) }, /private key has 32 bytes/],
  ['a public key in hexadecimal', { peers: [peer('01'.repeat(32))] }, /not 32 bytes in base64/],
  ['a public key with stray bits', { peers: [peer(`${A.slice(0, 42)}F=`)] }, /not 32 bytes in base64/],
  ['a peer twice', { peers: [peer(A), peer(A)] }, /there twice/],
  ['a keepalive out of range', { peers: [peer(A, { persistentKeepaliveSeconds: 65_536 })] }, /65535 s/],
  ['a port out of range', { port: 65_536 }, /port/],
  ['a route to an unknown peer', { routes: [{ prefix: '10.0.0.0/8', targets: [A] }] }, /not a peer/],
  ['a route without target', { routes: [{ prefix: '10.0.0.0/8', targets: [] }] }, /leads nowhere/],
  [
    'a route twice',
    {
      routes: [
        { prefix: '10.0.0.0/8', targets: ['local'] },
        { prefix: '10.0.0.0/8', targets: ['local'] },
      ],
    },
    /there twice/,
  ],
  ['a dead stranger', { deadPeers: [A] }, /marked dead/],
  ['too many peers', { peers: [peer(A), peer(B), peer(C)] }, /more than this device/],
];

for (const [name, configuration, expected] of refused)
  test(`refused: ${name}`, () => {
    assert.throws(() => checkConfiguration(configured(configuration), 2), expected);
  });

test.run();
