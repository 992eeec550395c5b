/** Network namespaces connected by a wire, with engines inside; `close` removes everything. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { EngineEvent, EngineFeatures, EngineOptions } from '../../native/index.js';

const execute = promisify(execFile);
const program = fileURLToPath(new URL('engine-process.ts', import.meta.url));

/** Runs a program to its end; returns its output. Rejects if it fails or takes longer than `seconds`. */
export async function run(command: string, parameters: readonly string[], seconds = 20): Promise<string> {
  const { stdout } = await execute(command, parameters, { timeout: seconds * 1000, maxBuffer: 1 << 24 });
  return stdout;
}

export interface Usage {
  /** Microseconds. */
  user: number;
  system: number;
  resident: number;
}

/** An engine in a namespace. */
export class EngineHandle {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (answer: { result?: unknown; error?: string }) => void>();
  #next = 0;

  constructor(child: ChildProcess) {
    this.#child = child;
    child.on('message', (answer: { id: number; result?: unknown; error?: string }) => {
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    });
    child.on('exit', () => {
      for (const settle of this.#waiting.values()) settle({ error: 'the process of the engine ended' });
      this.#waiting.clear();
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async call(method: string, ...parameters: unknown[]): Promise<unknown> {
    const id = this.#next++;
    const answer = await new Promise<{ result?: unknown; error?: string }>((resolve) => {
      const timer = setTimeout(() => resolve({ error: `${method}: no answer in 20 s` }), 20_000);
      this.#waiting.set(id, (value) => {
        clearTimeout(timer);
        resolve(value);
      });
      this.#child.send({ id, method, parameters });
    });
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer.result;
  }

  async start(options: Omit<EngineOptions, 'onEvents'>): Promise<{ port: number; features: EngineFeatures }> {
    return (await this.call('start', options)) as { port: number; features: EngineFeatures };
  }

  async counters(peer: number): Promise<Record<string, number>> {
    return (await this.call('counters', peer)) as Record<string, number>;
  }

  async engineCounters(): Promise<Record<string, number>> {
    return (await this.call('engineCounters')) as Record<string, number>;
  }

  async events(): Promise<EngineEvent[]> {
    return (await this.call('events')) as EngineEvent[];
  }

  /** Events that the engine delivered by notification. */
  async taken(): Promise<EngineEvent[]> {
    return (await this.call('taken')) as EngineEvent[];
  }

  async usage(): Promise<Usage> {
    return (await this.call('usage')) as Usage;
  }

  /** Kills the process, as in a crash. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await gone;
  }
}

export class Lab {
  readonly #prefix = `hwn-${process.pid}-${randomBytes(2).toString('hex')}-`;
  readonly #names: string[] = [];
  readonly #engines: EngineHandle[] = [];

  /** Each of `names` becomes a namespace; two are connected by a wire, more by a bridge. Addresses: 192.0.2.N, 2001:db8::N. */
  async open(names: readonly string[]): Promise<void> {
    await removeAbandoned();
    const add = async (name: string): Promise<void> => {
      await run('ip', ['netns', 'add', this.namespace(name)]);
      this.#names.push(name);
      await this.in(name, 'ip', ['link', 'set', 'lo', 'up']);
    };
    for (const name of names) await add(name);
    const [first, second] = names;
    if (first !== undefined && second !== undefined && names.length === 2) {
      const peer = this.namespace(second);
      await this.in(first, 'ip', [
        'link',
        'add',
        'eth0',
        'type',
        'veth',
        'peer',
        'name',
        'eth0',
        'netns',
        peer,
      ]);
    } else {
      await add('wire');
      await this.in('wire', 'ip', ['link', 'add', 'br0', 'up', 'type', 'bridge']);
      for (const [index, name] of names.entries()) {
        const port = `port${index}`;
        const there = this.namespace('wire');
        await this.in(name, 'ip', [
          'link',
          'add',
          'eth0',
          'type',
          'veth',
          'peer',
          'name',
          port,
          'netns',
          there,
        ]);
        await this.in('wire', 'ip', ['link', 'set', port, 'up', 'master', 'br0']);
      }
    }
    for (const [index, name] of names.entries()) {
      await this.in(name, 'ip', ['addr', 'add', `192.0.2.${index + 1}/24`, 'dev', 'eth0']);
      await this.in(name, 'ip', ['addr', 'add', `2001:db8::${index + 1}/64`, 'dev', 'eth0', 'nodad']);
      await this.in(name, 'ip', ['link', 'set', 'eth0', 'up']);
    }
  }

  namespace(name: string): string {
    return `${this.#prefix}${name}`;
  }

  /** Runs a program inside a namespace. */
  in(name: string, command: string, parameters: readonly string[], seconds = 20): Promise<string> {
    return run('ip', ['netns', 'exec', this.namespace(name), command, ...parameters], seconds);
  }

  /** Starts a program inside a namespace; the caller ends it. */
  spawnIn(name: string, command: string, parameters: readonly string[]): ChildProcess {
    return spawn('ip', ['netns', 'exec', this.namespace(name), command, ...parameters], { stdio: 'ignore' });
  }

  engine(name: string): EngineHandle {
    const inside = ['netns', 'exec', this.namespace(name), process.execPath, program];
    const child = spawn('ip', inside, {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      serialization: 'advanced',
    });
    const handle = new EngineHandle(child);
    this.#engines.push(handle);
    return handle;
  }

  async close(): Promise<void> {
    for (const engine of this.#engines) await engine.kill();
    for (const name of this.#names) await removeNamespace(this.namespace(name));
  }
}

/** Ends its processes too. */
async function removeNamespace(name: string): Promise<void> {
  const processes = await run('ip', ['netns', 'pids', name]).catch(() => '');
  for (const pid of processes.split('\n').filter((line) => line !== '')) process.kill(Number(pid), 'SIGKILL');
  await run('ip', ['netns', 'del', name]).catch(() => '');
}

/** Removes leftovers of killed processes. */
async function removeAbandoned(): Promise<void> {
  for (const line of (await run('ip', ['netns', 'list'])).split('\n')) {
    const [, name = '', owner = ''] = /^(hwn-(\d+)-\S+)/.exec(line) ?? [];
    if (name !== '' && !existsSync(`/proc/${owner}`)) await removeNamespace(name);
  }
}

let nextIndex = 1;

/** Key material of both ends of a session, as from a handshake. */
export function sessionKeys() {
  const [forth, back] = [new Uint8Array(randomBytes(32)), new Uint8Array(randomBytes(32))];
  const [left, right] = [nextIndex++, nextIndex++];
  return {
    initiator: async (engine: EngineHandle, yields = false) => ({
      localIndex: left,
      remoteIndex: right,
      sendKey: forth,
      receiveKey: back,
      initiator: true,
      yields,
      createdAt: await engine.call('now'),
    }),
    responder: async (engine: EngineHandle) => ({
      localIndex: right,
      remoteIndex: left,
      sendKey: back,
      receiveKey: forth,
      initiator: false,
      createdAt: await engine.call('now'),
    }),
  };
}

/** Gives both engines the keys of a session, as after a handshake. `left` is the initiator. */
export async function connect(
  left: { engine: EngineHandle; peer: number },
  right: { engine: EngineHandle; peer: number },
): Promise<void> {
  const keys = sessionKeys();
  await right.engine.call('addKeypair', right.peer, await keys.responder(right.engine));
  await left.engine.call('addKeypair', left.peer, await keys.initiator(left.engine));
  await left.engine.call('sendKeepalive', left.peer);
}

/** Repeats `look` until it is true; returns false after `seconds`. */
export async function eventually(look: () => Promise<boolean>, seconds = 5): Promise<boolean> {
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end) {
    if (await look()) return true;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return false;
}
