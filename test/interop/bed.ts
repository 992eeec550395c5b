/** Two network namespaces connected by a wire, with a WireGuard device in each, ours or another implementation's. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { SOCKET_DIRECTORY } from '../../daemon/wireguard/uapi-socket.ts';
import { run, runAnyway, waitFor } from '../testbed/run.ts';

export type Side = 'left' | 'right';

/** Addresses outside and inside the tunnel. */
export const outer = {
  left: { four: '192.0.2.1', six: '2001:db8::1' },
  right: { four: '192.0.2.2', six: '2001:db8::2' },
} as const;
export const inner = {
  left: { four: '10.77.0.1', six: 'fd77::1' },
  right: { four: '10.77.0.2', six: 'fd77::2' },
} as const;

export const other = (side: Side): Side => (side === 'left' ? 'right' : 'left');

/** The command that creates the device `name` and stays in the foreground. */
export type Implementation = (name: string) => { command: readonly string[]; env?: Record<string, string> };

const ourProgram = join(import.meta.dirname, 'device.ts');

export function ours(times: Record<string, number> = {}): Implementation {
  return (name) => ({ command: [process.execPath, ourProgram, name, JSON.stringify(times)] });
}

/** A running device. */
export class Tunnel {
  readonly bed: Bed;
  readonly side: Side;
  readonly name: string;
  readonly child: ChildProcess;
  readonly privateKey: string;
  readonly publicKey: string;
  readonly port: number;
  output = '';

  constructor(bed: Bed, side: Side, name: string, child: ChildProcess, keys: [string, string], port: number) {
    this.bed = bed;
    this.side = side;
    this.name = name;
    this.child = child;
    [this.privateKey, this.publicKey] = keys;
    this.port = port;
    child.stdout?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    child.stderr?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
  }

  get alive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  wg(...parameters: string[]): Promise<string> {
    const [subcommand = 'show', ...rest] = parameters;
    return this.bed.in(this.side, 'wg', subcommand, this.name, ...rest);
  }

  /** The output of `wg show NAME FIELD` for the only peer. */
  async ofPeer(field: string): Promise<string> {
    return (await this.wg('show', field)).trim().split('\t').slice(1).join('\t');
  }

  /** Public key of the only peer. */
  async ofPeerKey(): Promise<string> {
    return (await this.wg('show', 'peers')).trim();
  }

  async latestHandshake(): Promise<number> {
    return Number(await this.ofPeer('latest-handshakes'));
  }

  /** Received and sent bytes, as reported by the device. */
  async transfer(): Promise<[number, number]> {
    const [received, sent] = (await this.ofPeer('transfer')).split('\t').map(Number);
    return [received ?? 0, sent ?? 0];
  }

  async stop(): Promise<void> {
    if (!this.alive) return;
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGTERM');
    const deadline = setTimeout(() => this.child.kill('SIGKILL'), 3_000);
    await ended;
    clearTimeout(deadline);
    await rm(`${SOCKET_DIRECTORY}/${this.name}.sock`, { force: true });
  }
}

export interface PeerOptions {
  presharedKey?: string;
  /** The other side's endpoint, if this side is to know it. */
  endpoint?: string;
  keepalive?: number;
  allowedIps?: string;
}

export class Bed {
  readonly id = randomBytes(3).toString('hex');
  directory = '';
  readonly #children: ChildProcess[] = [];
  readonly #keys = new Map<Side, [string, string]>();

  namespace(side: Side): string {
    return `hawser-interop-${this.id}-${side}`;
  }

  /** Private and public key of a side's device, in base64. */
  keys(side: Side): readonly [privateKey: string, publicKey: string] {
    return this.#keys.get(side) ?? ['', ''];
  }

  /** Command line prefix that runs a program in the namespace of a side. */
  inside(side: Side): string[] {
    return ['nsenter', `--net=/run/netns/${this.namespace(side)}`, '--'];
  }

  in(side: Side, ...command: string[]): Promise<string> {
    return run([...this.inside(side), ...command], { timeoutMilliseconds: 60_000 });
  }

  async open(): Promise<void> {
    this.directory = await mkdtemp(join(tmpdir(), 'hawser-interop-'));
    for (const side of ['left', 'right'] as const) {
      await run(['ip', 'netns', 'add', this.namespace(side)]);
      const privateKey = (await run(['wg', 'genkey'])).trim();
      const publicKey = (await run(['wg', 'pubkey'], { input: privateKey })).trim();
      this.#keys.set(side, [privateKey, publicKey]);
    }
    const [left, right] = [this.namespace('left'), this.namespace('right')];
    await run([
      'ip',
      'link',
      'add',
      'wan',
      'netns',
      left,
      'type',
      'veth',
      'peer',
      'name',
      'wan',
      'netns',
      right,
    ]);
    for (const side of ['left', 'right'] as const) {
      await this.in(side, 'ip', 'link', 'set', 'lo', 'up');
      await this.in(side, 'ip', 'addr', 'add', `${outer[side].four}/24`, 'dev', 'wan');
      await this.in(side, 'ip', 'addr', 'add', `${outer[side].six}/64`, 'dev', 'wan', 'nodad');
      await this.in(side, 'ip', 'link', 'set', 'wan', 'up');
    }
  }

