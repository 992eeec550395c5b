/** Other WireGuard implementations as peers. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { cacheDirectory, ensurePrograms } from '../testbed/programs.ts';
import { run } from '../testbed/run.ts';
import type { Implementation } from './bed.ts';

/** wireguard-go, as published by its authors. */
export async function wireguardGo(): Promise<Implementation> {
  const programs = await ensurePrograms({ only: ['wireguard-go'], log: console.error });
  return (name) => ({ command: [programs['wireguard-go'], '-f', name], env: { LOG_LEVEL: 'verbose' } });
}

const BORINGTUN_VERSION = '0.7.1';

/** BoringTun's command, built once from its crate; `HAWSER_PROGRAMS` names a directory with a prebuilt one. */
export async function boringTun(): Promise<Implementation> {
  const given = process.env['HAWSER_PROGRAMS'];
  let program = given === undefined ? '' : join(given, 'boringtun-cli');
  if (!existsSync(program)) {
    const root = join(cacheDirectory(), 'programs', `boringtun-${BORINGTUN_VERSION}`);
    program = join(root, 'bin', 'boringtun-cli');
    if (!existsSync(program)) {
      console.error('Building BoringTun from its crate, once: some minutes');
      await run(
        ['cargo', 'install', 'boringtun-cli', '--locked', '--version', BORINGTUN_VERSION, '--root', root],
        { timeoutMilliseconds: 15 * 60_000 },
      );
    }
  }
  return (name) => ({
    command: [program, '--foreground', '--disable-drop-privileges', '--verbosity', 'info', name],
  });
}

/** Speed of the hurried BoringTun's clock: its 120 s take 6. */
const HURRY = 20;

/** BoringTun with an accelerated monotonic clock, so that a test contains many of its rekeys. */
export async function hurriedBoringTun(): Promise<Implementation> {
  const plain = await boringTun();
  const source = join(import.meta.dirname, 'hurry.c');
  const mark = createHash('sha256')
    .update(await readFile(source))
    .digest('hex')
    .slice(0, 16);
  const library = join(cacheDirectory(), 'programs', `hurry-${mark}.so`);
  if (!existsSync(library)) {
    await mkdir(join(cacheDirectory(), 'programs'), { recursive: true });
    const unfinished = `${library}.${process.pid}`;
    await run([process.env['CC'] ?? 'gcc', '-shared', '-fPIC', '-O2', '-o', unfinished, source]);
    await rename(unfinished, library);
  }
  return (name) => ({ ...plain(name), env: { LD_PRELOAD: library, HURRY: String(HURRY) } });
}

/** REKEY_AFTER_TIME of the hurried wireguard-go, seconds. */
export const HURRIED_REKEY_SECONDS = 3;

/**
 * wireguard-go with one changed constant: it rekeys after 3 s instead of 120, so that a test contains many of its rekeys. Built
 * once from the same module as `wireguardGo`.
 */
export async function hurriedWireguardGo(): Promise<Implementation> {
  const manifests = join(import.meta.dirname, '..', 'testbed', 'programs', 'wireguard-go');
  const module = JSON.parse(
    await run(['go', 'mod', 'download', '-json', 'golang.zx2c4.com/wireguard'], {
      cwd: manifests,
      timeoutMilliseconds: 120_000,
    }),
  ) as { Dir: string; Version: string };
  const program = join(cacheDirectory(), 'programs', `wireguard-go-hurried-${module.Version}`);
  if (!existsSync(program)) {
    const source = `${program}.source-${process.pid}`;
    await mkdir(cacheDirectory(), { recursive: true });
    await cp(module.Dir, source, { recursive: true });
    await run(['chmod', '-R', 'u+w', source]);
    const constants = join(source, 'device', 'constants.go');
    const text = await readFile(constants, 'utf8');
    const changed = text.replace(
      /(RekeyAfterTime\s*=\s*)time\.Second \* 120/,
      `$1time.Second * ${HURRIED_REKEY_SECONDS}`,
    );
    if (changed === text) throw new Error('RekeyAfterTime is no longer where it was in wireguard-go');
    await writeFile(constants, changed);
    await run(['go', 'build', '-trimpath', '-o', `${program}.unfinished`, '.'], {
      cwd: source,
      env: { CGO_ENABLED: '0' },
      timeoutMilliseconds: 300_000,
    });
    await rename(`${program}.unfinished`, program);
    await rm(source, { recursive: true });
  }
  return (name) => ({ command: [program, '-f', name], env: { LOG_LEVEL: 'verbose' } });
}
