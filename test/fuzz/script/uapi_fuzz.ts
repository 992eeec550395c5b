/**
 * The text of the control socket: any text is a request or an errno; the resulting configuration of a device can be applied;
 * and passing the output of `get` to `set` gives the same device.
 */
import * as assert from 'node:assert/strict';

import { checkConfiguration, EMPTY_CONFIGURATION } from '../../../daemon/wireguard/configuration.ts';
import type { DeviceConfiguration } from '../../../daemon/wireguard/configuration.ts';
import type { DeviceStatus } from '../../../daemon/wireguard/status.ts';
import { applySet, formatGet, parseSet, UapiError } from '../../../daemon/wireguard/uapi.ts';
import type { SetRequest } from '../../../daemon/wireguard/uapi.ts';
import type { Harness } from './harness.ts';

const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));
const hex = (byte: number): string => byte.toString(16).padStart(2, '0').repeat(32);
const zoneIndex = (zone: string): number | null => (/^\d{1,9}$/.test(zone) ? Number(zone) : null);

const before = applySet(
  EMPTY_CONFIGURATION,
  parseSet(
    [
      `private_key=${hex(0x11)}`,
      `public_key=${hex(1)}`,
      'endpoint=192.0.2.1:1',
      'allowed_ip=10.0.0.0/8',
      `public_key=${hex(2)}`,
      `preshared_key=${hex(3)}`,
      'allowed_ip=fd00::/64',
    ],
    zoneIndex,
  ),
).configuration;

function statusOf(configuration: DeviceConfiguration): DeviceStatus {
  return {
    port: configuration.port,
    peers: configuration.peers.map(({ publicKey, endpoint }) => ({
      publicKey,
      ...(endpoint === undefined ? {} : { endpoint }),
      latestHandshake: 0,
      receivedBytes: 0,
      sentBytes: 0,
    })),
  } as unknown as DeviceStatus;
}

/** Without the order of peers and prefixes, which has no meaning. */
function shapeOf({ privateKey, port, fwmark, peers, routes }: DeviceConfiguration): unknown {
  const keyOf = (key: Uint8Array | null | undefined) => (key ? Buffer.from(key).toString('hex') : null);
  return {
    privateKey: keyOf(privateKey)?.slice(2, -2),
    port,
    fwmark,
    peers: peers
      .map(({ publicKey, presharedKey, endpoint, persistentKeepaliveSeconds }) =>
        [publicKey, keyOf(presharedKey), endpoint ?? null, persistentKeepaliveSeconds].join(),
      )
      .toSorted(),
    routes: routes.map(({ prefix, targets }) => `${prefix} ${targets.join()}`).toSorted(),
  };
}

function run(input: Uint8Array): void {
  const lines = Buffer.from(input).toString().split('\n');
  let request: SetRequest;
  try {
    request = parseSet(lines, zoneIndex);
  } catch (error) {
    if (error instanceof UapiError) return;
    throw error;
  }
  const { configuration } = applySet(before, request);
  checkConfiguration(configuration, 10_000);
  for (const { endpoint = '' } of configuration.peers)
    assert.ok(endpoint === '' || Number(/:(\d+)$/.exec(endpoint)?.[1]) <= 65_535, endpoint);
  const said = formatGet(configuration, statusOf(configuration), () => null).filter(
    (line) => !/^(last_handshake|tx_bytes|rx_bytes)/.test(line),
  );
  const again = applySet(EMPTY_CONFIGURATION, parseSet(said, zoneIndex)).configuration;
  assert.deepEqual(shapeOf(again), shapeOf(configuration));
}

export const harness: Harness = {
  batch: 1_000,
  seeds: [
    `private_key=${hex(0x22)}\nlisten_port=51820\nfwmark=0x10\nreplace_peers=true`,
    `public_key=${hex(4)}\npreshared_key=${hex(5)}\nendpoint=[fe80::1%7]:51820\npersistent_keepalive_interval=25\nreplace_allowed_ips=true\nallowed_ip=10.1.2.3/16\nallowed_ip=fd00::1/64\nprotocol_version=1`,
    `public_key=${hex(1)}\nupdate_only=true\nallowed_ip=-10.0.0.0/8\nendpoint=192.0.2.7:9\npublic_key=${hex(2)}\nremove=true`,
    'fwmark=\nlisten_port=0',
    `public_key=${hex(6)}\nendpoint=192.0.2.7:9`,
    `public_key=${hex(6)}\nendpoint=[::1]:443`,
    `public_key=${hex(6)}\nallowed_ip=10.0.0.0/8`,
    `public_key=${hex(6)}\npersistent_keepalive_interval=1`,
  ].map(bytesOf),
  tokens: [
    '\n',
    '=',
    'true',
    'public_key=',
    'preshared_key=',
    'private_key=',
    'endpoint=',
    'allowed_ip=',
    'remove=true',
    'update_only=true',
    'replace_allowed_ips=true',
    'replace_peers=true',
    'persistent_keepalive_interval=',
    'protocol_version=1',
    'listen_port=',
    'fwmark=',
    hex(0),
    hex(1),
    hex(2),
    hex(0xab),
    '10.0.0.0/8',
    '::/0',
    '::ffff:1.2.3.4/99',
    '0.0.0.0/33',
    '[::1]:1',
    '[fe80::1%4]:99999',
    '192.0.2.1:65536',
    '-',
    '+',
    '0x',
    '/128',
    '%',
  ].map(bytesOf),
  run,
};
