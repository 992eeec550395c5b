/**
 * The project's dependencies on the machine that npm does not install, as data: one row per package, with the reason.
 * `ensure.ts` installs missing ones or names them; `test/deploy/needs.test.ts` compares the rows with the programs that the
 * sources start.
 */

/** What a user may want to do; each entry point names its purposes. */
export type Purpose =
  /** Compile the packet engine. */
  | 'engine'
  /** Build the container image. */
  | 'image'
  /** Build Kubernetes and run control planes. */
  | 'programs'
  /** Create network namespaces, and send packets in them. */
  | 'network'
  /** Run whole clusters. */
  | 'clusters'
  /** Test the tunnel with other implementations. */
  | 'interop'
  | 'fuzz'
  /** Create a bare Debian to run the README's commands on. */
  | 'bare';

export interface Need {
  /** A program's name; or with slashes a path, or a pattern of paths, one of which must exist. */
  file: string;
  /** Debian's package. None if Debian's may be too old: then the user installs it. */
  apt?: string;
  /** Fedora's package. */
  dnf?: string;
  /** Its source if no package is named. */
  from?: string;
  why: string;
  for: readonly Purpose[];
  /**
   * Arguments that print its version; the oldest sufficient version, and an older one that suffices with a word in the output.
   */
  version?: {
    args: readonly string[];
    atLeast: readonly [major: number, minor: number];
    orSaying?: readonly [major: number, minor: number, word: string];
  };
  /** The part of the testbed that starts it, if no source does. */
  startedBy?: string;
  /** Its name in sources, if that is not its file. */
  usedAs?: string;
  /** An environment variable that names another program instead. */
  instead?: string;
  /** Must be statically linked: the images of the testbed have no libraries. */
  linkedStatically?: true;
  /** Installed if possible, and not required elsewhere. */
  optional?: true;
  /** CPU architectures, in Node's terms. Default: all. */
  on?: readonly string[];
}

/** The further purposes that each purpose includes. */
export const includes: Record<Purpose, readonly Purpose[]> = {
  engine: [],
  image: ['engine'],
  programs: [],
  network: ['engine'],
  clusters: ['image', 'programs', 'network'],
  interop: ['programs', 'network'],
  fuzz: ['engine'],
  bare: ['clusters'],
};

