/**
 * Builds the packet engine: `node native/build.ts` creates `native/build/Release/hawser.node`.
 *
 * It needs only a compiler and the headers of two npm packages. A file is recompiled when it, a header that it includes, or
 * the flags have changed.
 */
import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const native = fileURLToPath(new URL('.', import.meta.url));
const root = join(native, '..');

export interface BuildVariant {
  /** Directory below `native/build`. */
  name: string;
  compiler: string;
  flags: readonly string[];
  linkFlags: readonly string[];
  /** Selects sources in `native/src`; others are given by their path. */
  sources: readonly string[];
  /** Output file, below the variant's directory. */
  output: string;
}

const WARNINGS = ['-Wall', '-Wextra', '-Werror', '-Wno-psabi', '-Wshadow', '-Wnon-virtual-dtor'];
const COMMON = ['-std=c++20', '-fvisibility=hidden', '-fno-strict-aliasing', '-pthread'];

/** All sources of the engine except those that need Node. */
export function coreSources(): string[] {
  return readdirSync(join(native, 'src'))
    .filter((name) => name.endsWith('.cc') && !name.startsWith('addon'))
    .map((name) => join(native, 'src', name));
}

export function releaseVariant(): BuildVariant {
  const modules = join(root, 'node_modules');
  return {
    name: 'Release',
    compiler: process.env['CXX'] ?? 'g++',
    flags: [
      ...COMMON,
      ...WARNINGS,
      '-O2',
      '-g1',
      '-fPIC',
      '-fno-exceptions',
      '-DNAPI_VERSION=8',
      '-DNAPI_DISABLE_CPP_EXCEPTIONS',
      '-DNODE_ADDON_API_DISABLE_DEPRECATED',
      '-isystem',
      join(modules, 'node-api-headers/include'),
      '-isystem',
      join(modules, 'node-addon-api'),
    ],
    // Symbols of Node and OpenSSL are resolved in the program that loads it.
    linkFlags: ['-shared', '-pthread', '-Wl,--exclude-libs,ALL', '-static-libgcc', '-static-libstdc++'],
    sources: [...coreSources(), join(native, 'src/addon.cc'), join(native, 'src/addon_values.cc')],
    output: 'hawser.node',
  };
}

/** Programs that test the core without Node, under sanitizers. */
export function sanitizedVariant(
  sanitizer: 'address' | 'thread',
  output: string,
  sources: readonly string[],
): BuildVariant {
  const flags = [
    `-fsanitize=${sanitizer === 'address' ? 'address,undefined' : 'thread'}`,
    '-fno-sanitize-recover=all',
  ];
  return {
    name: `${sanitizer}-${output}`,
    compiler: process.env['CXX'] ?? 'g++',
    flags: [...COMMON, ...WARNINGS, '-O1', '-g', '-fno-omit-frame-pointer', '-DHAWSER_SANITIZED', ...flags],
    linkFlags: ['-pthread', ...flags],
    sources: [...coreSources(), ...sources],
    output,
  };
}

/** A libFuzzer harness over the core, with ASan and UBSan and inactive planted bugs. Needs clang with its runtime. */
export function fuzzVariant(output: string, source: string): BuildVariant {
  const sanitizers = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
  return {
    name: 'fuzz',
    compiler: process.env['FUZZ_CXX'] ?? 'clang++',
    flags: [
      ...COMMON,
      ...WARNINGS.filter((flag) => flag !== '-Wno-psabi'),
      '-O1',
      '-g',
      '-fno-omit-frame-pointer',
      '-DHAWSER_SANITIZED',
      '-DHAWSER_PLANT_BUGS',
      '-fsanitize=fuzzer-no-link',
      ...sanitizers,
    ],
    linkFlags: ['-pthread', '-fsanitize=fuzzer', ...sanitizers],
    sources: [...coreSources(), source],
    output,
  };
}

/** Compiles changed files and links; resolves to the path of the output. Rejects with the compiler's errors. */
export async function build(variant: BuildVariant): Promise<string> {
  const directory = join(native, 'build', variant.name);
  mkdirSync(directory, { recursive: true });
  const output = join(directory, variant.output);
  const compile = JSON.stringify([variant.compiler, variant.flags]);
  const link = JSON.stringify([variant.compiler, variant.linkFlags, variant.sources]);
  const objects = variant.sources.map((source) => ({
    source,
    object: join(directory, `${basename(source, '.cc')}.o`),
  }));
  const stale = objects.filter(({ object }) => !madeBy(object, compile) || isStale(object));
  let next = 0;
  const compileSome = async (): Promise<void> => {
    for (let item = stale[next++]; item !== undefined; item = stale[next++]) {
      await run(variant.compiler, [...variant.flags, '-MMD', '-c', item.source, '-o', item.object]);
      writeFileSync(`${item.object}.command`, compile);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, compileSome));
  const made = existsSync(output) ? statSync(output).mtimeMs : 0;
  if (!madeBy(output, link) || objects.some(({ object }) => statSync(object).mtimeMs > made)) {
    // Renamed into place: a process that has the old one loaded keeps it.
    const fresh = `${output}.new`;
    await run(variant.compiler, [...objects.map(({ object }) => object), ...variant.linkFlags, '-o', fresh]);
    renameSync(fresh, output);
    writeFileSync(`${output}.command`, link);
  }
  return output;
}

/** Whether a file was built by exactly this command, as recorded beside it. */
function madeBy(file: string, command: string): boolean {
  const note = `${file}.command`;
  return existsSync(file) && existsSync(note) && readFileSync(note, 'utf8') === command;
}

/** Whether an object is older than any of its inputs, as the compiler recorded beside it. */
function isStale(object: string): boolean {
  const notes = object.replace(/\.o$/, '.d');
  if (!existsSync(object) || !existsSync(notes)) return true;
  const made = statSync(object).mtimeMs;
  const files = readFileSync(notes, 'utf8')
    .replaceAll('\\\n', ' ')
    .split(/\s+/)
    .slice(1)
    .filter((name) => name !== '');
  return files.some((file) => !existsSync(file) || statSync(file).mtimeMs > made);
}

function run(program: string, parameters: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, parameters, { stdio: ['ignore', 'inherit', 'inherit'] });
    child.on('error', (error) => {
      reject(
        new Error(`can't run ${program}: ${error.message} (install a C++20 compiler: apt-get install g++)`),
      );
    });
    child.on('exit', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`${program} ended with ${String(code)}: ${parameters.join(' ')}`));
    });
  });
}

if (import.meta.main) console.log(await build(releaseVariant()));
