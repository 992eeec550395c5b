/**
 * Operations of other people's scripts on a user-space WireGuard, applied to ours: `wg`, `wg-quick`, `ip`, and the socket
 * itself.
 */
import { existsSync } from 'node:fs';
import { chmod, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';

import { suite } from 'uvu';
import * as assert from 'uvu/assert';

import { SOCKET_DIRECTORY } from '../../daemon/wireguard/uapi-socket.ts';
import { run, runAnyway, sleep, waitFor } from '../testbed/run.ts';
import { inner, ours, outer, withBed } from './bed.ts';
import type { Bed, Implementation, Tunnel } from './bed.ts';

const test = suite('scripts');

const program = join(import.meta.dirname, 'program.ts');
const inForeground: Implementation = (name) => ({
  command: [process.execPath, program, 'tunnel', '--foreground', name],
});

async function keys(count: number): Promise<string[]> {
  const made: string[] = [];
  for (let number = 0; number < count; number++) {
    const privateKey = (await run(['wg', 'genkey'])).trim();
    made.push((await run(['wg', 'pubkey'], { input: privateKey })).trim());
  }
  return made;
}

/** Both sides ours; the left knows the right's endpoint. */
async function pair(bed: Bed): Promise<[Tunnel, Tunnel]> {
  const left = await bed.start('left', inForeground);
  const right = await bed.start('right', ours());
  await bed.configure(right);
  await bed.configure(left, { endpoint: `${outer.right.four}:${right.port}` });
  return [left, right];
}

const gone = (tunnel: Tunnel) =>
  waitFor(`the end of ${tunnel.name}`, async () => !tunnel.alive, { timeoutMilliseconds: 5_000 });

/** Sends text unchanged to the control socket. */
async function say(name: string, text: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connect(`${SOCKET_DIRECTORY}/${name}.sock`);
  let answer = '';
  const deadline = setTimeout(() => reject(new Error(`no answer: ${answer}`)), 5_000);
  socket.on('error', reject);
  socket.on('data', (chunk: Buffer) => {
    answer += chunk.toString();
    if (/errno=-?\d+\n\n$/.test(answer)) resolve(answer);
  });
  socket.write(text);
  try {
    return await promise;
  } finally {
    clearTimeout(deadline);
    socket.destroy();
  }
}

test(
  'wg setconf loads 1,100 peers',
  withBed(async (bed) => {
    const tunnel = await bed.start('left', inForeground);
    const count = 1_100;
    // Any 32 bytes are a public key (RFC 7748, section 5).
    const sections = Array.from({ length: count }, (_, at) => {
      const key = Buffer.alloc(32, 1);
      key.writeUInt32BE(at + 1, 4);
      return `[Peer]\nPublicKey = ${key.toString('base64')}\nAllowedIPs = 10.${at >> 8}.${at & 255}.0/24\n`;
    });
    await tunnel.wg(
      'setconf',
      await bed.secret(`[Interface]\nPrivateKey = ${tunnel.privateKey}\n${sections.join('')}`),
    );
    assert.is((await tunnel.wg('show', 'peers')).trim().split('\n').length, count);
  }),
);

test(
  'wg takes an endpoint with a zone whose interface has no carrier, and uses it once it has',
  withBed(async (bed) => {
    const left = await bed.start('left', inForeground);
    const right = await bed.start('right', ours());
    await bed.configure(right);
    // A second link between both, with its far end down.
    const far = 'zoned-right';
    await run([
      'ip',
      'link',
      'add',
      'zoned',
      'netns',
      bed.namespace('left'),
      'type',
      'veth',
      'peer',
      'name',
      far,
      'netns',
      bed.namespace('right'),
    ]);
    await bed.in('left', 'ip', 'link', 'set', 'zoned', 'up');
    await bed.in('right', 'ip', 'addr', 'add', 'fe80::2/64', 'dev', far, 'nodad');
    await bed.configure(left, { endpoint: `[fe80::2%zoned]:${right.port}` });
    assert.is(await left.ofPeer('endpoints'), `[fe80::2%zoned]:${right.port}`);
    await bed.in('right', 'ip', 'link', 'set', far, 'up');
    await waitFor(
      'answers through the link',
      async () => (await bed.ping('left', inner.right.four, { count: 1 })) === 1,
      {
        timeoutMilliseconds: 30_000,
      },
    );
  }),
);

test(
  'wg setconf, addconf, syncconf, showconf and show all dump',
  withBed(async (bed) => {
    const tunnel = await bed.start('left', inForeground);
    const [one, two, three] = await keys(3);
    const section = (key: string | undefined, allowed: string, more = '') =>
      `[Peer]\nPublicKey = ${key}\nAllowedIPs = ${allowed}\n${more}`;
    const device = `[Interface]\nPrivateKey = ${tunnel.privateKey}\nListenPort = 5555\nFwMark = 0x1234\n`;

    await tunnel.wg(
      'setconf',
      await bed.secret(
        `${device}${section(one, '10.1.0.0/16, fd01::/64', 'Endpoint = 192.0.2.9:9\nPersistentKeepalive = 7\n')}${section(two, '10.2.0.0/16')}`,
      ),
    );
    assert.is((await tunnel.wg('show', 'peers')).trim().split('\n').length, 2);
    assert.is((await tunnel.wg('show', 'listen-port')).trim(), '5555');
    assert.is((await tunnel.wg('show', 'fwmark')).trim(), '0x1234');
    assert.match(await tunnel.wg('show', 'allowed-ips'), `${one}\t10.1.0.0/16 fd01::/64`);
    assert.match(await tunnel.wg('show', 'persistent-keepalive'), `${one}\t7`);

    await tunnel.wg('addconf', await bed.secret(section(three, '10.1.0.0/16')));
    const allowed = await tunnel.wg('show', 'allowed-ips');
    assert.match(allowed, `${three}\t10.1.0.0/16`, 'the prefix moved');
    assert.match(allowed, `${one}\tfd01::/64`);

    const kept = await tunnel.wg('showconf');
    await tunnel.wg('syncconf', await bed.secret(`${device}${section(two, '10.2.0.0/16, 10.22.0.0/16')}`));
    assert.is((await tunnel.wg('show', 'peers')).trim(), two);
    assert.match(await tunnel.wg('show', 'allowed-ips'), '10.2.0.0/16 10.22.0.0/16');
    await tunnel.wg('setconf', await bed.secret(kept));
    assert.is(await tunnel.wg('showconf'), kept, 'there and back again');

    const dump = await bed.in('left', 'wg', 'show', 'all', 'dump');
    const line = dump.split('\n').find((text) => text.startsWith(`${tunnel.name}\t${tunnel.privateKey}`));
    assert.ok(line?.endsWith('\t5555\t0x1234'), 'the dump names device, port and mark');
  }),
);

test(
  'wg set: remove, replace and empty allowed IPs, clear keys',
  withBed(async (bed) => {
    const tunnel = await bed.start('left', inForeground);
    const [one = '', two = ''] = await keys(2);
    await tunnel.wg('set', 'private-key', await bed.secret(tunnel.privateKey));
    assert.is((await tunnel.wg('show', 'public-key')).trim(), tunnel.publicKey);
    const presharedKey = await bed.secret((await run(['wg', 'genpsk'])).trim());
    await tunnel.wg(
      'set',
      'peer',
      one,
      'preshared-key',
      presharedKey,
      'allowed-ips',
      '10.1.0.0/16',
      'peer',
      two,
    );
    assert.is(
      (await tunnel.wg('show', 'preshared-keys')).split('\n').filter((text) => /\(none\)/.test(text)).length,
      1,
    );
    await tunnel.wg('set', 'peer', one, 'preshared-key', '/dev/null', 'allowed-ips', '');
    assert.is(
      (await tunnel.wg('show', 'preshared-keys')).split('\n').filter((text) => /\(none\)/.test(text)).length,
      2,
    );
    assert.match(await tunnel.wg('show', 'allowed-ips'), `${one}\t(none)`);
    await tunnel.wg('set', 'peer', one, 'remove', 'peer', two, 'remove');
    assert.is((await tunnel.wg('show', 'peers')).trim(), '');
    await tunnel.wg('set', 'private-key', '/dev/null');
    assert.is((await tunnel.wg('show', 'private-key')).trim(), '(none)');
    await tunnel.wg('set', 'peer', tunnel.publicKey, 'allowed-ips', '10.9.0.0/16');
    await tunnel.wg('set', 'private-key', await bed.secret(tunnel.privateKey));
    assert.is((await tunnel.wg('show', 'peers')).trim(), '', 'a device is no peer of itself');
  }),
);

test(
  'listen-port: any, another, one in use; the tunnel continues',
  withBed(async (bed) => {
    const [left] = await pair(bed);
    assert.is(await bed.ping('left', inner.right.four), 1);
    await left.wg('set', 'listen-port', '0');
    const any = Number((await left.wg('show', 'listen-port')).trim());
    assert.ok(any > 0 && any !== left.port);
    assert.is(await bed.ping('left', inner.right.four), 1);
    const taker = bed.spawn('left', ['socat', '-u', 'UDP-RECV:6000', 'OPEN:/dev/null']);
    await waitFor('the taker', async () => (await bed.in('left', 'ss', '-Hlun')).includes(':6000'), {
      timeoutMilliseconds: 3_000,
    });
    const refused = await runAnyway([...bed.inside('left'), 'wg', 'set', left.name, 'listen-port', '6000']);
    assert.is.not(refused.exitCode, 0);
    assert.match(refused.stderr, 'Address already in use');
    assert.is(Number((await left.wg('show', 'listen-port')).trim()), any);
    taker.kill();
    assert.is(await bed.ping('left', inner.right.four), 1);
  }),
);

test(
  'the control socket: mode, answers, errors, several requests at once, and garbage',
  withBed(async (bed) => {
    const tunnel = await bed.start('left', inForeground);
    const path = `${SOCKET_DIRECTORY}/${tunnel.name}.sock`;
    assert.is((await stat(path)).mode & 0o777, 0o600);
    assert.match(await say(tunnel.name, 'get=1\n\n'), /^listen_port=\d+\nerrno=0\n\n$/);
    assert.is(await say(tunnel.name, 'set=1\nlisten_port=70000\n\n'), 'errno=-22\n\n');
    assert.is(await say(tunnel.name, 'set=1\nno_such_key=1\n\n'), 'errno=-22\n\n');
    assert.is(await say(tunnel.name, 'set=1\ngarbage\n\n'), 'errno=-71\n\n');
    assert.is(await say(tunnel.name, 'fetch=1\n\n'), 'errno=-71\n\n');
    assert.is(
      await say(tunnel.name, `set=1\npublic_key=${'01'.repeat(32)}\nallowed_ip=10.0.0.0/99\n\n`),
      'errno=-22\n\n',
    );
    assert.is((await tunnel.wg('show', 'peers')).trim(), '', 'a refused request changes nothing');
    const both = await say(tunnel.name, 'set=1\nfwmark=5\n\nget=1\n\n');
    assert.ok(both.startsWith('errno=0\n\n'));
    for (const rubbish of ['\n\n', '=\n\n', '\0\0\0\n\n', `${'x'.repeat(100_000)}\n\n`])
      assert.match(await say(tunnel.name, rubbish), /errno=-\d+\n\n$/);
    assert.ok(tunnel.alive);
    const second = await runAnyway(
      [...bed.inside('left'), process.execPath, program, 'tunnel', '-f', tunnel.name],
      {
        timeoutMilliseconds: 15_000,
      },
    );
    assert.is(second.exitCode, 1, 'a second one of the same name is refused');
    assert.ok(tunnel.alive && existsSync(path));
  }),
);

test(
  'deleting the socket or the link ends the device',
  withBed(async (bed) => {
    const first = await bed.start('left', inForeground);
    await rm(`${SOCKET_DIRECTORY}/${first.name}.sock`);
    await gone(first);
    assert.is(first.child.exitCode, 0);
    assert.not.ok((await bed.in('left', 'ip', 'link')).includes(first.name));

    const second = await bed.start('left', inForeground);
    await bed.in('left', 'ip', 'link', 'del', second.name);
    await gone(second);
    assert.is(second.child.exitCode, 0);
    assert.not.ok(existsSync(`${SOCKET_DIRECTORY}/${second.name}.sock`));

    const third = await bed.start('left', inForeground);
    await third.stop();
    assert.is(third.child.exitCode, 0);
    assert.not.ok((await bed.in('left', 'ip', 'link')).includes(third.name));
  }),
);

test(
  'after a kill -9 the next process takes over the remaining socket',
  withBed(async (bed) => {
    const first = await bed.start('left', inForeground);
    first.child.kill('SIGKILL');
    await gone(first);
    assert.ok(existsSync(`${SOCKET_DIRECTORY}/${first.name}.sock`));
    const child = bed.spawn('left', [process.execPath, program, 'tunnel', '-f', first.name]);
    await waitFor('an answer', async () => (await say(first.name, 'get=1\n\n')).includes('errno=0'), {
      timeoutMilliseconds: 10_000,
    });
    child.kill('SIGTERM');
  }),
);

test(
  'in the background, interface and socket exist when the command returns, and failures are reported',
  withBed(async (bed) => {
    const name = `hw${bed.id}b`;
    await bed.in('left', process.execPath, program, 'tunnel', name);
    try {
      assert.ok(existsSync(`${SOCKET_DIRECTORY}/${name}.sock`));
      assert.match(await bed.in('left', 'ip', 'link', 'show', name), name);
      const again = await runAnyway([...bed.inside('left'), process.execPath, program, 'tunnel', name]);
      assert.is(again.exitCode, 1);
      assert.match(again.stderr, name);
    } finally {
      await bed.in('left', 'ip', 'link', 'del', name);
    }
    await waitFor('the end', async () => !existsSync(`${SOCKET_DIRECTORY}/${name}.sock`), {
      timeoutMilliseconds: 5_000,
    });
    for (const wrong of [
      [],
      ['a', 'b'],
      ['name/with/slash'],
      ['a-name-of-16-byte'],
      ['--no-such-option', 'x'],
    ]) {
      const refused = await runAnyway([process.execPath, program, 'tunnel', ...wrong]);
      assert.is(refused.exitCode, 2, wrong.join(' '));
      assert.match(refused.stderr, 'Usage');
    }
  }),
);

test(
  'a moved link: the interface in another namespace than the sockets',
  withBed(async (bed) => {
    const [left] = await pair(bed);
    const elsewhere = `${bed.namespace('left')}-inner`;
    await run(['ip', 'netns', 'add', elsewhere]);
    try {
      await bed.in('left', 'ip', 'link', 'set', left.name, 'netns', elsewhere);
      const inside = ['nsenter', `--net=/run/netns/${elsewhere}`, '--'];
      await run([...inside, 'ip', 'addr', 'add', `${inner.left.four}/24`, 'dev', left.name]);
      await run([...inside, 'ip', 'link', 'set', left.name, 'up']);
      const answer = await run([...inside, 'busybox', 'ping', '-c', '2', '-W', '3', inner.right.four]);
      assert.match(answer, '2 packets received');
      assert.ok((await left.latestHandshake()) > 0);
    } finally {
      await runAnyway(['ip', 'netns', 'del', elsewhere]);
    }
    await gone(left);
  }),
);

test(
  'a link that goes down and up again continues',
  withBed(async (bed) => {
    const [left] = await pair(bed);
    assert.is(await bed.ping('left', inner.right.four), 1);
    await bed.in('left', 'ip', 'link', 'set', left.name, 'down');
    await sleep(300);
    await bed.in('left', 'ip', 'link', 'set', left.name, 'up');
    assert.ok(left.alive);
    assert.is(await bed.ping('left', inner.right.four), 1);
  }),
);

test(
  'wg-quick up, save and down, with this as the user-space implementation and everything routed through it',
  withBed(async (bed) => {
    const right = await bed.start('right', ours());
    await bed.configure(right, { allowedIps: '10.77.0.0/24,fd77::/64' });
    const name = `hw${bed.id}q`;
    const wrapper = join(bed.directory, 'userspace-wireguard');
    await writeFile(wrapper, `#!/bin/sh\nexec ${process.execPath} ${program} tunnel "$@"\n`);
    await chmod(wrapper, 0o755);
    const privateKey = (await run(['wg', 'genkey'])).trim();
    const publicKey = (await run(['wg', 'pubkey'], { input: privateKey })).trim();
    await right.wg('set', 'peer', publicKey, 'allowed-ips', '10.77.0.9/32,fd77::9/128');
    const configuration = join(bed.directory, `${name}.conf`);
    await writeFile(
      configuration,
      `[Interface]
PrivateKey = ${privateKey}
Address = 10.77.0.9/32, fd77::9/128
MTU = 1380

[Peer]
PublicKey = ${right.publicKey}
AllowedIPs = 0.0.0.0/0, ::/0
Endpoint = ${outer.right.four}:${right.port}
PersistentKeepalive = 25
`,
      { mode: 0o600 },
    );
    const env = { WG_QUICK_USERSPACE_IMPLEMENTATION: wrapper };
    await run([...bed.inside('left'), 'wg-quick', 'up', configuration], { env });
    try {
      assert.is(await bed.ping('left', inner.right.four, { count: 2 }), 2);
      assert.is(await bed.ping('left', inner.right.six), 1);
      assert.is(await bed.ping('right', '10.77.0.9'), 1, 'the own address lies within the allowed IPs');
      assert.match(await bed.in('left', 'ip', 'link', 'show', name), 'mtu 1380');
      const mark = (await bed.in('left', 'wg', 'show', name, 'fwmark')).trim();
      assert.is.not(mark, 'off', 'what is sent is marked, so that it does not enter itself');
      await run([...bed.inside('left'), 'wg-quick', 'save', configuration], { env });
      assert.match(await readFile(configuration, 'utf8'), `PublicKey = ${right.publicKey}`);
    } finally {
      await run([...bed.inside('left'), 'wg-quick', 'down', configuration], { env });
    }
    await waitFor('the end', async () => !existsSync(`${SOCKET_DIRECTORY}/${name}.sock`), {
      timeoutMilliseconds: 5_000,
    });
    assert.not.ok((await bed.in('left', 'ip', 'link')).includes(name));
  }),
);

test(
  'a hundred peers by one setconf, and syncconf that changes one of them',
  withBed(async (bed) => {
    const tunnel = await bed.start('left', inForeground);
    const peers = await keys(100);
    const text = (endpointOfFirst: string) =>
      `[Interface]\nPrivateKey = ${tunnel.privateKey}\n${peers
        .map(
          (key, index) =>
            `[Peer]\nPublicKey = ${key}\nAllowedIPs = 10.0.${index}.0/24\nEndpoint = ${index === 0 ? endpointOfFirst : `192.0.2.9:${1_000 + index}`}\n`,
        )
        .join('')}`;
    await tunnel.wg('setconf', await bed.secret(text('192.0.2.9:1')));
    assert.is((await tunnel.wg('show', 'peers')).trim().split('\n').length, 100);
    await tunnel.wg('syncconf', await bed.secret(text('192.0.2.9:2')));
    assert.match(await tunnel.wg('show', 'endpoints'), `${peers[0]}\t192.0.2.9:2`);
  }),
);

test.run();
