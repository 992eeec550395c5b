import { suite } from 'uvu';
import * as assert from 'uvu/assert';

import { inner, other, ours, outer, withBed } from './bed.ts';
import type { Implementation } from './bed.ts';
import { boringTun, hurriedBoringTun } from './peers.ts';
import { assertNoneLost, hardships, matrix, pair, throughRenewals } from './scenarios.ts';

const test = suite('BoringTun');

let theirs: Implementation;
test.before(async () => {
  theirs = await boringTun();
});

// It reports the age of a handshake instead of its time, and counts the bytes inside the tunnel.
matrix(test, () => theirs, { handshakes: false, counters: false });

test(
  'at least four rekeys by ours (every 4 s instead of 120) lose no packet',
  withBed(async (bed) => {
    const left = ours({ rekeyAfterTime: 4_000, rekeyTimeout: 2_000 });
    const tunnels = await pair(bed, { initiator: 'left', left, right: theirs });
    const { renewals, lost, packets } = await throughRenewals(bed, 'left', tunnels.left, tunnels.right);
    assert.ok(renewals >= 4, `${renewals} renewals`);
    assertNoneLost(lost, packets);
  }),
);

test(
  'at least four rekeys by theirs (its clock runs ahead) lose no packet',
  withBed(async (bed) => {
    const tunnels = await pair(bed, { initiator: 'right', right: await hurriedBoringTun() });
    const { renewals, lost, packets } = await throughRenewals(bed, 'right', tunnels.left, tunnels.right, 30);
    assert.ok(renewals >= 4, `${renewals} renewals`);
    assertNoneLost(lost, packets);
  }),
);

hardships(test, () => theirs);

test(
  'roaming: theirs changes its address and port',
  withBed(async (bed) => {
    const { left, right } = await pair(bed, { initiator: 'left', right: theirs });
    assert.is(await bed.ping('left', inner.right.four), 1);
    await right.wg('set', 'listen-port', '40404');
    await bed.in('right', 'ip', 'addr', 'add', '192.0.2.102/24', 'dev', 'wan');
    await bed.in('right', 'ip', 'addr', 'del', '192.0.2.2/24', 'dev', 'wan');
    await bed.in('right', 'ip', 'addr', 'replace', '192.0.2.102/24', 'dev', 'wan');
    assert.is(await bed.ping('right', inner.left.four, { count: 2 }), 2);
    assert.is(await left.ofPeer('endpoints'), '192.0.2.102:40404');
    assert.is(await bed.ping('left', inner.right.four, { count: 2 }), 2);
  }),
);

test(
  'roaming: ours changes its address and port',
  withBed(async (bed) => {
    const { left } = await pair(bed, { initiator: 'left', right: theirs });
    assert.is(await bed.ping('left', inner.right.four), 1);
    await bed.in('left', 'ip', 'addr', 'add', '192.0.2.101/24', 'dev', 'wan');
    await bed.in('left', 'ip', 'addr', 'del', '192.0.2.1/24', 'dev', 'wan');
    await bed.in('left', 'ip', 'addr', 'replace', '192.0.2.101/24', 'dev', 'wan');
    await left.wg('set', 'listen-port', '0');
    assert.is(await bed.ping('left', inner.right.four, { count: 2 }), 2);
    assert.is(await bed.ping('right', inner.left.four, { count: 2 }), 2);
  }),
);

for (const side of ['left', 'right'] as const)
  test(
    `${side === 'left' ? 'ours' : 'theirs'} restarts and makes a new session`,
    withBed(async (bed) => {
      const tunnels = await pair(bed, { initiator: 'left', right: theirs });
      assert.is(await bed.ping('left', inner.right.four), 1);
      await tunnels[side].stop();
      const again = await bed.start(side, side === 'left' ? ours() : theirs);
      const far = other(side);
      await bed.configure(again, { endpoint: `${outer[far].four}:${tunnels[far].port}` });
      assert.is(await bed.ping(side, inner[far].four, { count: 2 }), 2);
      assert.is(await bed.ping(far, inner[side].four, { count: 2 }), 2);
    }),
  );

test.run();
