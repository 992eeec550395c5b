/**
 * The sockets of path probes, on this machine's loopback: their targets, and their behaviour while their addresses are missing.
 */
import { createSocket } from 'node:dgram';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createProber } from '../../../daemon/fabric/node/prober.ts';
import { silentLog } from '../../../daemon/kube/index.ts';
import { type Clock } from '../../../shared/time.ts';

/** TEST-NET-1 (RFC 5737): no machine has this address. */
const away = '192.0.2.1';
const here = '127.0.0.1';

/** A clock that runs fifty times as fast, and counts its pending timers. */
function quickClock(): Clock & { waiting: number; most: number } {
  const speed = 50;
  const clock = {
    waiting: 0,
    most: 0,
    now: () => performance.now() * speed,
    monotonic: () => performance.now() * speed,
    after(milliseconds: number, call: () => void) {
      let open = true;
      const end = () => {
        if (open) clock.waiting--;
        open = false;
      };
      clock.most = Math.max(clock.most, ++clock.waiting);
      const timer = setTimeout(() => {
        end();
        call();
      }, milliseconds / speed);
      return () => {
        clearTimeout(timer);
        end();
      };
    },
  };
  return clock;
}

async function freeUDPPort(): Promise<number> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(0, here, resolve));
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(resolve));
  return port;
}

const sockets = () => process.getActiveResourcesInfo().filter((name) => name === 'UDPWrap').length;
const rest = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

test('missing addresses are retried by one timer, and probes are sent from them once they exist', async () => {
  const clock = quickClock();
  const ending = new AbortController();
  const before = sockets();
  const port = await freeUDPPort();
  let turned = '';
  const prober = createProber({ onChange: (remote) => (turned = remote), log: silentLog, clock, port });
  const running = prober.run(ending.signal);
  prober.update({ answerAt: away, targets: [{ remoteCluster: 'oak', address: here, source: away }] });
  // A minute of that clock: about a hundred attempts.
  await rest(1_200);
  assert.ok(clock.most <= 2, `${clock.most} timers at once`);
  assert.ok(sockets() - before <= 2, `${sockets() - before} sockets at once`);
  assert.is(prober.verdict('oak')?.verified, false);

  prober.update({
    answerAt: here,
    targets: [{ remoteCluster: 'oak', address: here, source: here, expected: here }],
  });
  const verified = () => prober.verdict('oak')?.verified;
  for (let looks = 0; verified() !== true && looks < 1_000; looks++) await rest(10);
  assert.equal([verified(), turned], [true, 'oak']);
  ending.abort(new Error('the test ends'));
  await running;
  await rest(50);
  assert.is(clock.waiting, 0, 'nothing is awaited any more');
  assert.is(sockets(), before, 'no socket is left');
});

test.run();
