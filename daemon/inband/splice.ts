/**
 * One TCP port of this node whose connections are forwarded to fixed targets byte for byte; TLS terminates at the target.
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
  /** Returns the targets in order of preference; called for each connection. */
  targets: () => readonly Target[];
  /** The remote cluster that an address belongs to; undefined if it may not connect. */
  remoteOf: (address: string) => string | undefined;
  limits?: Partial<SpliceLimits>;
  log: Log;
  clock?: Clock;
}

export interface SpliceLimits {
  /**
   * Maximum number of concurrent connections: of all remotes, and of one. A watch is one connection. When all are in use, a
   * remote with fewer connections gets one from the remote with the most.
   */
  connections: number;
  connectionsPerRemote: number;
  /** Deadline for connecting to a target. */
  connectMilliseconds: number;
  /** Once one side has ended, the connection is closed after this idle time. */
  halfClosedMilliseconds: number;
}

const defaultLimits: SpliceLimits = {
  connections: 4096,
  connectionsPerRemote: 2048,
  connectMilliseconds: 5_000,
  halfClosedMilliseconds: 60_000,
};
/** Maximum number of targets tried for one connection. */
const attempts = 3;
/** TCP keepalive: a vanished peer is detected after this time. */
const keepAliveMilliseconds = 30_000;

export interface SpliceCounters {
  accepted: number;
  /** Connections from addresses that may not connect. */
  refusedStrangers: number;
  /** Connections beyond the limits. */
  refusedFull: number;
  /** Connections closed so that a remote with fewer connections could have one. */
  ceded: number;
  /** Connections for which no target answered. */
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
    ceded: 0,
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

  /** The port on which it listens; undefined while it does not. */
  get listeningOn(): number | undefined {
    const address = this.#server?.address();
    return typeof address === 'object' ? address?.port : undefined;
  }

  /** Listens until the signal is aborted, with retries, since the address comes and goes with the tunnel endpoint. */
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

  /** Closes the connections of remotes that may no longer connect, and those to removed targets. */
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
    // A reset, so that the client does not take a cut connection for a completed one.
    connection.client.resetAndDestroy();
    connection.upstream?.resetAndDestroy();
  }

  async #accept(client: Socket): Promise<void> {
    const { counters } = this;
    // Any error closes the connection and needs no report.
    client.on('error', () => client.destroy());
    const remote = this.#options.remoteOf(client.remoteAddress ?? '');
    if (remote === undefined) {
      counters.refusedStrangers++;
      client.resetAndDestroy();
      return;
    }
    if (!this.#makeRoom(remote)) {
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

  /**
   * Whether `remote` may have one connection more. When all are in use, the remote with the most connections loses its newest
   * one to a remote with fewer (max-min fairness).
   */
  #makeRoom(remote: string): boolean {
    const byRemote = Map.groupBy(this.#connections, (each) => each.remote);
    const own = byRemote.get(remote)?.length ?? 0;
    if (own >= this.#limits.connectionsPerRemote) return false;
    if (this.#connections.size < this.#limits.connections) return true;
    let most: Connection[] = [];
    for (const held of byRemote.values()) if (held.length > most.length) most = held;
    // The oldest connections are usually watches and event streams.
    const ceded = most.at(-1);
    if (ceded === undefined || most.length <= own + 1) return false;
    this.counters.ceded++;
    this.#connections.delete(ceded);
    this.#end(ceded);
    return true;
  }

  /** Connects to the first target that answers; undefined if none did or the client disconnected. */
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

  /** Each direction ends separately; an error of either closes both. */
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