  /** A file that only root can read, for secrets that must not be on a command line. */
  async secret(content: string): Promise<string> {
    const path = join(this.directory, randomBytes(8).toString('hex'));
    await writeFile(path, content, { mode: 0o600 });
    return path;
  }

  spawn(side: Side, command: readonly string[], env: Record<string, string> = {}): ChildProcess {
    const [program = '', ...parameters] = [...this.inside(side), ...command];
    const child = spawn(program, parameters, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#children.push(child);
    return child;
  }

  /** Starts a device without configuration; a restart may use the interface's name again. */
  async start(side: Side, implementation: Implementation): Promise<Tunnel> {
    const name = `hw${this.id}${side[0]}`;
    const { command, env } = implementation(name);
    const child = this.spawn(side, command, env);
    const keys = this.#keys.get(side) ?? ['', ''];
    const tunnel = new Tunnel(this, side, name, child, keys, side === 'left' ? 51_820 : 51_821);
    await waitFor(
      `the socket of ${name}`,
      async () => {
        if (!tunnel.alive) throw new Error(`it ended: ${tunnel.output}`);
        return existsSync(`${SOCKET_DIRECTORY}/${name}.sock`);
      },
      { timeoutMilliseconds: 10_000, intervalMilliseconds: 50 },
    );
    return tunnel;
  }

  /** Gives a device its keys, its peer and its addresses, and brings it up. */
  async configure(tunnel: Tunnel, options: PeerOptions = {}): Promise<void> {
    const far = other(tunnel.side);
    const [, publicKey = ''] = this.#keys.get(far) ?? [];
    const allowed = options.allowedIps ?? `${inner[far].four}/32,${inner[far].six}/128`;
    await tunnel.wg(
      'set',
      'private-key',
      await this.secret(tunnel.privateKey),
      'listen-port',
      `${tunnel.port}`,
      'peer',
      publicKey,
      'allowed-ips',
      allowed,
      ...(options.endpoint === undefined ? [] : ['endpoint', options.endpoint]),
      ...(options.keepalive === undefined ? [] : ['persistent-keepalive', `${options.keepalive}`]),
      ...(options.presharedKey === undefined
        ? []
        : ['preshared-key', await this.secret(options.presharedKey)]),
    );
    const { four, six } = inner[tunnel.side];
    await this.in(tunnel.side, 'ip', 'addr', 'replace', `${four}/24`, 'dev', tunnel.name);
    await this.in(tunnel.side, 'ip', 'addr', 'replace', `${six}/64`, 'dev', tunnel.name, 'nodad');
    await this.in(tunnel.side, 'ip', 'link', 'set', tunnel.name, 'up');
  }

  /** How many of `count` echo requests, one per second, were answered. */
  async ping(from: Side, address: string, options: { count?: number; size?: number } = {}): Promise<number> {
    const { count = 1, size = 56 } = options;
    const result = await runAnyway(
      [...this.inside(from), 'busybox', 'ping', '-c', `${count}`, '-W', '3', '-s', `${size}`, address],
      { timeoutMilliseconds: count * 3_000 + 10_000 },
    );
    return Number(/(\d+) packets received/.exec(result.stdout)?.[1] ?? 0);
  }

  /** An iperf3 run from one side to the other inside the tunnel; returns its report. */
  async iperf(from: Side, ...parameters: string[]): Promise<IperfReport> {
    const to = other(from);
    const server = this.spawn(to, ['iperf3', '-s', '-1', '-B', inner[to].four]);
    await waitFor(
      'the iperf3 server',
      async () => (await this.in(to, 'ss', '-Hltn', 'sport = :5201')).includes('5201'),
      { timeoutMilliseconds: 5_000, intervalMilliseconds: 50 },
    );
    try {
      return JSON.parse(
        await this.in(from, 'iperf3', '-J', '-c', inner[to].four, ...parameters),
      ) as IperfReport;
    } finally {
      server.kill('SIGKILL');
    }
  }

  async close(): Promise<void> {
    for (const child of this.#children)
      if (child.exitCode === null && child.signalCode === null) {
        const ended = new Promise((resolve) => child.once('exit', resolve));
        child.kill('SIGTERM');
        const deadline = setTimeout(() => child.kill('SIGKILL'), 2_000);
        await ended;
        clearTimeout(deadline);
      }
    for (const side of ['left', 'right'] as const) {
      await runAnyway(['ip', 'netns', 'del', this.namespace(side)]);
      await rm(`${SOCKET_DIRECTORY}/hw${this.id}${side[0]}.sock`, { force: true });
    }
    if (this.directory !== '') await rm(this.directory, { recursive: true, force: true });
  }
}

export interface IperfReport {
  end: {
    sum?: { packets: number; lost_packets: number };
    sum_received?: { bytes: number; bits_per_second: number };
  };
}

/** Runs `body` with its own bed, which is removed afterwards in any case. */
export function withBed(body: (bed: Bed) => Promise<void>): () => Promise<void> {
  return async () => {
    const bed = new Bed();
    try {
      await bed.open();
      await body(bed);
    } finally {
      await bed.close();
    }
  };
}
