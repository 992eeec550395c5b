/** The linter's rules. What may import what stands in one table below; `test/runner/arrows.test.ts` crosses each arrow on purpose. */
import { defineConfig } from 'oxlint';

interface Arrow {
  /** Whose imports: globs of files. */
  files: string[];
  /** First folders of a relative import that are refused. */
  not: string[];
  /** Packages that are refused as well. */
  packages?: string;
  /** Why, and what to do. */
  message: string;
}

const rooms = ['shared', 'gateway', 'daemon', 'native', 'cli', 'deploy', 'test', 'bench'];
const allBut = (...allowed: string[]) => rooms.filter((room) => !allowed.includes(room));

/** Each of them owns one concern of the daemon; they meet in the API's objects. */
const features = ['peering', 'tenant', 'fabric', 'wireguard', 'vnode', 'kubelet', 'reflect', 'inband'];
const webStandard = '(node:|@kubernetes/|ws$)';

/** What of the daemon only the daemon may use. */
const otherThanClients = `daemon/((${[...features, 'kube', 'peers', 'host', 'roles'].join('|')})/|[a-z]+\\.ts)`;

const webMessage = 'This room runs on Web standards alone: take what does I/O as a parameter.';
const featureMessage =
  'Features do not import each other: they meet in the API’s objects, and roles/ wires them.';

/** A later entry takes the place of an earlier one for the files of both. */
const arrows: Arrow[][] = [
  [
    {
      files: ['shared/**'],
      not: allBut('shared'),
      packages: webStandard,
      message: `shared/ imports no other room. ${webMessage}`,
    },
  ],
  [
    {
      files: ['gateway/**'],
      not: allBut('shared', 'gateway'),
      packages: webStandard,
      message: `gateway/ imports shared/ alone. ${webMessage}`,
    },
  ],
  [
    {
      files: ['gateway/node.ts'],
      not: [...allBut('shared', 'gateway', 'daemon'), otherThanClients, 'daemon/clients/gateway/'],
      message: 'gateway/ imports shared/ alone; its entry for Node takes its transport from daemon/clients/.',
    },
  ],
  ...features.map((feature) => [
    {
      files: [`daemon/${feature}/**`],
      not: allBut('shared', 'native', 'daemon'),
      message: 'daemon/ imports shared/ and native/ alone.',
    },
    {
      files: [`daemon/${feature}/**`],
      not: [...features.filter((each) => each !== feature), 'roles'],
      message: featureMessage,
    },
  ]),
  // The fabric is two processes and a plan: the same rule once more, within it.
  ...(
    [
      [
        'plan',
        ['controller', 'node', 'kube', 'peers'],
        'A plan is computed from plain values: no kube/, no process.',
      ],
      ['controller', ['node'], 'The controller does not load what a node runs.'],
      ['node', ['controller'], 'A node does not load what the controller runs.'],
    ] as const
  ).map(([part, not, message]) => [
    {
      files: [`daemon/fabric/${part}/**`],
      not: allBut('shared', 'native', 'daemon'),
      message: 'daemon/ imports shared/ and native/ alone.',
    },
    {
      files: [`daemon/fabric/${part}/**`],
      not: [...features.filter((each) => each !== 'fabric'), 'roles', ...not],
      ...(part === 'plan' && { packages: 'node:' }),
      message: `${message} ${featureMessage}`,
    },
  ]),
  [
    {
      files: ['daemon/kube/**', 'daemon/host/**'],
      not: [...allBut('shared', 'daemon'), ...features, 'roles', 'peers', 'clients'],
      message: 'kube/ and host/ serve the features and know none of them.',
    },
  ],
  [
    {
      files: ['daemon/peers/**'],
      not: [...allBut('shared', 'daemon'), ...features, 'roles', 'host'],
      message: 'peers/ is what features share about remote clusters; it knows none of them.',
    },
  ],
  [
    {
      files: ['daemon/clients/**'],
      not: [...allBut('shared', 'daemon'), ...features, 'roles', 'kube', 'peers', 'host'],
      message: 'clients/ serves the daemon and the command; it imports shared/ alone.',
    },
  ],
  [
    {
      files: ['daemon/roles/**', 'daemon/*.ts'],
      not: allBut('shared', 'native', 'daemon'),
      message: 'daemon/ imports shared/ and native/ alone.',
    },
  ],
  [
    {
      files: ['cli/**'],
      not: [...allBut('shared', 'cli', 'daemon'), otherThanClients],
      message:
        'cli/ imports shared/ and daemon/clients/; only commands/daemon.ts, tunnel.ts and gateway.ts start the other processes.',
    },
  ],
  [
    {
      files: ['cli/commands/daemon.ts', 'cli/commands/tunnel.ts', 'cli/commands/gateway.ts'],
      not: allBut('shared', 'cli', 'daemon', 'gateway'),
      message: 'A command that starts a process imports its entry and nothing beside it.',
    },
  ],
  [{ files: ['native/**'], not: allBut('native'), message: 'native/ imports no other room.' }],
  [{ files: ['deploy/**'], not: allBut('shared', 'deploy'), message: 'deploy/ imports shared/ alone.' }],
];

/** A relative import may climb any number of folders; its first folder by name decides. */
function override(entries: readonly Arrow[]) {
  const patterns = entries.flatMap(({ not, packages, message }) => [
    {
      regex: `^(\\.{1,2}/)+(${not.map((room) => (room.includes('/') ? room : `${room}/`)).join('|')})`,
      message,
    },
    ...(packages === undefined ? [] : [{ regex: `^${packages}`, message }]),
  ]);
  return {
    files: entries[0]?.files ?? [],
    rules: { 'no-restricted-imports': ['error' as const, { patterns }] as const },
  };
}

export default defineConfig({
  plugins: ['typescript', 'import', 'unicorn', 'oxc', 'promise'],
  categories: { correctness: 'error', suspicious: 'error' },
  rules: {
    'typescript/no-floating-promises': 'error',
    'typescript/no-misused-promises': 'error',
    'typescript/await-thenable': 'error',
    'typescript/switch-exhaustiveness-check': 'error',
    'typescript/consistent-type-imports': 'error',
    'typescript/no-explicit-any': 'error',
    'no-console': 'off',
    'no-await-in-loop': 'off',
    'no-underscore-dangle': 'off',
    'import/no-unassigned-import': 'off',
    'unicorn/no-array-sort': 'off',
    'unicorn/consistent-function-scoping': 'off',
    'typescript/no-unsafe-type-assertion': 'off',
    eqeqeq: 'error',
    'import/no-cycle': 'error',
  },
  ignorePatterns: ['node_modules', 'dist', 'native/build'],
  overrides: arrows.map(override),
});
