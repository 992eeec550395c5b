import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { withLock } from '../lock.ts';
import { bootId } from '../processes.ts';
import { sleep } from '../run.ts';

let directory = '';

test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hawser-lock-'));
});
test.after(() => rm(directory, { recursive: true, force: true }));

test('a lock has one holder at a time, and leaves no file', async () => {
  const path = join(directory, 'one.lock');
  let inside = 0;
  let most = 0;
  const work = async () => {
    most = Math.max(most, ++inside);
    await sleep(5);
    inside--;
  };
  await Promise.all(Array.from({ length: 5 }, () => withLock(path, { timeoutMilliseconds: 5000 }, work)));
  assert.is(most, 1);
  assert.equal(await readdir(directory), []);
});

test('a dead holder’s lock is taken, a live one’s is awaited until the deadline', async () => {
  const path = join(directory, 'two.lock');
  await writeFile(path, JSON.stringify({ pid: 2 ** 22, startTime: '1', boot: bootId }));
  assert.is(await withLock(path, { timeoutMilliseconds: 1000 }, () => Promise.resolve('done')), 'done');
  let message = '';
  let waitedFor = 0;
  await withLock(path, { timeoutMilliseconds: 1000 }, () =>
    withLock(path, { timeoutMilliseconds: 50, onWait: (pid) => (waitedFor = pid) }, () => Promise.resolve()),
  ).catch((error: Error) => (message = error.message));
  assert.match(message, `held by process ${process.pid}`);
  assert.is(waitedFor, process.pid);
});

test('the lock is released when the work fails', async () => {
  const path = join(directory, 'three.lock');
  const failing = withLock(path, { timeoutMilliseconds: 1000 }, () => Promise.reject(new Error('failed')));
  assert.is(await failing.catch((error: Error) => error.message), 'failed');
  assert.equal(await readdir(directory), []);
});

test.run();
