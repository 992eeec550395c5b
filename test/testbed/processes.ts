/**
 * Identifies our processes. A process is identified by its ID and its start time, so that a reused ID is never mistaken for
 * ours, and no process is ended by name.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import { sleep } from './run.ts';

export interface ProcessId {
  pid: number;
  /** Start time in clock ticks since boot: field 22 of /proc/PID/stat, proc(5). */
  startTime: string;
  /** The boot in which it ran, since start times count from each boot. */
  boot: string;
}

export const bootId: string = readBoot();

function readBoot(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return 'unknown';
  }
}

/** Fields of /proc/PID/stat after the command's name, which may contain spaces and parentheses. */
export function parseStat(stat: string): { state: string; parent: number; startTime: string } | undefined {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state, parent] = fields;
  const startTime = fields[19];
  if (state === undefined || parent === undefined || startTime === undefined) return undefined;
  return { state, parent: Number(parent), startTime };
}

/**
 * The identity of a running process; undefined if there is none. A zombie counts as none, unless some of its threads run: the
 * first thread is shown as a zombie as soon as it has ended, but the process keeps its ports and files until the last one ends.
 */
export function identify(pid: number): ProcessId | undefined {
  try {
    const stat = parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'));
    if (stat === undefined || stat.state === 'X') return undefined;
    if (stat.state === 'Z' && readdirSync(`/proc/${pid}/task`).length < 2) return undefined;
    return { pid, startTime: stat.startTime, boot: bootId };
  } catch {
    return undefined;
  }
}

export function isAlive(process_: ProcessId): boolean {
  const now = identify(process_.pid);
  return now !== undefined && now.startTime === process_.startTime && process_.boot === bootId;
}

export interface Service {
  command: readonly string[];
  logFile: string;
  env?: Record<string, string>;
  /** True: the kernel ends it when this process ends, for any reason. False: it outlives this process. */
  dieWithParent?: boolean;
}

/**
 * Starts a program in its own session, with its output appended to a log file, and returns at once. The identity is read first,
 * so that it is never lost.
 */
export function startService(service: Service): Promise<ProcessId> {
  const command = service.dieWithParent
    ? ['setpriv', '--pdeathsig', 'KILL', '--', ...service.command]
    : [...service.command];
  const [program, ...args] = command;
  if (program === undefined) throw new TypeError('an empty command cannot be started');
  const log = openSync(service.logFile, 'a', 0o600);
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      detached: true,
      stdio: ['ignore', log, log],
      env: {
        PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin',
        HOME: process.env['HOME'] ?? '/',
        ...service.env,
      },
    });
    child.once('error', (error) => {
      reject(new Error(`cannot start ${program}: ${error.message}`, { cause: error }));
    });
    child.once('spawn', () => {
      child.unref();
      const identity = child.pid === undefined ? undefined : identify(child.pid);
      if (identity === undefined) reject(new Error(`${program} ended at once; see ${service.logFile}`));
      else resolve(identity);
    });
    closeSync(log);
  });
}

function signalProcess(process_: ProcessId, signal: NodeJS.Signals): void {
  if (!isAlive(process_)) return;
  try {
    process.kill(process_.pid, signal);
  } catch {
    // It has ended already.
  }
}

/** Ends processes: sends SIGTERM, waits up to `graceMilliseconds`, then SIGKILL. Returns when none of them is left. */
export async function stopProcesses(
  processes: readonly ProcessId[],
  graceMilliseconds: number,
): Promise<void> {
  for (const each of processes) signalProcess(each, 'SIGTERM');
  const graceEnds = performance.now() + graceMilliseconds;
  while (processes.some(isAlive) && performance.now() < graceEnds) await sleep(20);
  const killEnds = performance.now() + 10_000;
  while (processes.some(isAlive)) {
    if (performance.now() > killEnds) {
      const left = processes.filter(isAlive).map((each) => each.pid);
      throw new Error(`processes ${left.join(', ')} are still there 10 s after SIGKILL`);
    }
    for (const each of processes) signalProcess(each, 'SIGKILL');
    await sleep(20);
  }
}

/** All running processes that satisfy the condition. */
export async function findProcesses(condition: (pid: number) => boolean): Promise<ProcessId[]> {
  const found: ProcessId[] = [];
  for (const entry of await readdir('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    if (!condition(pid)) continue;
    const identity = identify(pid);
    if (identity !== undefined) found.push(identity);
  }
  return found;
}

/** The inode of a process's network namespace, such as `net:[4026532008]`. */
export function networkNamespaceOf(pid: number | 'self'): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return undefined;
  }
}

/** The command line of a process as separate arguments; empty if it is gone or a kernel thread. */
export async function commandLine(pid: number): Promise<string[]> {
  try {
    return (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0').slice(0, -1);
  } catch {
    return [];
  }
}
