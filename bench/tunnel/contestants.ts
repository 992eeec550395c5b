/**
 * The contestants: programs that create a WireGuard device, the engine alone in several set-ups (with session keys set
 * directly, so that only the data path counts), and the bare link. All are up at once, each in its own namespaces, and all but
 * one are idle.
 */
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { PeerConfiguration } from '../../native/index.js';
import { type Implementation } from '../../test/interop/bed.ts';
import { boringTun, wireguardGo } from '../../test/interop/peers.ts';
import { FLOOD_PORT, udpFlood } from './udp-flood.ts';
import { Lab, connect, eventually, run } from '../../test/native/lab.ts';

export interface Contestant {
  name: string;
  /** Address of the far end, as the near end knows it. */
  address: string;
  /** Processes whose CPU time and memory count. */
  pids: readonly number[];
  /** Runs a program at the near end. */
  run(command: string, parameters: readonly string[], seconds: number): Promise<string>;
  /** Makes both sides drop their session, before a measurement that needs a new handshake. */
  forget?(): Promise<void>;
  /** Target and configuration of the handshake benchmark. Absent: this contestant does no handshakes. */
  handshakes?: Handshakes;
  close(): Promise<void>;
}

export interface Handshakes {
  /** Public key of the far end in base64, and its endpoint. */
  publicKey: string;
  endpoint: { address: string; port: number };
  addPeers(publicKeys: readonly string[]): Promise<void>;
  removePeers(publicKeys: readonly string[]): Promise<void>;
}

const PORT = '51820';
const FAR = '10.2.0.1';
const program = fileURLToPath(new URL('../../cli/main.ts', import.meta.url));

/** `hawser tunnel`, as the image starts it. */
const hawser: Implementation = (name) => ({
  command: [process.execPath, '--max-semi-space-size=1', program, 'tunnel', '-f', name],
});

async function serve(lab: Lab, address: string): Promise<ChildProcess> {
  lab.spawnIn('b', await udpFlood(), ['receive', address, FLOOD_PORT]);
  const server = lab.spawnIn('b', 'iperf3', ['-s', '-B', address]);
  await eventually(async () => (await lab.in('b', 'ss', ['-ltn'])).includes(':5201'));
  return server;
}

function contestant(name: string, lab: Lab, address: string, pids: readonly number[]): Contestant {
  return {
    name,
    address,
    pids,
    run: (command, parameters, seconds) => lab.in('a', command, parameters, seconds),
    close: () => lab.close(),
  };
}

export async function bareLink(): Promise<Contestant> {
  const lab = new Lab();
  await lab.open(['a', 'b']);
  await serve(lab, '192.0.2.2');
  return contestant('bare link', lab, '192.0.2.2', []);
}

