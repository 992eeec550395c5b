/**
 * `hawser tunnel NAME`: a WireGuard device in user space without a cluster. Like other such programs, it goes to the
 * background once the interface and its control socket exist, is configured by `wg`, and exits when the interface or the
 * socket is deleted.
 */
import { spawn } from 'node:child_process';
import { closeSync, writeSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { logLine } from '../../shared/log.ts';
import { makeEngine } from '../wireguard/engine-loader.ts';
import { EngineShell } from '../wireguard/engine-driver.ts';
import type { Log, LogLevel } from '../wireguard/engine-driver.ts';
import { serveUapi, SOCKET_DIRECTORY } from '../wireguard/uapi-socket.ts';

const USAGE = `Usage: hawser tunnel [-f|--foreground] INTERFACE-NAME

Creates a WireGuard device that \`wg\` and \`wg-quick\` configure. The process exits when its network interface or
its socket in ${SOCKET_DIRECTORY} is deleted.

Environment:
  LOG_LEVEL                  debug, info, error (default) or silent
  WG_PROCESS_FOREGROUND=1    same as --foreground
  WG_TUN_FD                  number of an open TUN descriptor to use
  WG_UAPI_FD                 number of a listening Unix socket to serve
`;

/** 1,500 minus 40 bytes of IPv6, 8 of UDP and 32 of WireGuard, which fits the usual path over both families. */
const DEFAULT_MTU = 1_420;
/** Maximum number of peers, as in wireguard-go. Unused room costs nothing. */
const MAXIMUM_PEERS = 65_536;
/** IFNAMSIZ without the terminating zero (linux/if.h). */
const LONGEST_NAME = 15;
/** How long the background process may take to create its device, milliseconds. */
const START_DEADLINE = 20_000;
/** Descriptor on which the background process reports that it is ready, or why it isn't. */
const READY_DESCRIPTOR = 3;
const READY_VARIABLE = 'HAWSER_TUNNEL_READY_FD';

const LEVELS: Readonly<Record<string, readonly LogLevel[]>> = {
  silent: [],
  error: ['error'],
  info: ['error', 'info'],
  debug: ['error', 'info', 'debug'],
  verbose: ['error', 'info', 'debug'],
};

function logTo(level: string | undefined): Log {
  const shown = LEVELS[level ?? 'error'] ?? LEVELS['error'] ?? [];
  return (severity, message, facts = {}) => {
    if (!shown.includes(severity)) return;
    process.stderr.write(`${logLine(Date.now(), severity, message, facts)}\n`);
  };
}

function checkName(name: string): void {
  if (
    name.length === 0 ||
    Buffer.byteLength(name) > LONGEST_NAME ||
    /[/\s:%]/.test(name) ||
    /^\.\.?$/.test(name)
  )
    throw new Error(
      `${JSON.stringify(name)} cannot be the name of a network interface: 1–${LONGEST_NAME} bytes, without space, slash or colon`,
    );
}

function descriptorFrom(variable: string): number | undefined {
  const text = process.env[variable];
  if (text === undefined || text === '') return undefined;
  if (!/^\d{1,6}$/.test(text)) throw new Error(`${variable} must be the number of an open descriptor`);
  return Number(text);
}

/**
 * Runs the command with its arguments (after `tunnel`) and returns its exit status. In the foreground it runs until `signal`
 * aborts or the device ends, otherwise until the background process is ready.
 */
export async function runTunnel(argv: readonly string[], signal: AbortSignal): Promise<number> {
  let name: string;
  let foreground: boolean;
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        foreground: { type: 'boolean', short: 'f', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    if (values.help) {
      process.stdout.write(USAGE);
      return 0;
    }
    if (positionals.length !== 1 || positionals[0] === undefined)
      throw new Error('requires exactly one INTERFACE-NAME argument');
    [name] = positionals as [string];
    checkName(name);
    foreground = values.foreground || process.env['WG_PROCESS_FOREGROUND'] === '1';
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n\n${USAGE}`);
    return 2;
  }
  try {
    return foreground ? await runHere(name, signal) : await runInBackground(name, signal);
  } catch (error) {
    process.stderr.write(`The tunnel device ${name} could not be started: ${messageOf(error)}\n`);
    return 1;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function runHere(name: string, signal: AbortSignal): Promise<number> {
  const log = logTo(process.env['LOG_LEVEL']);
  const ready = descriptorFrom(READY_VARIABLE);
  try {
    const tun = descriptorFrom('WG_TUN_FD');
    const shell = new EngineShell(makeEngine, {
      tun: tun === undefined ? { name, mtu: DEFAULT_MTU } : { fileDescriptor: tun },
      port: 0,
      relay: false,
      maximumPeers: MAXIMUM_PEERS,
      log,
    });
    const stop = () => shell.close();
    signal.addEventListener('abort', stop, { once: true });
    try {
      const inherited = descriptorFrom('WG_UAPI_FD');
      const socket = await serveUapi(
        shell,
        inherited === undefined
          ? { path: `${SOCKET_DIRECTORY}/${shell.name}.sock` }
          : { fileDescriptor: inherited },
      );
      log('info', 'the device is up', { name: shell.name });
      if (ready !== undefined) sayReady(ready, '');
      try {
        const closeWithSocket = async () => {
          await socket.removed;
          log('info', 'the control socket was deleted');
          shell.close();
        };
        void closeWithSocket();
        const failure = await shell.ended;
        if (failure === null || failure.reason === 'tun-closed') {
          log('info', failure?.message ?? 'the device is closed');
          return 0;
        }
        log('error', failure.message);
        return 1;
      } finally {
        await socket.close();
      }
    } finally {
      signal.removeEventListener('abort', stop);
      shell.close();
    }
  } catch (error) {
    if (ready !== undefined) sayReady(ready, messageOf(error));
    throw error;
  }
}

/** Reports to the waiting parent process: success, or the error. */
function sayReady(descriptor: number, problem: string): void {
  try {
    writeSync(descriptor, problem === '' ? 'ready\n' : `failed: ${problem}\n`);
    closeSync(descriptor);
  } catch {
    // The parent is gone; the device works without it.
  }
}

async function runInBackground(name: string, signal: AbortSignal): Promise<number> {
  const [entry] = process.argv.slice(1);
  if (entry === undefined) throw new Error('the path of this program is unknown; use --foreground');
  const { LOG_LEVEL: level = 'error' } = process.env;
  const output = level === 'silent' || level === 'error' ? 'ignore' : 'inherit';
  const stdio: ('ignore' | 'inherit' | 'pipe' | number)[] = ['ignore', output, output, 'pipe'];
  const env: NodeJS.ProcessEnv = { ...process.env, [READY_VARIABLE]: String(READY_DESCRIPTOR) };
  delete env['WG_PROCESS_FOREGROUND'];
  // Inherited descriptors have other numbers in the child.
  for (const variable of ['WG_TUN_FD', 'WG_UAPI_FD']) {
    const descriptor = descriptorFrom(variable);
    if (descriptor === undefined) continue;
    env[variable] = String(stdio.length);
    stdio.push(descriptor);
  }
  const child = spawn(process.execPath, [...process.execArgv, entry, 'tunnel', '--foreground', name], {
    detached: true,
    cwd: '/',
    env,
    stdio,
  });
  const answer = Promise.withResolvers<string>();
  let said = '';
  const pipe = child.stdio[READY_DESCRIPTOR];
  if (pipe === null || pipe === undefined || !('setEncoding' in pipe))
    throw new Error('the background process has no pipe for its readiness report');
  pipe.setEncoding('utf8');
  pipe.on('data', (chunk: string) => {
    said = (said + chunk).slice(0, 4_096);
  });
  pipe.once('end', () => answer.resolve(said.trim()));
  child.once('error', (error) => answer.resolve(`failed: ${error.message}`));
  const deadline = setTimeout(
    () => answer.resolve(`failed: the device was not ready after ${START_DEADLINE / 1_000} s`),
    START_DEADLINE,
  );
  const abort = () => answer.resolve('failed: interrupted');
  signal.addEventListener('abort', abort, { once: true });
  try {
    const result = await answer.promise;
    if (result === 'ready') {
      child.unref();
      return 0;
    }
    child.kill('SIGTERM');
    throw new Error(result.replace(/^failed: /, '') || 'the background process exited without a message');
  } finally {
    clearTimeout(deadline);
    signal.removeEventListener('abort', abort);
    pipe.destroy();
  }
}
