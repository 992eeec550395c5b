import { suite } from 'uvu';
import * as assert from 'uvu/assert';

import { EMPTY_CONFIGURATION } from '../../../daemon/wireguard/configuration.ts';
import type { DeviceConfiguration } from '../../../daemon/wireguard/configuration.ts';
import { encodeHexadecimalKey, encodeKey } from '../../../daemon/wireguard/keys.ts';
import { publicKeyOf } from '../../../daemon/wireguard/primitives.ts';
import type { DeviceStatus } from '../../../daemon/wireguard/status.ts';
import {
  applySet,
  formatErrno,
  formatGet,
  parseEndpoint,
  parsePrefix,
  parseSet,
  UapiError,
} from '../../../daemon/wireguard/uapi.ts';

const test = suite('uapi');

const zone = (name: string) => (name === 'eth0' ? 2 : /^\d+$/.test(name) ? Number(name) : null);
const key = (byte: number) => new Uint8Array(32).fill(byte);
const hex = (byte: number) => encodeHexadecimalKey(key(byte));
const base64 = (byte: number) => encodeKey(key(byte));

/** The result of several `set` requests in sequence, each given as one text. */
function after(...requests: string[]): DeviceConfiguration {
  let configuration = EMPTY_CONFIGURATION;
  for (const request of requests)
    ({ configuration } = applySet(configuration, parseSet(request.trim().split('\n'), zone)));
  return configuration;
}

const routesOf = (configuration: DeviceConfiguration) =>
  Object.fromEntries(configuration.routes.map(({ prefix, targets }) => [prefix, targets[0]]));

test('a set request configures a complete device', () => {
  const configuration = after(`
private_key=${hex(0x11)}
listen_port=12912
fwmark=51820
replace_peers=true
public_key=${hex(1)}
preshared_key=${hex(2)}
replace_allowed_ips=true
allowed_ip=192.168.4.4/32
allowed_ip=10.1.2.3/16
endpoint=[abcd:23::33%eth0]:51820
protocol_version=1
public_key=${hex(3)}
persistent_keepalive_interval=111
endpoint=182.122.22.19:3233
allowed_ip=fd00::1:2/64
`);
  assert.equal(configuration, {
    privateKey: key(0x11),
    port: 12_912,
    fwmark: 51_820,
    peers: [
      {
        publicKey: base64(1),
        mtu: 0,
        presharedKey: key(2),
        endpoint: '[abcd:23::33%2]:51820',
        persistentKeepaliveSeconds: 0,
      },
      { publicKey: base64(3), mtu: 0, endpoint: '182.122.22.19:3233', persistentKeepaliveSeconds: 111 },
    ],
    routes: [
      { prefix: '192.168.4.4/32', targets: [base64(1)] },
      { prefix: '10.1.0.0/16', targets: [base64(1)] },
      { prefix: 'fd00::/64', targets: [base64(3)] },
    ],
  });
});

test('a prefix belongs to the peer that got it last, and removing it from another changes nothing', () => {
  const one = `public_key=${hex(1)}\nallowed_ip=10.0.0.0/8\nallowed_ip=10.1.0.0/16`;
  assert.equal(routesOf(after(one, `public_key=${hex(3)}\nallowed_ip=10.0.0.0/8`)), {
    '10.0.0.0/8': base64(3),
    '10.1.0.0/16': base64(1),
  });
  assert.equal(routesOf(after(one, `public_key=${hex(1)}\nallowed_ip=-10.1.0.0/16`)), {
    '10.0.0.0/8': base64(1),
  });
  assert.equal(routesOf(after(one, `public_key=${hex(3)}\nallowed_ip=-10.1.0.0/16`)), routesOf(after(one)));
  assert.equal(
    routesOf(after(one, `public_key=${hex(1)}\nreplace_allowed_ips=true\nallowed_ip=10.9.0.0/16`)),
    {
      '10.9.0.0/16': base64(1),
    },
  );
});

test('remove, update_only, replace_peers', () => {
  const two = `public_key=${hex(1)}\nallowed_ip=10.1.0.0/16\npublic_key=${hex(3)}\nallowed_ip=10.3.0.0/16`;
  const keys = (configuration: DeviceConfiguration) => configuration.peers.map((peer) => peer.publicKey);
  assert.equal(keys(after(two, `public_key=${hex(1)}\nremove=true`)), [base64(3)]);
  assert.equal(routesOf(after(two, `public_key=${hex(1)}\nremove=true`)), { '10.3.0.0/16': base64(3) });
  assert.equal(keys(after(two, `public_key=${hex(9)}\nremove=true`)), [base64(1), base64(3)]);
  assert.equal(keys(after(two, `public_key=${hex(9)}\nupdate_only=true\nallowed_ip=10.9.0.0/16`)), [
    base64(1),
    base64(3),
  ]);
  assert.equal(keys(after(two, `replace_peers=true\npublic_key=${hex(9)}`)), [base64(9)]);
  assert.equal(routesOf(after(two, 'replace_peers=true')), {});
});

test('absent values stay unchanged, and zero keys mean none', () => {
  const first = `private_key=${hex(0x11)}\nlisten_port=1\nfwmark=0x20\npublic_key=${hex(1)}\npreshared_key=${hex(2)}\npersistent_keepalive_interval=5`;
  const kept = after(first, `public_key=${hex(1)}\nallowed_ip=10.0.0.1/32`);
  assert.equal(kept.peers[0]?.presharedKey, key(2));
  assert.is(kept.peers[0]?.persistentKeepaliveSeconds, 5);
  assert.is(kept.fwmark, 32);
  assert.equal(kept.privateKey, key(0x11));
  const cleared = after(
    first,
    `private_key=${hex(0)}\nfwmark=\npublic_key=${hex(1)}\npreshared_key=${hex(0)}`,
  );
  assert.is(cleared.privateKey, null);
  assert.is(cleared.fwmark, 0);
  assert.not.ok('presharedKey' in (cleared.peers[0] ?? {}));
});

