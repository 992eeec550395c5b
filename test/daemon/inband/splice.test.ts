/** The splice between real sockets of this machine. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Splice, type SpliceOptions } from '../../../daemon/inband/splice.ts';
import type { Target } from '../../../daemon/inband/targets.ts';
import { silentLog } from '../../../daemon/kube/index.ts';

const test = suite('in-band splice');
const ends: (() => unknown)[] = [];
test.after.each(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

/** A server of this machine, and the sockets that it accepted. */
async function target(handle: (socket: Socket) => void): Promise<Target & { server: Server }> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    ends.push(() => socket.destroy());
    handle(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ends.push(() => server.close());
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port, server };
}

async function splice(targets: () => readonly Target[], more: Partial<SpliceOptions> = {}) {
  const made = new Splice({
    name: 'test',
    address: '127.0.0.1',
    port: 0,
    targets,
    remoteOf: () => 'west',
    log: silentLog,
    ...more,
  });
  const stop = new AbortController();
  const running = made.run(stop.signal);
  ends.push(async () => {
    stop.abort();
    await running;
  });
  await until(() => made.listeningOn !== undefined);
  return { made, stop, running };
}

async function until(holds: () => boolean): Promise<void> {
  for (let tries = 0; !holds(); tries++) {
    if (tries > 1000) throw new Error(`not within 10 s: ${holds.toString()}`);
    await delay(10);
  }
}

function dial(made: Splice, localAddress?: string): Socket {
  const socket = connect({
    host: '127.0.0.1',
    port: made.listeningOn ?? 0,
    allowHalfOpen: true,
    ...(localAddress !== undefined && { localAddress }),
  });
  socket.on('error', () => socket.destroy());
  ends.push(() => socket.destroy());
  return socket;
}

/** Resolves on any close: `once` would reject for an error. */
const closeOf = (socket: Socket) => new Promise<void>((resolve) => socket.once('close', () => resolve()));

async function all(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await closeOf(socket);
  return Buffer.concat(chunks).toString('latin1');
}

const echo = (socket: Socket) => socket.pipe(socket);

test('bytes pass unchanged in both directions, and each direction ends separately', async () => {
  const to = await target((socket) => {
    let length = 0;
    socket.on('data', (chunk: Buffer) => (length += chunk.length));
    // Answers only after the other side's end: a half-closed connection must stay open for that.
    socket.on('end', () => socket.end(`${length} bytes`));
  });
  const { made } = await splice(() => [to]);
  const socket = dial(made);
  const answer = all(socket);
  socket.end(Buffer.alloc(8 << 20, 'x'));
  assert.is(await answer, `${8 << 20} bytes`);
  await until(() => made.counters.active === 0);
});

test('the target’s half-close leaves the direction to it open', async () => {
  const received: string[] = [];
  const to = await target((socket) => {
    socket.on('data', (chunk: Buffer) => received.push(chunk.toString()));
    socket.end('greeting');
  });
  const { made } = await splice(() => [to]);
  const socket = dial(made);
  const answer = all(socket);
  await once(socket, 'end');
  socket.end('said after the end');
  assert.is(await answer, 'greeting');
  await until(() => received.join('') === 'said after the end');
});

test('a reset of one side resets the other', async () => {
  const taken: Socket[] = [];
  const to = await target((socket) => taken.push(socket));
  const { made } = await splice(() => [to]);
  const one = dial(made);
  await until(() => taken.length === 1);
  const closed = closeOf(one);
  taken[0]?.resetAndDestroy();
  await closed;
  const two = dial(made);
  await until(() => taken.length === 2);
  const other = closeOf(taken[1] as Socket);
  two.resetAndDestroy();
  await other;
  await until(() => made.counters.active === 0);
});

test('a connection from an unauthorized address is refused before a target is dialled', async () => {
  let dialled = 0;
  const to = await target((socket) => {
    dialled++;
    echo(socket);
  });
  const { made } = await splice(() => [to], {
    remoteOf: (address) => (address === '127.0.0.2' ? 'west' : undefined),
  });
  const stranger = dial(made, '127.0.0.3');
  await closeOf(stranger);
  assert.is(dialled, 0);
  assert.is(made.counters.refusedStrangers, 1);
  const known = dial(made, '127.0.0.2');
  const answer = all(known);
  known.end('hello');
  assert.is(await answer, 'hello');
});

