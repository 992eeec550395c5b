/** The Debian packages that nodes of a bed need: installed where that is possible, and named where it isn't. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './run.ts';
import type { Log } from './programs.ts';

/** A file that each package brings: quicker to look at than the package manager is to ask. */
const packages: Record<string, string> = {
  containerd: 'containerd',
  runc: 'runc',
  'containernetworking-plugins': '/usr/lib/cni/bridge',
  nftables: 'nft',
  iproute2: 'ip',
  iptables: 'iptables',
  conntrack: 'conntrack',
  ethtool: 'ethtool',
  'wireguard-tools': 'wg',
  iperf3: 'iperf3',
  'busybox-static': '/usr/bin/busybox',
  tcpdump: 'tcpdump',
  socat: 'socat',
};

const searchPath = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

export function missingPackages(exists: (path: string) => boolean = existsSync): string[] {
  return Object.entries(packages)
    .filter(([, file]) =>
      file.startsWith('/') ? !exists(file) : !searchPath.some((directory) => exists(join(directory, file))),
    )
    .map(([name]) => name);
}

/** Makes sure that the packages are installed. On anything but Debian as root, says which programs to install. */
export async function ensurePackages(options: {
  signal?: AbortSignal | undefined;
  log?: Log | undefined;
}): Promise<void> {
  const missing = missingPackages();
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