test('a device is not its own peer', () => {
  const own = encodeHexadecimalKey(publicKeyOf(key(0x11)));
  assert.is(after(`private_key=${hex(0x11)}\npublic_key=${own}\nallowed_ip=10.0.0.0/8`).peers.length, 0);
  assert.is(after(`public_key=${own}\nallowed_ip=10.0.0.0/8`, `private_key=${hex(0x11)}`).peers.length, 0);
});

test('a set endpoint overrides roaming, even if unchanged', () => {
  const said = `public_key=${hex(1)}\nendpoint=192.0.2.1:1`;
  const { override } = applySet(after(said), parseSet(said.split('\n'), zone));
  assert.equal([...override], [base64(1)]);
  assert.is(applySet(after(said), parseSet([`public_key=${hex(1)}`], zone)).override.size, 0);
});

const refused = [
  'private_key=00',
  `private_key=${'zz'.repeat(32)}`,
  'listen_port=65536',
  'listen_port=-1',
  'listen_port=1e3',
  'fwmark=0x100000000',
  'replace_peers=yes',
  'unknown=1',
  'allowed_ip=10.0.0.0/8',
  'no separator',
  '=nothing',
  'public_key=short',
  ...[
    'allowed_ip=10.0.0.0/33',
    'allowed_ip=300.0.0.0/8',
    'allowed_ip=::/129',
    'allowed_ip=',
    'endpoint=example.com:1',
    'endpoint=192.0.2.1',
    'endpoint=192.0.2.1:65536',
    'endpoint=[::1]',
    'endpoint=[fe80::1%nosuch]:1',
    'endpoint=2001:db8::1:51820',
    'persistent_keepalive_interval=65536',
    'protocol_version=2',
    'remove=false',
    'listen_port=1',
  ].map((line) => `public_key=${hex(1)}\n${line}`),
];

for (const text of refused)
  test(`refused: ${text.split('\n').at(-1)?.slice(0, 40)}`, () => {
    assert.throws(
      () => parseSet(text.split('\n'), zone),
      (error: unknown) =>
        error instanceof UapiError && [22, 71].includes(error.errno) && !error.message.includes('zz'),
    );
  });

test('prefixes and endpoints are written in canonical form', () => {
  assert.is(parsePrefix('10.1.2.3'), '10.1.2.3/32');
  assert.is(parsePrefix('0.0.0.0/0'), '0.0.0.0/0');
  assert.is(parsePrefix('::/0'), '::/0');
  assert.is(parsePrefix('FD00:0:0::1/128'), 'fd00::1/128');
  assert.is(parseEndpoint('192.0.2.1:0', zone), '192.0.2.1:0');
  assert.is(parseEndpoint('[2001:db8::1]:51820', zone), '[2001:db8::1]:51820');
  assert.is(parseEndpoint('[fe80::1%7]:51820', zone), '[fe80::1%7]:51820');
});

test('get returns the set values, with counters', () => {
  const text = `private_key=${hex(0x18)}
listen_port=12912
public_key=${hex(1)}
endpoint=192.0.2.1:5
allowed_ip=10.1.0.0/16
allowed_ip=fd00::/64
public_key=${hex(3)}
preshared_key=${hex(4)}`;
  const status: DeviceStatus = {
    name: 'wg0',
    port: 12_912,
    publicKey: null,
    features: {
      aead: '',
      tunVnetHeader: false,
      tunTcpSegmentation: false,
      tunUdpSegmentation: false,
      udpSegmentation: false,
      udpReceiveCoalescing: false,
      ipv6: true,
      threadPairs: 1,
    },
    drops: {},
    handshakes: {
      malformed: 0,
      wrongMac1: 0,
      unknownPeer: 0,
      unknownIndex: 0,
      forged: 0,
      replayed: 0,
      tooFrequent: 0,
      rateLimited: 0,
      cookiesSent: 0,
    },
    peers: [
      {
        publicKey: base64(1),
        endpoint: '[fe80::9%2]:77',
        latestHandshake: 1_700_000_000_250,
        established: true,
        receivedBytes: 1_000,
        sentBytes: 2_000,
        receivedPackets: 1,
        sentPackets: 2,
        drops: {},
      },
    ],
  };
  assert.equal(
    formatGet(after(text), status, (index) => (index === 2 ? 'eth0' : null)),
    [
      `private_key=${'18'.repeat(31)}58`,
      'listen_port=12912',
      `public_key=${hex(1)}`,
      `preshared_key=${hex(0)}`,
      'protocol_version=1',
      'endpoint=[fe80::9%eth0]:77',
      'last_handshake_time_sec=1700000000',
      'last_handshake_time_nsec=250000000',
      'tx_bytes=2000',
      'rx_bytes=1000',
      'persistent_keepalive_interval=0',
      'allowed_ip=10.1.0.0/16',
      'allowed_ip=fd00::/64',
      `public_key=${hex(3)}`,
      `preshared_key=${hex(4)}`,
      'protocol_version=1',
      'last_handshake_time_sec=0',
      'last_handshake_time_nsec=0',
      'tx_bytes=0',
      'rx_bytes=0',
      'persistent_keepalive_interval=0',
    ],
  );
});

test('a response ends with errno, zero or negative, and an empty line', () => {
  assert.is(formatErrno(0), 'errno=0\n\n');
  assert.is(formatErrno(22), 'errno=-22\n\n');
});

test.run();
