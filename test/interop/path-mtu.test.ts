/**
 * Discovery of the path MTU by probes inside the session: two devices like the daemon's, with a router between them that
 * silently drops large packets; and wireguard-go, which answers no probe.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

import type { DeviceConfiguration, PeerStatus } from '../../daemon/wireguard/index.ts';
import { run, waitFor } from '../testbed/run.ts';
import { inner, other, outer, withBed } from './bed.ts';
import type { Bed, Side } from './bed.ts';
import { DeviceProcess } from './device-control.ts';
import { wireguardGo } from './peers.ts';

const test = suite('path MTU');

const MTU = 1_420;
/** Shorter than the daemon's times, so that a test sees both directions of a change. */
const TIMES = {
  probeTimeout: 1_000,
  confirmInterval: 1_000,
  raiseInterval: 3_000,
  askInterval: 1_000,
  longestAskInterval: 2_000,
};
/** Overhead of an inner packet: transport header, tag, UDP, IP (WireGuard paper, section 5.4.6). */
const AROUND = { four: 16 + 16 + 8 + 20, six: 16 + 16 + 8 + 40 };

async function configurationOf(
  bed: Bed,
  side: Side,
  options: { family?: 'four' | 'six'; endpoint: boolean },
): Promise<DeviceConfiguration> {
  const { family = 'four', endpoint } = options;
  const far = other(side);
  const [privateKey] = bed.keys(side);
  const [, publicKey] = bed.keys(far);
  const port = far === 'left' ? 51_820 : 51_821;
  return {
    privateKey: Uint8Array.from(Buffer.from(privateKey, 'base64')),
    port: side === 'left' ? 51_820 : 51_821,
    fwmark: 0,
    peers: [
      {
        publicKey,
        persistentKeepaliveSeconds: endpoint ? 25 : 0,
        mtu: MTU,
        discoverPathMTU: true,
        ...(endpoint
          ? { endpoint: family === 'four' ? `${outer[far].four}:${port}` : `[${outer[far].six}]:${port}` }
          : {}),
      },
    ],
    routes: [
      { prefix: `${inner[far].four}/32`, targets: [publicKey] },
      { prefix: `${inner[side].four}/32`, targets: ['local'] },
    ],
  };
}

async function start(bed: Bed, side: Side): Promise<DeviceProcess> {
  const device = new DeviceProcess(bed, side);
  const name = `hw${bed.id}${side[0]}`;
  await device.tell({ order: 'start', name, port: 0, pathTimes: TIMES });
  await bed.in(side, 'ip', 'addr', 'add', `${inner[side].four}/24`, 'dev', name);
  await bed.in(side, 'ip', 'link', 'set', name, 'up');
  return device;
}

/** Silently drops incoming packets longer than `bytes` (of the outer IP packet). */
async function narrow(bed: Bed, bytes: number | null): Promise<void> {
  for (const side of ['left', 'right'] as const) {
    // A veth passes segments as one packet: with a limit of one each is a separate packet, as on other links.
    await bed.in(side, 'ip', 'link', 'set', 'wan', 'gso_max_segs', '1');
    const rule = bytes === null ? '' : `iifname "wan" meta length > ${bytes} drop`;
    const input = `table inet narrow\ndelete table inet narrow\ntable inet narrow { chain in { type filter hook prerouting priority -450; ${rule}\n}\n}\n`;
    await run([...bed.inside(side), 'nft', '-f', '-'], { input });
  }
}

async function peerOf(device: DeviceProcess): Promise<PeerStatus | undefined> {
  return (await device.status()).peers[0];
}

async function pathBecomes(
  device: DeviceProcess,
  what: string,
  fits: (mtu: number) => boolean,
): Promise<void> {
  await waitFor(
    `a path MTU that is ${what}`,
    async () => {
      const mtu = (await peerOf(device))?.pathMTU;
      return mtu !== undefined && fits(mtu);
    },
    { timeoutMilliseconds: 60_000 },
  );
}

/** Whether a packet of that many bytes (including the IP header) is answered; it is sent with DF set. */
async function passes(bed: Bed, from: Side, bytes: number): Promise<boolean> {
  return (await bed.ping(from, inner[other(from)].four, { size: bytes - 28 })) === 1;
}