export const needs: readonly Need[] = [
  {
    file: 'g++',
    apt: 'g++',
    dnf: 'gcc-c++',
    why: 'compiles the packet engine, which is C++20',
    for: ['engine'],
    instead: 'CXX',
    version: { args: ['-dumpfullversion', '-dumpversion'], atLeast: [10, 0] },
  },
  {
    file: '/usr/include/intel-ipsec-mb.h',
    usedAs: 'libIPSec_MB',
    apt: 'libipsec-mb-dev',
    dnf: 'intel-ipsec-mb-devel',
    why: 'the fastest cipher of the packet engine, where the processor suits it',
    for: ['engine'],
    optional: true,
    on: ['x64'],
  },
  {
    file: 'ip',
    apt: 'iproute2',
    dnf: 'iproute',
    why: 'links and routes; is in the image',
    for: ['image', 'network'],
  },
  {
    file: 'nft',
    apt: 'nftables',
    dnf: 'nftables',
    why: 'packet rules; is in the image',
    for: ['image', 'network'],
  },
  {
    file: 'go',
    from: 'https://go.dev/dl',
    why: 'builds Kubernetes and the other programs of the test bed from their Go modules',
    for: ['programs'],
    // From 1.21 on it downloads the toolchain that a module requires, unless it is set to local.
    version: { args: ['env', 'GOVERSION', 'GOTOOLCHAIN'], atLeast: [1, 26], orSaying: [1, 21, 'auto'] },
  },
  {
    file: 'curl',
    apt: 'curl',
    dnf: 'curl',
    why: 'asks the gateway as a person without the command does',
    for: ['programs'],
  },
  {
    file: 'mount',
    apt: 'mount',
    dnf: 'util-linux',
    why: 'gives nodes directories of their own',
    for: ['clusters'],
  },
  {
    file: 'sysctl',
    apt: 'procps',
    dnf: 'procps-ng',
    why: 'sets what the kernel of a node does',
    for: ['network'],
  },
  {
    file: 'containerd',
    apt: 'containerd',
    dnf: 'containerd',
    why: 'runs the containers of a node',
    for: ['clusters'],
  },
  {
    file: 'runc',
    startedBy: 'containerd',
    apt: 'runc',
    dnf: 'runc',
    why: 'starts a container for containerd',
    for: ['clusters'],
  },
  {
    file: '/usr/lib/cni/bridge',
    apt: 'containernetworking-plugins',
    dnf: 'containernetworking-plugins',
    why: 'gives pods their addresses',
    for: ['clusters'],
  },
  {
    file: 'iptables',
    apt: 'iptables',
    dnf: 'iptables-nft',
    why: 'is what kube-proxy writes rules with',
    for: ['network'],
  },
  {
    file: 'ipset',
    startedBy: 'kube-proxy',
    apt: 'ipset',
    dnf: 'ipset',
    why: 'is what kube-proxy and kube-router keep addresses in',
    for: ['clusters'],
  },
  {
    file: 'conntrack',
    apt: 'conntrack',
    dnf: 'conntrack-tools',
    why: 'forgets flows, for kube-proxy and for faults; is in the image',
    for: ['image', 'network'],
  },
  {
    file: 'ethtool',
    apt: 'ethtool',
    dnf: 'ethtool',
    why: 'switches offloads of links off',
    for: ['clusters'],
  },
  {
    file: 'wg',
    apt: 'wireguard-tools',
    dnf: 'wireguard-tools',
    why: 'makes keys and sets tunnels as people do',
    for: ['network'],
  },
  { file: 'iperf3', apt: 'iperf3', dnf: 'iperf3', why: 'sends streams through tunnels', for: ['network'] },
  {
    file: '/usr/bin/busybox',
    apt: 'busybox-static',
    dnf: 'busybox',
    why: 'is the shell of the images of the test bed, and pings',
    for: ['network'],
    linkedStatically: true,
  },
  {
    file: 'socat',
    apt: 'socat',
    dnf: 'socat',
    why: 'sends and takes single connections and datagrams',
    for: ['network'],
  },
  {
    file: 'gcc',
    apt: 'gcc',
    dnf: 'gcc',
    why: 'compiles a clock that hurries and a flood of datagrams',
    for: ['interop'],
    instead: 'CC',
  },
  {
    file: 'cargo',
    from: 'https://rustup.rs',
    why: 'builds BoringTun from its crate',
    for: ['interop'],
    version: { args: ['--version'], atLeast: [1, 70] },
  },
  {
    file: 'clang++',
    apt: 'clang',
    dnf: 'clang',
    why: 'compiles the fuzzers',
    for: ['fuzz'],
    instead: 'FUZZ_CXX',
  },
  {
    file: '/usr/lib*/{llvm-*/lib/,}clang/*/lib/*/libclang_rt.fuzzer*.a',
    usedAs: '-fsanitize=fuzzer',
    apt: 'libclang-rt-dev',
    dnf: 'compiler-rt',
    why: 'is libFuzzer and the sanitizers',
    for: ['fuzz'],
  },
  { file: 'mmdebstrap', apt: 'mmdebstrap', dnf: 'mmdebstrap', why: 'makes a bare Debian', for: ['bare'] },
  { file: 'git', apt: 'git', dnf: 'git', why: 'clones the project into it', for: ['bare'] },
];

/** The purposes with all that they include. */
export function withIncluded(purposes: readonly Purpose[]): Set<Purpose> {
  const all = new Set(purposes);
  // Iterating a set includes elements that are added meanwhile.
  for (const purpose of all) for (const each of includes[purpose]) all.add(each);
  return all;
}

/** The rows for these purposes on a CPU architecture. */
export function needsOf(purposes: readonly Purpose[], processor: string): Need[] {
  const all = withIncluded(purposes);
  return needs.filter(
    (need) =>
      need.for.some((purpose) => all.has(purpose)) && (need.on === undefined || need.on.includes(processor)),
  );
}

/** One sentence that names everything missing, and how to install it. */
export function missingSentence(missing: readonly Need[]): string {
  const named = missing.map(
    ({ file, why, version }) =>
      `${file}${version === undefined ? '' : ` ${version.atLeast.join('.')} or newer`} (${why})`,
  );
  const packages = (manager: 'apt' | 'dnf') => missing.flatMap((need) => need[manager] ?? []).join(' ');
  const ways = [
    ...(packages('apt') === '' ? [] : [`on Debian: apt-get install ${packages('apt')}`]),
    ...(packages('dnf') === '' ? [] : [`on Fedora: dnf install ${packages('dnf')}`]),
    ...missing.flatMap(({ file, from }) => (from === undefined ? [] : [`${file} from ${from}`])),
  ];
  return `This machine lacks ${named.join(', ')}; install them as root (${ways.join('; ')})`;
}
