/**
 * Removes everything of a testbed, whatever its state. It does not rely on records alone: processes are found by record, by
 * namespace, by cgroup and by environment; the rest by names and paths that only this testbed uses.
 */
import { existsSync } from 'node:fs';
import { readFile, readdir, rm, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { cgroupParent } from './places.ts';
import { checkName, hostLinkName, namespacePrefix } from './plan.ts';
import { findProcesses, identify, isAlive, networkNamespaceOf, stopProcesses } from './processes.ts';
import type { ProcessId } from './processes.ts';
import { run, runAnyway, waitFor } from './run.ts';
import { bedVariable } from './services.ts';
import { bedDirectory, readRecords } from './state.ts';

const namespacesDirectory = '/run/netns';
const cgroupsDirectory = '/sys/fs/cgroup';
/** Removes processes, mounts, namespaces, links, cgroups and files of the testbed of that name. */
export async function tearDown(name: string): Promise<void> {
  checkName(name);
  const directory = bedDirectory(name);
  await endProcesses(name, directory);
  await unmountBelow(directory);
  await removeNamespaces(name);
  await run(['ip', 'link', 'del', hostLinkName(name)]).catch(() => undefined);
  await removeCgroups(name);
  await rm(directory, { recursive: true, force: true });
}

async function endProcesses(name: string, directory: string): Promise<void> {
  // Each round ends processes that start others; three are enough for shim → container.
  for (let round = 0; round < 10; round++) {
    const found = await bedProcesses(name, directory);
    if (found.length === 0) return;
    await stopProcesses(found, 0);
  }
  const left = await bedProcesses(name, directory);
  if (left.length > 0) {
    throw new Error(
      `processes ${left.map(({ pid }) => pid).join(', ')} of bed ${name} come back again and again`,
    );
  }
}

/** All processes of a testbed, including those of its containers. */
export async function bedProcesses(name: string, directory: string): Promise<ProcessId[]> {
  const found = new Map<number, ProcessId>();
  const add = (process_: ProcessId | undefined) => {
    if (process_ !== undefined && process_.pid !== process.pid && isAlive(process_))
      found.set(process_.pid, process_);
  };
  for (const record of await readRecords(directory)) add(record.process);
  for (const pid of await cgroupProcesses(name)) add(identify(pid));
  const namespaces = await namespaceInodes(name);
  const mark = `${bedVariable}=${directory}`;
  const inside = await findProcesses((pid) => {
    const namespace = networkNamespaceOf(pid);
    return namespace !== undefined && namespaces.has(namespace);
  });
  for (const each of inside) add(each);
  // Containers: the upper layer of their root is in the testbed's directory.
  const layer = new RegExp(` - overlay .*[ ,]upperdir=${directory.replaceAll(/[.+]/g, '\\$&')}/`);
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    if (layer.test(await readFile(`/proc/${entry}/mountinfo`, 'utf8').catch(() => '')))
      add(identify(Number(entry)));
    const environment = await readFile(`/proc/${entry}/environ`, 'utf8').catch(() => '');
    if (environment.split('\0').includes(mark)) add(identify(Number(entry)));
  }
  return [...found.values()];
}

/** As in /proc/PID/ns/net. A process of the machine's own namespace never matches. */
async function namespaceInodes(name: string): Promise<Set<string>> {
  const inodes = new Set<string>();
  for (const namespace of await namespacesOf(name)) {
    const facts = await stat(join(namespacesDirectory, namespace)).catch(() => undefined);
    if (facts !== undefined) inodes.add(`net:[${facts.ino}]`);
  }
  const own = networkNamespaceOf('self');
  if (own !== undefined) inodes.delete(own);
  return inodes;
}

async function namespacesOf(name: string): Promise<string[]> {
  const entries = await readdir(namespacesDirectory).catch(() => []);
  return entries.filter((entry) => entry.startsWith(namespacePrefix(name)));
}

async function removeNamespaces(name: string): Promise<void> {
  for (const namespace of await namespacesOf(name)) {
    const result = await runAnyway(['ip', 'netns', 'del', namespace]);
    // A namespace that is not mounted is a plain file.
    if (result.exitCode !== 0) await rm(join(namespacesDirectory, namespace), { force: true });
  }
}

/** The testbed's cgroups, deepest first: below one directory in each hierarchy, or in the only one. */
async function cgroupsOf(name: string): Promise<string[]> {
  const hierarchies = [cgroupsDirectory, ...(await subdirectories(cgroupsDirectory))];
  const found: string[] = [];
  const walk = async (directory: string): Promise<void> => {
    for (const child of await subdirectories(directory)) await walk(child);
    found.push(directory);
  };
  for (const hierarchy of hierarchies) {
    const root = join(hierarchy, cgroupParent, name);
    if (existsSync(root)) await walk(root);
  }
  return found;
}

async function cgroupProcesses(name: string): Promise<number[]> {
  const pids: number[] = [];
  for (const directory of await cgroupsOf(name)) {
    const text = await readFile(join(directory, 'cgroup.procs'), 'utf8').catch(() => '');
    pids.push(...text.split('\n').filter(Boolean).map(Number));
  }
  return pids.filter((pid) => pid > 0);
}

async function removeCgroups(name: string): Promise<void> {
  for (const directory of await cgroupsOf(name)) {
    await waitFor(
      `cgroup ${directory} to be empty`,
      () =>
        rmdir(directory).then(
          () => true,
          // A killed process leaves its cgroup with a short delay.
          (error: NodeJS.ErrnoException) => error.code === 'ENOENT',
        ),
      { timeoutMilliseconds: 5_000, intervalMilliseconds: 20 },
    );
  }
  // The common parent is removed with the last testbed.
  for (const hierarchy of [cgroupsDirectory, ...(await subdirectories(cgroupsDirectory))]) {
    await rmdir(join(hierarchy, cgroupParent)).catch(() => undefined);
  }
}

/** Mount points at or below a directory, the deepest first. */
export function mountsBelow(mountInfo: string, directory: string): string[] {
  const points = mountInfo
    .split('\n')
    .map((line) => line.split(' ')[4])
    .filter((point) => point !== undefined)
    // proc(5): spaces and similar characters are written as octal escapes.
    .map((point) =>
      point.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(parseInt(code, 8))),
    )
    .filter((point) => point === directory || point.startsWith(`${directory}/`));
  return points.toReversed();
}

async function unmountBelow(directory: string): Promise<void> {
  for (let round = 0; round < 5; round++) {
    const mounts = mountsBelow(await readFile('/proc/self/mountinfo', 'utf8'), directory);
    if (mounts.length === 0) return;
    for (let from = 0; from < mounts.length; from += 100) {
      await runAnyway(['umount', '-l', '--', ...mounts.slice(from, from + 100)]);
    }
  }
  const left = mountsBelow(await readFile('/proc/self/mountinfo', 'utf8'), directory);
  if (left.length > 0) throw new Error(`these cannot be unmounted: ${left.join(', ')}`);
}

async function subdirectories(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map((entry) => join(directory, entry.name));
}
