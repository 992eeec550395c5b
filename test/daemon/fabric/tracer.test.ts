/** A node's part of `hawser trace`: accepted requests, probed targets, and counters. */
import { createSocket } from 'node:dgram';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { echo } from '../../../daemon/fabric/node/echo.ts';
import type { DeviceStatus } from '../../../daemon/fabric/ports.ts';
import { countersBetween, mayAsk, parseTraceRequest } from '../../../daemon/fabric/node/tracer.ts';
import type { HostPlan } from '../../../daemon/host/index.ts';

test('a trace request is an ID with an optional address, and anything else is ignored', () => {
  const cases: [string | undefined, unknown][] = [
    [undefined, undefined],
    ['', undefined],
    ['{"id":"a-1"}', { id: 'a-1' }],
    ['{"id":"a-1","address":"10.128.0.7"}', { id: 'a-1', address: '10.128.0.7' }],
    ['{"id":"a 1"}', undefined],
    ['{"id":7}', undefined],
    ['{"id":"a","address":7}', undefined],
    [`{"id":"a","address":"${'1'.repeat(46)}"}`, undefined],
    [`{"id":"a","more":"${'x'.repeat(300)}"}`, undefined],
    ['null', undefined],
  ];
  for (const [text, expected] of cases) assert.equal(parseTraceRequest(text), expected, text ?? 'none');
});

test('only pods and addresses behind a tunnel are probed', () => {
  const plan = {
    packets: { podRanges: ['10.244.0.0/16'], remoteRanges: ['10.128.0.0/16'] },
  } as unknown as HostPlan;
  const cases: [string, boolean][] = [
    ['10.244.3.4', true],
    ['10.128.3.4', true],
    ['10.96.0.1', false],
    ['169.254.169.254', false],
    ['no address', false],
  ];
  for (const [address, expected] of cases) assert.is(mayAsk(plan, address), expected, address);
});

test('a trace reports changed counters of peers by name, and drops', () => {
  const status = (sent: number, received: number, drops: Record<string, number>): DeviceStatus => ({
    features: {},
    drops: {},
    peers: ['a', 'still', 'stranger'].map((publicKey) => ({
      publicKey,
      latestHandshake: 0,
      established: true,
      receivedBytes: 0,
      sentBytes: 0,
      sentPackets: publicKey === 'still' ? 7 : sent,
      receivedPackets: publicKey === 'still' ? 7 : received,
      drops: publicKey === 'still' ? {} : drops,
    })),
  });
  const nameOf = (key: string) => ({ a: 'oak', still: 'fir' })[key];
  assert.equal(
    countersBetween(status(10, 5, { notAdmitted: 1 }), status(14, 5, { notAdmitted: 3, noRoute: 0 }), nameOf),
    [{ peer: 'oak', sentPackets: 4, receivedPackets: 0, drops: { notAdmitted: 2 } }],
  );
  // A restarted device counts from zero.
  assert.equal(countersBetween(status(10, 5, {}), status(2, 1, {}), nameOf), []);
  assert.equal(countersBetween(null, status(2, 1, {}), nameOf)[0]?.sentPackets, 2);
});

test('a live host answers with ICMP port unreachable, a missing one not at all', async () => {
  const signal = AbortSignal.timeout(20_000);
  const here = await echo('127.0.0.1', undefined, signal);
  assert.is(here.sent, 4);
  assert.ok(here.answered >= 1, 'ICMP of this host');
  assert.ok((here.roundTripMilliseconds ?? -1) >= 0);
  // A host that accepts the datagram and sends no answer.
  const ports = await Promise.all(
    [33_434, 33_435, 33_436, 33_437].map(
      (port) =>
        new Promise<ReturnType<typeof createSocket>>((resolve) => {
          const socket = createSocket('udp4');
          socket.bind(port, '127.0.0.9', () => resolve(socket));
        }),
    ),
  );
  assert.is((await echo('127.0.0.9', undefined, signal)).answered, 0);
  for (const socket of ports) socket.close();
});

test.run();
