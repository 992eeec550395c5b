/** The state of testbeds between commands: one directory each, with its plan and its processes. */
import { mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { withLock } from './lock.ts';
import { PlanError, checkName, planBed, preferredWideArea, wideAreaCount } from './plan.ts';
import type { BedPlan, BedRequest } from './plan.ts';
import { bootId } from './processes.ts';
import type { ProcessId } from './processes.ts';
import { run } from './run.ts';

export interface BedState {
  /** `making` until everything was ready once: an unfinished testbed is removed, not repaired. */
  phase: 'making' | 'ready';
  boot: string;
  created: string;
  plan: BedPlan;
}

/** A program of the testbed, with its command, so that it can be started again. */
export interface ServiceRecord {
  name: string;
  process: ProcessId;
}

/** The directory of the testbeds' state. */
export function baseDirectory(environment: NodeJS.ProcessEnv = process.env): string {
  return environment['HAWSER_TESTBED_DIRECTORY'] || '/var/lib/hawser-testbed';
}

export function bedDirectory(name: string): string {
  return join(baseDirectory(), checkName(name));
}

async function writeWhole(path: string, value: unknown): Promise<void> {
  const unfinished = `${path}.${process.pid}.unfinished`;
  await writeFile(unfinished, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
  await rename(unfinished, path);
}

async function readWhole<T>(path: string): Promise<T | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as T;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new Error(`${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

export function readState(name: string): Promise<BedState | undefined> {
  return readWhole<BedState>(join(bedDirectory(name), 'state.json'));
}

export async function writeState(state: BedState): Promise<void> {
  await mkdir(state.plan.directory, { recursive: true, mode: 0o755 });
  await writeWhole(join(state.plan.directory, 'state.json'), state);
}

/** Names of all testbeds that left anything here, in any state. */
export async function bedNames(): Promise<string[]> {
  try {
    const entries = await readdir(baseDirectory(), { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Runs `work` while no other process brings this testbed up or down. */
export function withBed<T>(
  name: string,
  options: { signal?: AbortSignal | undefined; log?: ((line: string) => void) | undefined },
  work: () => Promise<T>,
): Promise<T> {
  return withLock(
    join(baseDirectory(), `${checkName(name)}.lock`),
    {
      signal: options.signal,
      timeoutMilliseconds: 5 * 60_000,
      onWait: (pid) => options.log?.(`Process ${pid} is bringing bed ${name} up or down; waiting for it`),
    },
    work,
  );
}

/** Plans a new testbed in an unused wide-area range, and writes the plan down to reserve the range. */
export function reserve(request: BedRequest, signal?: AbortSignal): Promise<BedState> {
  const lock = join(baseDirectory(), 'ranges.lock');
  return withLock(lock, { signal, timeoutMilliseconds: 30_000 }, async () => {
    const taken = new Set<string>();
    for (const name of await bedNames()) {
      const state = await readState(name).catch(() => undefined);
      if (state !== undefined) taken.add(state.plan.wideAreaCIDR);
    }
    for (const line of (await run(['ip', '-4', 'route', 'show'])).split('\n'))
      taken.add(line.split(' ')[0] ?? '');
    const first = preferredWideArea(request.name);
    for (let step = 0; step < wideAreaCount; step++) {
      const plan = planBed(request, (first + step) % wideAreaCount, baseDirectory());
      if (taken.has(plan.wideAreaCIDR)) continue;
      const state: BedState = { phase: 'making', boot: bootId, created: new Date().toISOString(), plan };
      await writeState(state);
      return state;
    }
    throw new PlanError('all of 198.18.0.0/15 is in use; take a bed down: npm run testbed -- status');
  });
}

function recordsDirectory(bed: BedPlan): string {
  return join(bed.directory, 'processes');
}

export async function writeRecord(bed: BedPlan, record: ServiceRecord): Promise<void> {
  await mkdir(recordsDirectory(bed), { recursive: true, mode: 0o700 });
  await writeWhole(join(recordsDirectory(bed), `${record.name}.json`), record);
}

export async function removeRecord(bed: BedPlan, name: string): Promise<void> {
  await rm(join(recordsDirectory(bed), `${name}.json`), { force: true });
}

export function readRecord(bed: BedPlan, name: string): Promise<ServiceRecord | undefined> {
  return readWhole<ServiceRecord>(join(recordsDirectory(bed), `${name}.json`));
}

export async function readRecords(directory: string): Promise<ServiceRecord[]> {
  let files: string[];
  try {
    files = await readdir(join(directory, 'processes'));
  } catch {
    return [];
  }
  const records: ServiceRecord[] = [];
  for (const file of files.filter((each) => each.endsWith('.json'))) {
    const record = await readWhole<ServiceRecord>(join(directory, 'processes', file)).catch(() => undefined);
    if (record !== undefined) records.push(record);
  }
  return records;
}
