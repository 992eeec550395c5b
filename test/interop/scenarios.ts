/** Scenarios for every other implementation. */
import * as assert from 'uvu/assert';

import { run, sleep } from '../testbed/run.ts';
import { inner, other, ours, outer, withBed } from './bed.ts';
import type { Bed, Implementation, Side, Tunnel } from './bed.ts';

type Test = (name: string, body: () => Promise<void>) => void;

/** Ours on the left, theirs on the right; `initiator` knows the other's endpoint. */
export async function pair(
  bed: Bed,
  options: {
    initiator: Side;
    family?: 'four' | 'six';
    presharedKey?: string;
    left?: Implementation;
    right: Implementation;
    keepalive?: number;
  },
): Promise<{ left: Tunnel; right: Tunnel }> {
  const { initiator, family = 'four', presharedKey } = options;
  const left = await bed.start('left', options.left ?? ours());
  const right = await bed.start('right', options.right);
  // The initiator is configured last: the other side must listen before its first message.
  for (const tunnel of initiator === 'left' ? [right, left] : [left, right]) {
    const far = tunnel === left ? right : left;
    const address = outer[far.side][family];
    const endpoint = family === 'six' ? `[${address}]:${far.port}` : `${address}:${far.port}`;
    await bed.configure(tunnel, {
      ...(tunnel.side === initiator ? { endpoint } : {}),
      ...(tunnel.side === initiator && options.keepalive !== undefined
        ? { keepalive: options.keepalive }
        : {}),
      ...(presharedKey === undefined ? {} : { presharedKey }),
    });
  }
  return { left, right };
}

/** Initiator, outer family, pre-shared key: each combination, with both families inside. */
export function matrix(
  test: Test,
  theirs: () => Implementation,
  /** Which of its reports can be compared with ours. */
  reports: { handshakes: boolean; counters: boolean } = { handshakes: true, counters: true },
): void {
  for (const initiator of ['left', 'right'] as const)
    for (const family of ['four', 'six'] as const)
      for (const withKey of [false, true])
        test(
          `${initiator === 'left' ? 'ours' : 'theirs'} begins, outer IPv${family === 'four' ? 4 : 6}, ${withKey ? 'with' : 'without'} pre-shared key: inner IPv4 and IPv6`,
          withBed(async (bed) => {
            const key = withKey ? { presharedKey: (await run(['wg', 'genpsk'])).trim() } : {};
            const { left, right } = await pair(bed, { initiator, family, right: theirs(), ...key });
            const far = other(initiator);
            assert.is(
              await bed.ping(initiator, inner[far].four, { count: 2 }),
              2,
              'the first packet is not lost',
            );
            assert.is(await bed.ping(far, inner[initiator].six, { count: 2 }), 2);
            const seen = [await left.latestHandshake()];
            if (reports.handshakes) seen.push(await right.latestHandshake());
            assert.ok(
              seen.every((time) => Math.abs(time - Date.now() / 1_000) < 15),
              `handshakes at ${seen.join()}`,
            );
            const endpoint = await (initiator === 'left' ? right : left).ofPeer('endpoints');
            assert.ok(endpoint.includes(outer[initiator][family]), endpoint);
            const [received, sent] = await left.transfer();
            const [theirReceived, theirSent] = await right.transfer();
            if (reports.counters)
              assert.equal([received, sent], [theirSent, theirReceived], 'both count the same bytes');
          }),
        );
}

/**
 * Sockets of a busy machine may drop 1 %. A rekey after which the two sides have different keys would lose everything until the
 * next one, at least an eighth of the packets.
 */
export function assertNoneLost(lost: number, packets: number): void {
  assert.ok(packets > 0 && lost >= 0 && lost <= packets / 100, `${lost} of ${packets} lost`);
}

/** Sends 1 Mb/s for a while; returns the losses and the number of handshakes on the left. */
export async function throughRenewals(bed: Bed, from: Side, left: Tunnel, right: Tunnel, seconds = 24) {
  assert.is(await bed.ping(from, inner[other(from)].four), 1);
  const times = new Set<number>();
  const done = new AbortController();
  const watching = (async () => {
    while (!done.signal.aborted) {
      times.add(await left.latestHandshake());
      await sleep(400);
    }
  })();
  const report = await bed.iperf(from, '-u', '-b', '1M', '-l', '200', '-t', `${seconds}`);
  done.abort();
  await watching;
  const difference = Math.abs((await left.latestHandshake()) - (await right.latestHandshake()));
  return {
    renewals: times.size - 1,
    lost: report.end.sum?.lost_packets ?? -1,
    packets: report.end.sum?.packets ?? 0,
    difference,
  };
}

/** Datagrams that are dropped, duplicated, or delayed. */
export function hardships(test: Test, theirs: () => Implementation): void {
  test(
    'with 2 % random loss the session is established and TCP passes',
    withBed(async (bed) => {
      for (const side of ['left', 'right'] as const)
        await run([...bed.inside(side), 'nft', '-f', '-'], {
          input:
            'table inet lossy { chain in { type filter hook input priority 0; iifname "wan" meta l4proto udp numgen random mod 100 < 2 drop\n}\n}\n',
        });
      await pair(bed, {
        initiator: 'left',
        left: ours({ rekeyAfterTime: 4_000, rekeyTimeout: 2_000 }),
        right: theirs(),
      });
      assert.ok((await bed.ping('left', inner.right.four, { count: 3 })) >= 1);
      const report = await bed.iperf('left', '-t', '8');
      assert.ok((report.end.sum_received?.bytes ?? 0) > 1_000_000, JSON.stringify(report.end.sum_received));
    }),
  );

  test(
    'with loss, duplicates and reordering nothing is delivered twice, and handshakes succeed',
    withBed(async (bed) => {
      const relay = bed.spawn('right', [
        process.execPath,
        new URL('relay.ts', import.meta.url).pathname,
        '7000',
        '192.0.2.2',
        '51821',
        '1',
        '0.02',
        '0.1',
        '0.1',
      ]);
      await new Promise((resolve) => relay.stdout?.once('data', resolve));
      const left = await bed.start('left', ours({ rekeyAfterTime: 4_000, rekeyTimeout: 2_000 }));
      const right = await bed.start('right', theirs());
      await bed.configure(right);
      await bed.configure(left, { endpoint: '192.0.2.2:7000' });
      assert.ok((await bed.ping('left', inner.right.four, { count: 3 })) >= 1);
      const report = await bed.iperf('left', '-u', '-b', '1M', '-l', '200', '-t', '12');
      const { packets = 0, lost_packets: lost = 0 } = report.end.sum ?? {};
      assert.ok(lost >= 0 && lost < packets * 0.06, `${lost} of ${packets} lost`);
      const back = await bed.iperf('right', '-u', '-b', '1M', '-l', '200', '-t', '4');
      const { packets: backPackets = 0, lost_packets: backLost = 0 } = back.end.sum ?? {};
      assert.ok(backLost < backPackets * 0.06, `${backLost} of ${backPackets} lost on the way back`);
    }),
  );
}
