/** The device in a worker thread, as in the daemon, with wireguard-go at the other end. */
import { stat } from 'node:fs/promises';

import { suite } from 'uvu';
import * as assert from 'uvu/assert';

import { SOCKET_DIRECTORY } from '../../daemon/wireguard/uapi-socket.ts';
import type { DeviceConfiguration, DeviceStatus } from '../../daemon/wireguard/index.ts';
import { sleep, waitFor } from '../testbed/run.ts';
import { inner, ours, outer, withBed } from './bed.ts';
import type { Bed, Tunnel } from './bed.ts';
import { DeviceProcess } from './device-control.ts';
import { wireguardGo } from './peers.ts';

const test = suite('tunnel device');

const withDevice = (
  body: (bed: Bed, device: DeviceProcess, right: Tunnel, configuration: DeviceConfiguration) => Promise<void>,
) =>
  withBed(async (bed) => {
    const right = await bed.start('right', await wireguardGo());
    // Only for the keys of the left side.
    const left = await bed.start('left', ours());
    await left.stop();
    await bed.configure(right);
    const device = new DeviceProcess(bed, 'left');
    try {
      await device.tell({ order: 'start', name: left.name, port: left.port });
      await bed.in('left', 'ip', 'addr', 'add', `${inner.left.four}/24`, 'dev', left.name);
      await bed.in('left', 'ip', 'link', 'set', left.name, 'up');
      await body(bed, device, right, {
        privateKey: Uint8Array.from(Buffer.from(left.privateKey, 'base64')),
        port: left.port,
        fwmark: 0,
        peers: [
          {
            publicKey: right.publicKey,
            endpoint: `${outer.right.four}:${right.port}`,
            persistentKeepaliveSeconds: 0,
            mtu: 0,
          },
        ],
        routes: [
          { prefix: `${inner.right.four}/32`, targets: [right.publicKey] },
          { prefix: `${inner.left.four}/32`, targets: ['local'] },
        ],
      });
    } finally {
      device.child.kill('SIGKILL');
    }
  });

test(
  'the device is configured, used, queried, reconfigured and closed',
  withDevice(async (bed, device, right, configuration) => {
    const before = (await device.tell({ order: 'kept-status' })) as DeviceStatus;
    assert.is(before.publicKey, null);
    assert.ok(before.features.threadPairs >= 1);
    await device.tell({ order: 'configure', configuration });
    assert.is(await bed.ping('left', inner.right.four, { count: 2 }), 2);
    const [peer] = (await device.status()).peers;
    assert.ok(peer?.established);
    assert.is(peer?.endpoint, `${outer.right.four}:${right.port}`);
    assert.ok(Math.abs((peer?.latestHandshake ?? 0) - Date.now()) < 10_000);
    assert.is(peer?.receivedPackets, 2);
    assert.equal(await right.transfer(), [peer?.sentBytes, peer?.receivedBytes]);
    assert.ok(
      !JSON.stringify(await device.status()).includes(
        Buffer.from(configuration.privateKey ?? []).toString('base64'),
      ),
    );

    // Applied again, and with other routes, the session loses nothing.
    await device.tell({ order: 'configure', configuration });
    await device.tell({
      order: 'configure',
      configuration: {
        ...configuration,
        routes: [...configuration.routes, { prefix: '10.99.0.0/16', targets: [right.publicKey] }],
      },
    });
    assert.is(await bed.ping('left', inner.right.four), 1);
    assert.is((await device.status()).peers[0]?.latestHandshake, peer?.latestHandshake);

    // Without a route packets are dropped and counted.
    await device.tell({
      order: 'configure',
      configuration: { ...configuration, routes: [{ prefix: `${inner.left.four}/32`, targets: ['local'] }] },
    });
    assert.is(await bed.ping('left', inner.right.four), 0);
    assert.ok(((await device.status()).drops.noRoute ?? 0) > 0);

    await device.tell({ order: 'configure', configuration: { ...configuration, peers: [], routes: [] } });
    assert.is((await device.status()).peers.length, 0);
    await device.tell({ order: 'configure', configuration });
    assert.is(await bed.ping('left', inner.right.four), 1);
    assert.is(await device.tell({ order: 'close' }), 'closed');
    assert.not.ok((await bed.in('left', 'ip', 'link')).includes(`hw${bed.id}l`));
  }),
);

