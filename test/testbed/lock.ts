/** A lock between processes: a file that names its holder, and that expires with the holder's process. */
import { randomBytes } from 'node:crypto';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { identify, isAlive } from './processes.ts';
import type { ProcessId } from './processes.ts';
import { sleep } from './run.ts';

/** Runs `work` while holding the lock; calls `onWait` once with the present holder, if there is one. */
export async function withLock<T>(
  path: string,
  options: { signal?: AbortSignal | undefined; timeoutMilliseconds: number; onWait?: (pid: number) => void },
  work: () => Promise<T>,
): Promise<T> {
  await mkdir(dirname(path), { recursive: true });
  const me = identify(process.pid);
  const deadline = performance.now() + options.timeoutMilliseconds;
  const mine = `${path}.${process.pid}-${randomBytes(4).toString('hex')}`;
  let told = false;
  for (;;) {
    options.signal?.throwIfAborted();
    try {
      // A link appears atomically, so that no process sees a lock without its holder.
      await writeFile(mine, JSON.stringify(me), { mode: 0o600 });
      await link(mine, path);
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    } finally {
      await rm(mine, { force: true });
    }
    const holder = await readHolder(path);
    if (holder !== undefined && !isAlive(holder)) {
      await removeStale(path, holder);
      continue;
    }
    if (!told && holder !== undefined) {
      told = true;
      options.onWait?.(holder.pid);
    }
    if (performance.now() > deadline) {
      throw new Error(
        `waited ${options.timeoutMilliseconds / 1000} s in vain for the lock ${path}, held by process ${holder?.pid}`,
      );
    }
    await sleep(100, options.signal);
  }
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
  }
}

async function readHolder(path: string): Promise<ProcessId | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as ProcessId;
  } catch {
    // Gone, or being written: look again later.
    return undefined;
  }
}

/** Two processes that find the same dead holder must not remove each other's new lock: only an unchanged file is removed. */
async function removeStale(path: string, holder: ProcessId): Promise<void> {
  const again = await readHolder(path);
  if (again?.pid === holder.pid && again.startTime === holder.startTime) await rm(path, { force: true });
}
