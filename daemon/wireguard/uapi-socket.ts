/**
 * Serves the userspace API on its Unix socket, so that `wg` can control a device. A connection may carry any number of
 * requests. Deleting the socket ends the device, which is how scripts stop a userspace WireGuard.
 */
import { watch } from 'node:fs';
import { chmod, lstat, mkdir, unlink } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { basename, dirname } from 'node:path';
import { isMainThread } from 'node:worker_threads';

import { ConfigurationError } from './configuration.ts';
import type { EngineShell } from './engine-driver.ts';
import { interfaceIndex, interfaceName } from './engine-loader.ts';
import { applySet, ERRNO, formatErrno, formatGet, parseSet, UapiError } from './uapi.ts';
import type { Errno } from './uapi.ts';

/** Where `wg` looks for sockets. */
export const SOCKET_DIRECTORY = '/var/run/wireguard';
/** Request limit in characters, enough for tens of thousands of peers; a client that sends more is disconnected. */
const REQUEST_LIMIT = 32 * 1024 * 1024;
const CONNECTION_LIMIT = 64;
/** An idle connection is closed after this, milliseconds. */
const IDLE_DEADLINE = 60_000;
/** A running program accepts a connection to its socket well within this, milliseconds. */
const PROBE_DEADLINE = 1_000;

/** Answers one request, given as its lines without the terminating empty one. */
export function answerRequest(shell: EngineShell, lines: readonly string[]): string {
  try {
    const [operation, ...rest] = lines;
    if (operation === 'get=1' && rest.length === 0) {
      const answer = formatGet(shell.configuration, shell.status(), interfaceName);
      return `${answer.join('\n')}\n${formatErrno(0)}`;
    }
    if (operation !== 'set=1') throw new UapiError(ERRNO.EPROTO, 'unknown operation');
    const { configuration, override } = applySet(shell.configuration, parseSet(rest, zoneIndex));
    shell.configure(configuration, override);
    return formatErrno(0);
  } catch (error) {
    return formatErrno(errnoOf(error));
  }
}

function errnoOf(error: unknown): Errno {
  if (error instanceof UapiError) return error.errno;
  if (error instanceof ConfigurationError) return ERRNO.EINVAL;
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'EADDRINUSE' || /EADDRINUSE|in use/i.test(String(error))) return ERRNO.EADDRINUSE;
  return ERRNO.EIO;
}

/**
 * The scope of `fe80::1%eth0` is the index of the interface. The kernel is asked by name: Node lists only interfaces that
 * have a carrier and an address, and at boot the link may come up after the configuration.
 */
function zoneIndex(zone: string): number | null {
  if (/^\d{1,9}$/.test(zone)) return Number(zone);
  return interfaceIndex(zone) || null;
}

function serveConnection(shell: EngineShell, socket: Socket): void {
  let pending = '';
  socket.setEncoding('utf8');
  socket.setTimeout(IDLE_DEADLINE, () => socket.destroy());
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: string) => {
    pending += chunk;
    if (pending.length > REQUEST_LIMIT) {
      socket.end(formatErrno(ERRNO.EPROTO));
      pending = '';
      return;
    }
    for (;;) {
      const end = pending.indexOf('\n\n');
      if (end < 0) return;
      const request = pending.slice(0, end);
      pending = pending.slice(end + 2);
      socket.write(answerRequest(shell, request.split('\n')));
    }
  });
}

export interface UapiSocket {
  /** Resolves when the socket was removed. */
  removed: Promise<void>;
  close: () => Promise<void>;
}

/** Whether a running program serves this socket. */
async function isServed(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(path);
  socket.setTimeout(PROBE_DEADLINE, () => resolve(false));
  socket.once('connect', () => resolve(true));
  socket.once('error', () => resolve(false));
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}

async function listen(server: Server, target: { path: string } | { fd: number }): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.once('listening', resolve);
  // The umask gives the socket its mode, so that others can never connect. A worker thread can't change the umask; there
  // `chmod` restricts the socket, and the default umask until then.
  const umask = isMainThread ? process.umask(0o177) : null;
  try {
    server.listen(target);
    await promise;
  } finally {
    if (umask !== null) process.umask(umask);
    server.off('error', reject);
  }
}

/**
 * Serves `shell` on `DIRECTORY/NAME.sock`, or on an inherited listening socket. Throws when another running device has the
 * name; a stale socket is replaced.
 */
export async function serveUapi(
  shell: EngineShell,
  target: { path: string } | { fileDescriptor: number },
): Promise<UapiSocket> {
  const connections = new Set<Socket>();
  const server = createServer((socket) => {
    connections.add(socket);
    socket.once('close', () => connections.delete(socket));
    serveConnection(shell, socket);
  });
  server.maxConnections = CONNECTION_LIMIT;
  const stop = async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    server.close(() => resolve());
    for (const socket of connections) socket.destroy();
    await promise;
  };
  const removed = Promise.withResolvers<void>();
  if ('fileDescriptor' in target) {
    await listen(server, { fd: target.fileDescriptor });
    return { removed: removed.promise, close: stop };
  }

  const { path } = target;
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  if (await isServed(path))
    throw new Error(`another tunnel device serves ${path}; stop it, or choose another name`);
  await unlink(path).catch(() => undefined);
  await listen(server, { path });
  await chmod(path, 0o600);
  const { ino } = await lstat(path);

  const check = async () => {
    const now = await lstat(path).catch(() => null);
    if (now?.ino !== ino) removed.resolve();
  };
  const watcher = watch(dirname(path), { persistent: false }, (_event, name) => {
    if (name === null || name === basename(path)) void check();
  });
  watcher.on('error', () => removed.resolve());
  return {
    removed: removed.promise,
    close: async () => {
      watcher.close();
      const now = await lstat(path).catch(() => null);
      if (now?.ino === ino) await unlink(path).catch(() => undefined);
      await stop();
    },
  };
}
