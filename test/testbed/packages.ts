/** The Debian packages that nodes of a bed need: installed where that is possible, and named where it isn't. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './run.ts';
import type { Log } from './programs.ts';

const busybox = '/usr/bin/busybox';

/** A file that each package brings: quicker to look at than the package manager is to ask. */
const packages: Record<string, string> = {
  containerd: 'containerd',
  runc: 'runc',
  'containernetworking-plugins': '/usr/lib/cni/bridge',
  nftables: 'nft',
  iproute2: 'ip',
  iptables: 'iptables',
  ipset: 'ipset',
  conntrack: 'conntrack',
  ethtool: 'ethtool',
  'wireguard-tools': 'wg',
  iperf3: 'iperf3',
  'busybox-static': busybox,
  tcpdump: 'tcpdump',
  socat: 'socat',
  // The quickest AEAD there is for the packet engine, where the processor suits it; it is built without, too.
  ...(process.arch === 'x64' && { 'libipsec-mb-dev': '/usr/include/intel-ipsec-mb.h' }),
};

/** What the fuzzers are built with: clang, and its runtime of whatever version that is. */
const fuzzingPackages: Record<string, string> = {
  clang: 'clang++',
  'libclang-rt-dev': '/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a',
};

const searchPath = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

export function missingPackages(
  exists: (path: string) => boolean = existsByPattern,
  options: { fuzzing?: boolean } = {},
): string[] {
  return Object.entries({ ...packages, ...(options.fuzzing && fuzzingPackages) })
    .filter(([, file]) =>
      file.startsWith('/') ? !exists(file) : !searchPath.some((directory) => exists(join(directory, file))),
    )
    .map(([name]) => name);
}

/** A path, or a pattern of paths. */
function existsByPattern(path: string): boolean {
  if (path === busybox) return existsSync(path) && isStatic(readFileSync(path));
  return path.includes('*') ? globSync(path).length > 0 : existsSync(path);
}

/**
 * Whether a program of Linux asks for no interpreter, whose path is in the first page of those that do. Debian's package
 * busybox puts one there that needs libraries, and the bed's images hold none.
 */
export function isStatic(program: Buffer): boolean {
  return !program.subarray(0, 4096).includes('/ld-');
}

/** Makes sure that the packages are installed. On anything but Debian as root, says which programs to install. */
export async function ensurePackages(options: {
  /** Those of the fuzzers as well. */
  fuzzing?: boolean;
  signal?: AbortSignal | undefined;
  log?: Log | undefined;
}): Promise<void> {
  const missing = missingPackages(undefined, options.fuzzing === true ? { fuzzing: true } : {});
  if (missing.length === 0) return;
  const list = missing.join(' ');
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) {
    throw new Error(`these Debian packages, or what they hold, are missing; install them: ${list}`);
  }
  options.log?.(`Installing missing Debian packages: ${list}`);
  const more = {
    env: { DEBIAN_FRONTEND: 'noninteractive' },
    timeoutMilliseconds: 10 * 60_000,
    ...(options.signal && { signal: options.signal }),
  };
  await run(['apt-get', 'update', '-q'], more);
  await run(['apt-get', 'install', '-q', '-y', '--no-install-recommends', ...missing], more);
}