/** A program's device, configured with `wg`. */
async function device(name: string, implementation: Implementation): Promise<Contestant> {
  const lab = new Lab();
  await lab.open(['a', 'b']);
  const secrets = mkdtempSync(join(tmpdir(), 'hawser-bench-'));
  const children: ChildProcess[] = [];
  const sides = await Promise.all(
    (['a', 'b'] as const).map(async (side) => {
      const link = `hb${randomBytes(4).toString('hex')}`;
      const privateKey = (await run('wg', ['genkey'])).trim();
      const file = join(secrets, side);
      writeFileSync(file, privateKey, { mode: 0o600 });
      const publicKey = (await run('sh', ['-c', `wg pubkey < ${file}`])).trim();
      return { side, link, file, publicKey };
    }),
  );
  const pids: number[] = [];
  for (const { side, link, file } of sides) {
    const { command, env } = implementation(link);
    const [first = '', ...rest] = command;
    const variables = Object.entries({ ...env, LOG_LEVEL: 'error' }).map(([key, value]) => `${key}=${value}`);
    // exec, so that the measured process is the started one.
    const child = lab.spawnIn(side, 'env', [...variables, first, ...rest]);
    children.push(child);
    if (child.pid !== undefined) pids.push(child.pid);
    const up = await eventually(
      () =>
        run('wg', ['show', link]).then(
          () => true,
          () => false,
        ),
      60,
    );
    if (!up) throw new Error(`${name} didn't make its device within 60 s`);
    const address = side === 'a' ? '10.1.0.1/16' : `${FAR}/16`;
    const route = side === 'a' ? '10.2.0.0/16' : '10.1.0.0/16';
    await run('wg', ['set', link, 'listen-port', PORT, 'private-key', file]);
    await lab.in(side, 'ip', ['addr', 'add', address, 'dev', link]);
    await lab.in(side, 'ip', ['link', 'set', link, 'mtu', '1420', 'up']);
    await lab.in(side, 'ip', ['route', 'add', route, 'dev', link]);
  }
  const peers = async (): Promise<void> => {
    for (const { side, link } of sides) {
      const other = sides.find((candidate) => candidate.side !== side)?.publicKey ?? '';
      const endpoint = side === 'a' ? ['endpoint', `192.0.2.2:${PORT}`] : [];
      await run('wg', ['set', link, 'peer', other, 'remove']);
      await run('wg', ['set', link, 'peer', other, ...endpoint, 'allowed-ips', '10.0.0.0/8']);
    }
  };
  const far = sides.find(({ side }) => side === 'b');
  const setPeers = async (publicKeys: readonly string[], change: readonly string[]): Promise<void> => {
    const all = publicKeys.flatMap((publicKey) => ['peer', publicKey, ...change]);
    await run('wg', ['set', far?.link ?? '', ...all]);
  };
  await peers();
  await serve(lab, FAR);
  return {
    ...contestant(name, lab, FAR, pids),
    forget: peers,
    handshakes: {
      publicKey: far?.publicKey ?? '',
      endpoint: { address: '192.0.2.2', port: Number(PORT) },
      addPeers: (publicKeys) => setPeers(publicKeys, []),
      removePeers: (publicKeys) => setPeers(publicKeys, ['remove']),
    },
    close: async () => {
      for (const child of children) child.kill();
      await lab.close();
      rmSync(secrets, { recursive: true, force: true });
    },
  };
}

interface EngineSetup {
  aead?: 'ipsec-mb' | 'openssl-low-level' | 'openssl-evp';
  /** Both sides use the same range, with translation and admission. */
  translated?: boolean;
  /** Further peers with a session. */
  sessions?: number;
  /** Further routes of one address each. */
  pods?: number;
  /** A third engine between the two. */
  relayed?: boolean;
  /** On the bridge of the relay set-up, without the relay. */
  bridged?: boolean;
}