test('connections of one remote are limited, independent of others', async () => {
  const to = await target(echo);
  const { made } = await splice(() => [to], {
    limits: { connectionsPerRemote: 2, connections: 3 },
    remoteOf: (address) => (address === '127.0.0.2' ? 'west' : 'north'),
  });
  const west = [dial(made, '127.0.0.2'), dial(made, '127.0.0.2')];
  await until(() => made.counters.active === 2);
  await closeOf(dial(made, '127.0.0.2'));
  assert.is(made.counters.refusedFull, 1);
  const north = dial(made, '127.0.0.3');
  north.write('x');
  await once(north, 'data');
  await closeOf(dial(made, '127.0.0.3'));
  assert.is(made.counters.refusedFull, 2);
  west[0]?.destroy();
  await until(() => made.counters.active === 2);
  const again = dial(made, '127.0.0.2');
  again.write('x');
  await once(again, 'data');
});

test('remotes that hold all connections cede some to remotes with fewer', async () => {
  const to = await target(echo);
  const { made } = await splice(() => [to], {
    limits: { connectionsPerRemote: 6, connections: 8 },
    remoteOf: (address) => `remote-${address}`,
  });
  const hostile = ['127.0.0.2', '127.0.0.3'].flatMap((address) =>
    Array.from({ length: 4 }, () => dial(made, address)),
  );
  await until(() => made.counters.active === 8);
  let lost = 0;
  for (const each of hostile) each.once('close', () => void lost++);
  const others = ['127.0.0.4', '127.0.0.4', '127.0.0.5'].map((address) => dial(made, address));
  for (const each of others) {
    each.write('x');
    await once(each, 'data');
  }
  await until(() => lost === 3 && made.counters.active === 8);
  assert.is(made.counters.ceded, 3);
  // A remote with no fewer connections than the others gets none of theirs.
  await closeOf(dial(made, '127.0.0.2'));
  assert.is(made.counters.refusedFull, 1);
  assert.is(lost, 3);
});

test('a target that does not answer is skipped; without another the connection ends', async () => {
  const to = await target(echo);
  const dead = await target(echo);
  dead.server.close();
  let targets: Target[] = [dead, to];
  const { made } = await splice(() => targets);
  const one = dial(made);
  const answer = all(one);
  one.end('found');
  assert.is(await answer, 'found');
  targets = [dead];
  await closeOf(dial(made));
  targets = [];
  await closeOf(dial(made));
  assert.is(made.counters.unreachable, 2);
});

test('new connections follow the targets, and those to removed targets end', async () => {
  const first = await target((socket) => socket.write('first'));
  const second = await target((socket) => socket.write('second'));
  let targets: Target[] = [first];
  const { made } = await splice(() => targets);
  const one = dial(made);
  assert.is(String((await once(one, 'data'))[0]), 'first');
  targets = [second];
  const ended = closeOf(one);
  made.sweep((host) => host !== '127.0.0.1');
  await ended;
  assert.is(String((await once(dial(made), 'data'))[0]), 'second');
});

test('a remote that may no longer connect loses its connections', async () => {
  const to = await target(echo);
  let may = true;
  const { made } = await splice(() => [to], { remoteOf: () => (may ? 'west' : undefined) });
  const one = dial(made);
  one.write('x');
  await once(one, 'data');
  may = false;
  const ended = closeOf(one);
  made.sweep(() => true);
  await ended;
});

test('an idle half-closed connection ends', async () => {
  const to = await target(() => undefined);
  const { made } = await splice(() => [to], { limits: { halfClosedMilliseconds: 200 } });
  const one = dial(made);
  one.resume();
  one.end('no answer comes');
  await closeOf(one);
  await until(() => made.counters.active === 0);
});

test('stopping closes the port and all connections', async () => {
  const to = await target(echo);
  const { made, stop, running } = await splice(() => [to]);
  const port = made.listeningOn ?? 0;
  const one = dial(made);
  one.write('x');
  await once(one, 'data');
  const ended = closeOf(one);
  stop.abort();
  await running;
  await ended;
  const refused = connect({ host: '127.0.0.1', port });
  const [error] = (await once(refused, 'error')) as [Error & { code?: string }];
  assert.is(error.code, 'ECONNREFUSED');
});

test('a missing address is bound once it exists', async () => {
  const to = await target(echo);
  const blocker = createServer();
  blocker.listen(0, '127.0.0.1');
  await once(blocker, 'listening');
  const { port } = blocker.address() as AddressInfo;
  const made = new Splice({
    name: 'test',
    address: '127.0.0.1',
    port,
    targets: () => [to],
    remoteOf: () => 'west',
    log: silentLog,
  });
  const stop = new AbortController();
  const running = made.run(stop.signal);
  ends.push(async () => {
    stop.abort();
    await running;
  });
  await delay(300);
  blocker.close();
  await until(() => made.listeningOn === port);
});

test.run();
