import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { suite } from 'uvu';
import * as assert from 'uvu/assert';

import { run, sleep, waitFor } from '../testbed/run.ts';
import { inner, other, ours, outer, withBed } from './bed.ts';
import { hardships, matrix, pair, assertNoneLost, throughRenewals } from './scenarios.ts';
import type { Implementation } from './bed.ts';
import { hurriedWireguardGo, wireguardGo } from './peers.ts';

const test = suite('wireguard-go');

let theirs: Implementation;
let hurried: Implementation;
test.before(async () => {
  theirs = await wireguardGo();
  hurried = await hurriedWireguardGo();
});

matrix(test, () => theirs);

test(
  'different pre-shared keys: nothing passes',
  withBed(async (bed) => {
    const { left } = await pair(bed, {
      initiator: 'left',
      presharedKey: (await run(['wg', 'genpsk'])).trim(),
      right: theirs,
    });
    await left.wg(
      'set',
      'peer',
      await left.ofPeerKey(),
      'preshared-key',
      await bed.secret((await run(['wg', 'genpsk'])).trim()),
    );
    assert.is(await bed.ping('left', inner.right.four), 0);
    assert.is(await left.latestHandshake(), 0);
  }),
);

test(
  'packets of 65,535 bytes pass in fragments, also with the minimum MTU',
  withBed(async (bed) => {
    await pair(bed, { initiator: 'left', right: theirs });
    assert.is(await bed.ping('left', inner.right.four), 1);
    assert.is(await bed.ping('left', inner.right.four, { size: 65_507, count: 2 }), 2);
    assert.is(await bed.ping('right', inner.left.four, { size: 65_507, count: 2 }), 2);
    assert.is(await bed.ping('left', inner.right.four, { size: 0 }), 1);
    for (const side of ['left', 'right'] as const)
      await bed.in(side, 'ip', 'link', 'set', `hw${bed.id}${side[0]}`, 'mtu', '1280');
    assert.is(await bed.ping('left', inner.right.four, { size: 4_000 }), 1);
    assert.is(await bed.ping('right', inner.left.six, { size: 4_000 }), 1);
    // Less than the minimum of IPv6, which leaves the interface then: IPv4 continues.
    for (const side of ['left', 'right'] as const)
      await bed.in(side, 'ip', 'link', 'set', `hw${bed.id}${side[0]}`, 'mtu', '576');
    assert.is(await bed.ping('left', inner.right.four, { size: 4_000 }), 1);
    assert.is(await bed.ping('right', inner.left.four, { size: 65_507 }), 1);
  }),
);

test(
  'TCP carries the bytes unchanged in both directions',
  withBed(async (bed) => {
    await pair(bed, { initiator: 'left', right: theirs });
    const sent = join(bed.directory, 'sent');
    await writeFile(sent, randomBytes(30_000_000));
    for (const side of ['left', 'right'] as const) {
      const far = other(side);
      const received = join(bed.directory, `from-${side}`);
      const sink = bed.spawn(far, ['socat', '-u', 'TCP-LISTEN:7001', `CREATE:${received}`]);
      await waitFor('the sink', async () => (await bed.in(far, 'ss', '-Hltn')).includes(':7001'), {
        timeoutMilliseconds: 5_000,
      });
      const ended = new Promise((resolve) => sink.once('exit', resolve));
      await bed.in(side, 'socat', '-u', `OPEN:${sent}`, `TCP:${inner[far].four}:7001`);
      await ended;
      assert.ok((await readFile(sent)).equals(await readFile(received)), `from ${side}`);
    }
  }),
);

test(
  'at least four rekeys by ours (every 4 s instead of 120) lose no packet',
  withBed(async (bed) => {
    // The minimum time between two handshakes of a peer is 5 s, so it is shortened too.
    const left = ours({ rekeyAfterTime: 4_000, rekeyTimeout: 2_000 });
    const tunnels = await pair(bed, { initiator: 'left', left, right: theirs });
    const { renewals, lost, packets, difference } = await throughRenewals(
      bed,
      'left',
      tunnels.left,
      tunnels.right,
    );
    assert.ok(renewals >= 4, `${renewals} renewals`);
    assertNoneLost(lost, packets);
    assert.ok(difference <= 1);
  }),
);

test(
  'at least four rekeys by theirs (its 120 s shortened to 3) lose no packet',
  withBed(async (bed) => {
    const tunnels = await pair(bed, { initiator: 'right', right: hurried });
    const { renewals, lost, packets, difference } = await throughRenewals(
      bed,
      'right',
      tunnels.left,
      tunnels.right,
    );
    assert.ok(renewals >= 4, `${renewals} renewals`);
    assertNoneLost(lost, packets);
    assert.ok(difference <= 1);
  }),
);