/** The engine alone. */
async function engine(name: string, setup: EngineSetup): Promise<Contestant> {
  const lab = new Lab();
  const third = setup.relayed === true || setup.bridged === true;
  await lab.open(third ? ['a', 'b', 'g'] : ['a', 'b']);
  const tun = { name: 'cnihw0', mtu: 1420 };
  const aead = setup.aead === undefined ? {} : { aead: [setup.aead] };
  const [a, b] = [lab.engine('a'), lab.engine('b')];
  const maximumPeers = 2048;
  await a.start({ tun, port: 51820, maximumPeers, ...aead });
  await b.start({ tun, port: 51820, maximumPeers, ...aead });
  const own = (other: boolean): string =>
    other && setup.translated !== true ? '10.2.0.0/16' : '10.1.0.0/16';
  const peer = (endpoint: string, called: string): PeerConfiguration => {
    if (setup.translated !== true) return { id: 1, mtu: 0, endpoint };
    const real = '10.1.0.0/16';
    const entries = [{ prefix: real, groups: 1 }];
    return {
      id: 1,
      mtu: 0,
      endpoint,
      translation: {
        in: { source: [{ from: real, to: called }], destination: [] },
        out: { source: [], destination: [{ from: called, to: real }] },
      },
      admission: { local: entries, remote: entries },
    };
  };
  const back = setup.translated === true ? '10.3.0.0/16' : '10.1.0.0/16';
  const inside = setup.translated === true ? '10.1.0.1' : FAR;
  for (const [side, address, route] of [
    ['a', '10.1.0.1', '10.2.0.0/16'],
    ['b', inside, back],
  ] as const) {
    await lab.in(side, 'ip', ['addr', 'add', `${address}/16`, 'dev', tun.name]);
    await lab.in(side, 'ip', ['route', 'add', route, 'dev', tun.name]);
  }
  const pods = Array.from({ length: setup.pods ?? 0 }, (_, index) => ({
    prefix: `10.2.${(index >> 8) & 255}.${index & 255}/32`,
    targets: [1] as const,
  }));
  const relayed = setup.relayed === true;
  const others = Array.from({ length: setup.sessions ?? 0 }, (_, index) => ({
    id: index + 2,
    mtu: 0,
    endpoint: '192.0.2.200:9',
  }));
  await a.call('apply', {
    upsertPeers: [peer(relayed ? '192.0.2.3:51820' : '192.0.2.2:51820', '10.2.0.0/16'), ...others],
    upsertRoutes: [
      { prefix: own(false), targets: ['local'] },
      { prefix: '10.2.0.0/16', targets: [1] },
      ...pods,
    ],
  });
  await b.call('apply', {
    upsertPeers: [peer(relayed ? '192.0.2.3:51820' : '192.0.2.1:51820', back), ...others],
    upsertRoutes: [
      { prefix: own(true), targets: ['local'] },
      { prefix: back, targets: [1] },
    ],
  });
  const pids = [a.pid, b.pid];
  // A session with directly set keys expires like any other: after 180 s.
  let rekey = (): Promise<void> => connect({ engine: a, peer: 1 }, { engine: b, peer: 1 });
  if (relayed) {
    const g = lab.engine('g');
    await g.start({ tun, port: 51820, ...aead });
    await g.call('apply', {
      upsertPeers: [
        { id: 1, mtu: 0 },
        { id: 2, mtu: 0 },
      ],
      upsertRoutes: [
        { prefix: '10.1.0.0/16', targets: [1] },
        { prefix: '10.2.0.0/16', targets: [2] },
      ],
    });
    rekey = async () => {
      await connect({ engine: a, peer: 1 }, { engine: g, peer: 1 });
      await connect({ engine: b, peer: 1 }, { engine: g, peer: 2 });
    };
    pids.push(g.pid);
  }
  await rekey();
  for (const { id } of others) {
    const keys = (): object => ({
      localIndex: 1_000_000 + id,
      remoteIndex: 1_000_000 + id,
      sendKey: new Uint8Array(randomBytes(32)),
      receiveKey: new Uint8Array(randomBytes(32)),
      initiator: true,
    });
    for (const side of [a, b])
      await side.call('addKeypair', id, { ...keys(), createdAt: await side.call('now') });
  }
  await serve(lab, inside);
  const made = contestant(name, lab, FAR, pids);
  return {
    ...made,
    run: async (command, parameters, seconds) => {
      await rekey();
      return made.run(command, parameters, seconds);
    },
  };
}

/** In the order of their turns. The first is the baseline. */
export const contestants: Readonly<Record<string, () => Promise<Contestant>>> = {
  'wireguard-go': async () => device('wireguard-go', await wireguardGo()),
  hawser: () => device('hawser', hawser),
  boringtun: async () => device('boringtun', await boringTun()),
  'bare link': bareLink,
  engine: () => engine('engine', {}),
  'engine translated': () => engine('engine translated', { translated: true }),
  'engine 1000 sessions': () => engine('engine 1000 sessions', { sessions: 1000 }),
  'engine 10000 pods': () => engine('engine 10000 pods', { pods: 10_000 }),
  'engine bridged': () => engine('engine bridged', { bridged: true }),
  'engine relayed': () => engine('engine relayed', { relayed: true }),
  'engine low-level OpenSSL': () => engine('engine low-level OpenSSL', { aead: 'openssl-low-level' }),
  'engine EVP': () => engine('engine EVP', { aead: 'openssl-evp' }),
};