test(
  'wg shows the device of a daemon, and its changes last until the daemon configures again',
  withDevice(async (bed, device, right, configuration) => {
    await device.tell({ order: 'configure', configuration });
    assert.is(await bed.ping('left', inner.right.four), 1);
    const name = `hw${bed.id}l`;
    assert.is((await stat(`${SOCKET_DIRECTORY}/${name}.sock`)).mode & 0o777, 0o600);
    assert.match(await bed.in('left', 'wg', 'show', name), `allowed ips: ${inner.right.four}/32`);
    await bed.in('left', 'wg', 'set', name, 'peer', right.publicKey, 'remove');
    assert.is(await bed.ping('left', inner.right.four), 0);
    await device.tell({ order: 'configure', configuration });
    assert.is(await bed.ping('left', inner.right.four), 1);
  }),
);

test(
  'an invalid configuration is refused with the reason, and the rest stays',
  withDevice(async (bed, device, right, configuration) => {
    await device.tell({ order: 'configure', configuration });
    assert.is(await bed.ping('left', inner.right.four), 1);
    const refusals: [Partial<DeviceConfiguration>, RegExp][] = [
      [{ routes: [{ prefix: 'not a prefix', targets: [right.publicKey] }] }, /not a prefix/],
      [{ peers: [{ ...configuration.peers[0], publicKey: 'short' } as never] }, /base64/],
      [{ peers: [{ ...configuration.peers[0], endpoint: 'example.org:1' } as never] }, /endpoint/i],
      [{ privateKey: new Uint8Array(5) }, /private key/],
    ];
    for (const [change, reason] of refusals) {
      let message = '';
      try {
        await device.tell({ order: 'configure', configuration: { ...configuration, ...change } });
      } catch (error) {
        message = String(error);
      }
      assert.match(message, reason);
    }
    assert.is(await bed.ping('left', inner.right.four), 1);
  }),
);

test(
  'a blocked main loop delays neither packets nor handshakes',
  withDevice(async (bed, device, right, configuration) => {
    await device.tell({ order: 'configure', configuration });
    await right.wg(
      'set',
      'peer',
      await right.ofPeerKey(),
      'endpoint',
      `${outer.left.four}:${configuration.port}`,
    );
    const blocked = device.tell({ order: 'block', milliseconds: 4_000 });
    await sleep(200);
    const begun = performance.now();
    assert.is(await bed.ping('right', inner.left.four, { count: 2 }), 2);
    assert.ok(performance.now() - begun < 3_000);
    assert.ok((await right.latestHandshake()) > 0);
    await blocked;
  }),
);

test(
  'the device reports that its interface was deleted',
  withDevice(async (bed, device, _right, configuration) => {
    await device.tell({ order: 'configure', configuration });
    await bed.in('left', 'ip', 'link', 'del', `hw${bed.id}l`);
    const why = await Promise.race([device.ended, sleep(5_000)]);
    assert.is(why, 'tun-closed');
  }),
);

test(
  'status is at most about half a second old',
  withDevice(async (bed, device, right, configuration) => {
    await device.tell({ order: 'configure', configuration });
    assert.is(await bed.ping('left', inner.right.four), 1);
    await waitFor(
      'the session in the kept status',
      async () => ((await device.tell({ order: 'kept-status' })) as DeviceStatus).peers[0]?.established,
      { timeoutMilliseconds: 1_500 },
    );
    assert.ok(right.alive);
  }),
);

test.run();