/** The path MTU inside the tunnel in the kernel's cache. */
async function toldMTU(bed: Bed, from: Side): Promise<number> {
  const route = await bed.in(from, 'ip', 'route', 'get', inner[other(from)].four);
  return Number(/ mtu (\d+)/.exec(route)?.[1] ?? 0);
}

async function withDevices(
  bed: Bed,
  family: 'four' | 'six',
  body: (left: DeviceProcess, right: DeviceProcess) => Promise<void>,
): Promise<void> {
  const devices: DeviceProcess[] = [];
  try {
    const left = await start(bed, 'left');
    devices.push(left);
    const right = await start(bed, 'right');
    devices.push(right);
    await right.tell({
      order: 'configure',
      configuration: await configurationOf(bed, 'right', { family, endpoint: false }),
    });
    await left.tell({
      order: 'configure',
      configuration: await configurationOf(bed, 'left', { family, endpoint: true }),
    });
    await body(left, right);
  } finally {
    for (const device of devices) device.child.kill('SIGKILL');
  }
}

for (const family of ['four', 'six'] as const)
  test(
    `a black hole on the path (outer IPv${family === 'four' ? 4 : 6}) is detected, followed, and left behind`,
    withBed(async (bed) => {
      const around = AROUND[family];
      await withDevices(bed, family, async (left, right) => {
        for (const device of [left, right]) await pathBecomes(device, 'as configured', (mtu) => mtu === MTU);
        assert.ok(await passes(bed, 'left', MTU));

        await narrow(bed, 1_380);
        const fits = (mtu: number) => mtu <= 1_380 - around && mtu > 1_380 - around - 16;
        for (const device of [left, right])
          await pathBecomes(device, `just below ${1_380 - around}`, (mtu) => fits(mtu));
        const found = (await peerOf(left))?.pathMTU ?? 0;
        assert.ok(await passes(bed, 'left', found), 'what is shown passes');
        assert.not.ok(await passes(bed, 'left', found + 1), 'one byte more does not');
        assert.is(await toldMTU(bed, 'left'), found, 'and is answered with the right MTU');
        // From the other side, whose kernel has no path MTU: the MSS of the TCP handshake is clamped.
        const report = await bed.iperf('right', '-t', '2');
        assert.ok((report.end.sum_received?.bytes ?? 0) > 1_000_000, JSON.stringify(report.end.sum_received));
        const drops = (await peerOf(left))?.drops ?? {};
        assert.is(drops.sendFailed ?? 0, 0, JSON.stringify(drops));

        await narrow(bed, null);
        for (const device of [left, right]) await pathBecomes(device, 'as configured', (mtu) => mtu === MTU);
        await bed.in('left', 'ip', 'route', 'flush', 'cache');
        assert.ok(await passes(bed, 'left', MTU));
      });
    }),
  );

test(
  'after the MTU of a local interface shrinks, the new MTU applies at once, and packets pass',
  withBed(async (bed) => {
    await withDevices(bed, 'four', async (left) => {
      await pathBecomes(left, 'as configured', (mtu) => mtu === MTU);
      for (const side of ['left', 'right'] as const)
        await bed.in(side, 'ip', 'link', 'set', 'wan', 'mtu', '1400');
      await pathBecomes(left, 'just below 1340', (mtu) => mtu <= 1_340 && mtu > 1_324);
      assert.ok(await passes(bed, 'left', (await peerOf(left))?.pathMTU ?? 0));
    });
  }),
);

test(
  'a peer of another implementation answers no probes, and still works',
  withBed(async (bed) => {
    const right = await bed.start('right', await wireguardGo());
    await bed.configure(right);
    const left = await start(bed, 'left');
    try {
      await left.tell({
        order: 'configure',
        configuration: await configurationOf(bed, 'left', { endpoint: true }),
      });
      assert.is(await bed.ping('left', inner.right.four, { count: 5 }), 5);
      const peer = await peerOf(left);
      assert.ok(peer?.established);
      assert.is(peer?.pathMTU, undefined);
      assert.ok(await passes(bed, 'left', MTU));
    } finally {
      left.child.kill('SIGKILL');
    }
  }),
);

test.run();