test(
  'roaming: either side may change its address and port',
  withBed(async (bed) => {
    const { left, right } = await pair(bed, { initiator: 'left', right: theirs });
    assert.is(await bed.ping('left', inner.right.four), 1);
    await bed.in('left', 'ip', 'addr', 'add', '192.0.2.101/24', 'dev', 'wan');
    await bed.in('left', 'ip', 'addr', 'del', '192.0.2.1/24', 'dev', 'wan');
    await bed.in('left', 'ip', 'addr', 'replace', '192.0.2.101/24', 'dev', 'wan');
    await left.wg('set', 'listen-port', '0');
    assert.is(await bed.ping('left', inner.right.four, { count: 2 }), 2);
    const port = (await left.wg('show', 'listen-port')).trim();
    assert.is(await right.ofPeer('endpoints'), `192.0.2.101:${port}`);
    assert.is(await bed.ping('right', inner.left.four), 1);

    await right.wg('set', 'listen-port', '40404');
    await bed.in('right', 'ip', 'addr', 'add', '192.0.2.102/24', 'dev', 'wan');
    await bed.in('right', 'ip', 'addr', 'del', '192.0.2.2/24', 'dev', 'wan');
    await bed.in('right', 'ip', 'addr', 'replace', '192.0.2.102/24', 'dev', 'wan');
    assert.is(await bed.ping('right', inner.left.four, { count: 2 }), 2);
    assert.is(await left.ofPeer('endpoints'), '192.0.2.102:40404');
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

test(
  'theirs restarts silently: ours notices after 15 s without an answer',
  withBed(async (bed) => {
    const { left, right } = await pair(bed, { initiator: 'left', right: theirs });
    assert.is(await bed.ping('left', inner.right.four), 1);
    const before = await left.latestHandshake();
    await right.stop();
    await bed.configure(await bed.start('right', theirs));
    const answered = await bed.ping('left', inner.right.four, { count: 20 });
    assert.ok(answered >= 2 && answered <= 6, `${answered} of 20: from the sixteenth second on`);
    assert.ok((await left.latestHandshake()) > before);
  }),
);

hardships(test, () => theirs);

// Both ours: wireguard-go loses its own packets after a change to an address of the other family.
test(
  'answers leave from the address that the request was sent to',
  withBed(async (bed) => {
    await bed.in('left', 'ip', 'addr', 'add', '192.0.2.201/24', 'dev', 'wan');
    await bed.in('left', 'ip', 'addr', 'add', '2001:db8::201/64', 'dev', 'wan', 'nodad');
    const { left, right } = await pair(bed, { initiator: 'right', right: ours() });
    for (const endpoint of [`192.0.2.201:${left.port}`, `[2001:db8::201]:${left.port}`]) {
      await right.wg('set', 'peer', left.publicKey, 'endpoint', endpoint);
      assert.is(await bed.ping('right', inner.left.four, { count: 2 }), 2);
      assert.is(await right.ofPeer('endpoints'), endpoint, 'the other side saw no other address');
      assert.is(await bed.ping('left', inner.right.four), 1);
      assert.is(await right.ofPeer('endpoints'), endpoint);
    }
  }),
);

test(
  'link-local endpoints with a scope',
  withBed(async (bed) => {
    const address = /inet6 (fe80::[0-9a-f:]+)/.exec(
      await bed.in('right', 'ip', '-6', 'addr', 'show', 'dev', 'wan'),
    )?.[1];
    assert.ok(address);
    await sleep(2_500); // Until the address is no longer tentative.
    const { left, right } = await pair(bed, { initiator: 'left', right: theirs });
    await left.wg('set', 'peer', right.publicKey, 'endpoint', `[${address}%wan]:${right.port}`);
    assert.is(await bed.ping('left', inner.right.four, { count: 2 }), 2);
    assert.is(await left.ofPeer('endpoints'), `[${address}%wan]:${right.port}`);
    assert.match(await right.ofPeer('endpoints'), /^\[fe80::/);
  }),
);

test(
  'persistent keepalive opens the session and sends keepalives',
  withBed(async (bed) => {
    const { left, right } = await pair(bed, { initiator: 'left', keepalive: 1, right: theirs });
    await sleep(4_500);
    assert.ok((await left.latestHandshake()) > 0);
    const [received] = await right.transfer();
    // An initiation of 148 bytes, then 32 bytes per second.
    assert.ok(received >= 148 + 3 * 32 && received <= 148 + 7 * 32, `${received} bytes`);
  }),
);

for (const victim of ['left', 'right'] as const)
  test(
    `a flood of initiations at ${victim === 'left' ? 'ours' : 'theirs'}: the other side gets its session with a cookie`,
    withBed(async (bed) => {
      const begins = other(victim);
      const tunnels = await pair(bed, { initiator: begins, right: theirs });
      const target = tunnels[victim];
      const flood = bed.spawn(begins, [
        process.execPath,
        new URL('flood.ts', import.meta.url).pathname,
        outer[victim].four,
        `${target.port}`,
        target.publicKey,
        '60',
      ]);
      await sleep(1_500);
      await waitFor(
        'an answer under the flood',
        async () => (await bed.ping(begins, inner[victim].four, { count: 3 })) > 0,
        { timeoutMilliseconds: 45_000 },
      );
      assert.is(flood.exitCode, null, 'the flood lasts');
      const resident = /VmRSS:\s+(\d+) kB/.exec(
        await readFile(`/proc/${tunnels.left.child.pid}/status`, 'utf8'),
      )?.[1];
      assert.ok(Number(resident) < 200_000, `${resident} kB resident`);
      flood.kill();
      await sleep(1_500);
      assert.is(await bed.ping(begins, inner[victim].four, { count: 2 }), 2, 'afterwards all is as before');
    }),
  );

test.run();
