/**
 * One TCP port of this node whose connections go on to fixed targets, byte for byte. It reads nothing of what passes: TLS
 * ends at the target.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { messageOf, type Log } from '../kube/index.ts';
import { backoff, sleep, systemClock, type Clock } from '../../shared/time.ts';
import type { Target } from './targets.ts';

export interface SpliceOptions {
  /** For logs and metrics: `gateway`. */
  name: string;
  address: string;
  port: number;
  /** In order of preference; asked for each connection. */
  targets: () => readonly Target[];
  /** The remote cluster that an address belongs to; undefined: it may not connect. */
  remoteOf: (address: string) => string | undefined;
  limits?: Partial<SpliceLimits>;
  log: Log;
  clock?: Clock;
}

export interface SpliceLimits {
  /** Connections at one time: of all remotes, and of one. A watch is one connection. */
  connections: number;
  connectionsPerRemote: number;
  /** Until a target has answered. */
  connectMilliseconds: number;
  /** Silence that is taken for the end, once one side has ended. */
  halfClosedMilliseconds: number;
}

const defaultLimits: SpliceLimits = {
  connections: 4096,
  connectionsPerRemote: 2048,
  connectMilliseconds: 5_000,
  halfClosedMilliseconds: 60_000,
};
/** Targets that are tried for one connection. */
const attempts = 3;
/** A peer that vanished is noticed after this time. */
const keepAliveMilliseconds = 30_000;

export interface SpliceCounters {
  accepted: number;
  /** From an address of no remote that may. */
  refusedStrangers: number;
  /** Too many at one time. */
  refusedFull: number;
  /** No target answered. */
  unreachable: number;
  active: number;
}

interface Connection {
  client: Socket;
  remote: string;
  upstream?: Socket;
  target?: Target;
}

export class Splice {
  readonly counters: SpliceCounters = {
    accepted: 0,
    refusedStrangers: 0,
    refusedFull: 0,
    unreachable: 0,
    active: 0,
  };
  readonly #options: SpliceOptions;
  readonly #limits: SpliceLimits;
  readonly #connections = new Set<Connection>();
  #server: Server | undefined;

  constructor(options: SpliceOptions) {
    this.#options = options;
    this.#limits = { ...defaultLimits, ...options.limits };
  }

  /** The port that is listened on; undefined while none is. */
  get listeningOn(): number | undefined {
    const address = this.#server?.address();
    return typeof address === 'object' ? address?.port : undefined;
  }

  /** Listens until the signal is aborted, and again when it could not: the address comes and goes with the tunnel endpoint. */
  async run(signal: AbortSignal): Promise<void> {
    const { name, address, port, log, clock = systemClock } = this.#options;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        const server = await this.#listen();
        failures = 0;
        log.info('serving in-band', { for: name, address, port });
        await new Promise<void>((resolve) => {
          server.once('error', (error) => {
            log.warn('no longer serving in-band', { for: name, error });
            resolve();
          });
          if (signal.aborted) resolve();
          signal.addEventListener('abort', () => resolve(), { once: true });
        });
      } catch (error) {
        log.warn('cannot serve in-band yet; retrying', { for: name, address, port, error: messageOf(error) });
      } finally {
        this.#close();
      }
      await sleep(backoff(failures, { base: 200, most: 5_000 }), signal, clock);
    }
  }

  /** Ends the connections of remotes that may no longer, and those whose target is none any more. */
  sweep(isKnown: (host: string) => boolean): void {
    for (const connection of this.#connections) {
      const { client, remote, target } = connection;
      const allowed = this.#options.remoteOf(client.remoteAddress ?? '') === remote;
      if (allowed && (target === undefined || isKnown(target.host))) continue;
      this.#end(connection);
    }
  }

  #listen(): Promise<Server> {
    const { address, port } = this.#options;
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
      this.#accept(client).catch((error: unknown) => {
        this.#options.log.error('an in-band connection failed', { for: this.#options.name, error });
        client.destroy();
      });
    });
    this.#server = server;
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: address, port }, () => {
        server.off('error', reject);
        resolve(server);
      });
    });
  }

  #close(): void {
    this.#server?.close();
    this.#server = undefined;
    for (const connection of this.#connections) this.#end(connection);
  }

  #end(connection: Connection): void {
    // A reset, so that a cut connection is not mistaken for a completed one.
    connection.client.resetAndDestroy();
    connection.upstream?.resetAndDestroy();
  }

  async #accept(client: Socket): Promise<void> {
    const { counters } = this;
    // Any error ends the connection; there is no one to report it to.
    client.on('error', () => client.destroy());
    const remote = this.#options.remoteOf(client.remoteAddress ?? '');
    if (remote === undefined) {
      counters.refusedStrangers++;
      client.resetAndDestroy();
      return;
    }
    const ofRemote = [...this.#connections].filter((each) => each.remote === remote).length;
    if (this.#connections.size >= this.#limits.connections || ofRemote >= this.#limits.connectionsPerRemote) {
      counters.refusedFull++;
      client.resetAndDestroy();
      return;
    }
    counters.accepted++;
    const connection: Connection = { client, remote };
    this.#connections.add(connection);
    counters.active = this.#connections.size;
    const forget = () => {
      if (!client.closed || connection.upstream?.closed === false) return;
      this.#connections.delete(connection);
      counters.active = this.#connections.size;
    };
    client.once('close', forget);
    const upstream = await this.#dial(connection);
    if (upstream === undefined) {
      if (!client.destroyed) counters.unreachable++;
      client.resetAndDestroy();
      forget();
      return;
    }
    upstream.once('close', forget);
    this.#join(client, upstream);
  }

  /** The first target that answers; undefined: none did, or the client has gone. */
  async #dial(connection: Connection): Promise<Socket | undefined> {
    for (const target of this.#options.targets().slice(0, attempts)) {
      if (connection.client.destroyed) return undefined;
      const upstream = connect({ ...target, allowHalfOpen: true, noDelay: true });
      connection.upstream = upstream;
      connection.target = target;
      const connected = await new Promise<boolean>((resolve) => {
        upstream.setTimeout(this.#limits.connectMilliseconds, () => upstream.destroy());
        upstream.once('connect', () => resolve(true));
        upstream.once('close', () => resolve(false));
        upstream.on('error', () => upstream.destroy());
      });
      if (connected && !connection.client.destroyed) return upstream;
      upstream.destroy();
    }
    return undefined;
  }

  /** Each direction ends on its own; an error of either ends both. */
  #join(client: Socket, upstream: Socket): void {
    const sides = [client, upstream];
    upstream.removeAllListeners('timeout').setTimeout(0);
    for (const [index, side] of sides.entries()) {
      const other = sides[1 - index] as Socket;
      side.setKeepAlive(true, keepAliveMilliseconds);
      side.once('end', () => {
        for (const each of sides) {
          each.setTimeout(this.#limits.halfClosedMilliseconds, () => {
            for (const one of sides) one.resetAndDestroy();
          });
        }
      });
      side.once('close', (hadError) => {
        if (hadError) other.resetAndDestroy();
        else if (!other.writableEnded) other.destroy();
      });
      side.pipe(other);
    }
  }
}
