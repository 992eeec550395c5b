/**
 * The tunnel device's interface to the rest of the daemon: a complete configuration in, status out, and a `run` that lasts
 * as long as the device. Protocol and engine run in a worker thread.
 */
import { Worker } from 'node:worker_threads';

import { checkConfiguration, ConfigurationError } from './configuration.ts';
import type { DeviceConfiguration } from './configuration.ts';
import { DEFAULT_MAXIMUM_PEERS } from './constants-of-implementation.ts';
import type { ProtocolTimes } from './constants-of-protocol.ts';
import { EngineFailure } from './engine-failure.ts';
import type { Log } from './engine-driver.ts';
import type { PathMTUTimes } from './path-mtu.ts';
import type { DeviceStatus } from './status.ts';
import type { Answer, Request, WorkerOptions } from './worker-protocol.ts';

export { ConfigurationError } from './configuration.ts';
export type { DeviceConfiguration, PeerConfiguration, RouteConfiguration } from './configuration.ts';
export { EngineFailure } from './engine-failure.ts';
export type { Log, LogLevel } from './engine-driver.ts';
export { decodeKey, encodeKey } from './keys.ts';
export type { DeviceStatus, Drops, PeerStatus } from './status.ts';

/** A worker that hasn't closed this long (milliseconds) after being asked to is terminated. */
const CLOSE_DEADLINE = 2_000;
/** Deadline of the worker's answers (milliseconds). */
const ANSWER_DEADLINE = 10_000;

export interface TunnelDeviceOptions {
  /** Name of the network interface, at most 15 bytes. Opened, or created if it doesn't exist; removed when the device ends. */
  name: string;
  mtu: number;
  /** UDP port at start; 0 means any. `configure` sets later ones. */
  port: number;
  fwmark?: number;
  /** Number of pairs of engine threads; default 1. */
  threadPairs?: number;
  maximumPeers?: number;
  /**
   * Path of a control socket to serve, usually `/var/run/wireguard/NAME.sock`, so that `wg show` works on the node. What `wg set`
   * changes lasts until the next `configure`.
   */
  controlSocket?: string;
  log?: Log;
  /** Differ from the protocol's only in tests. */
  times?: ProtocolTimes;
  pathTimes?: PathMTUTimes;
}

export interface TunnelDevice {
  /**
   * Takes a complete configuration; only its difference from the current one is applied, without losing packets of unchanged
   * peers. Before `run` it is only stored. Resolves once it is applied; rejects with a `ConfigurationError`, without changes,
   * if it is invalid. A later `run` applies the last accepted one again.
   */
  configure(configuration: DeviceConfiguration): Promise<void>;
  /** At most half a second old; `null` before the device runs. */
  status(): DeviceStatus | null;
  /** The status now; rejects when the device isn't running. */
  refreshStatus(): Promise<DeviceStatus>;
  /**
   * Creates the interface and runs until `signal` aborts or `close` is called, then resolves. If the device fails it rejects
   * with an `EngineFailure`, which is `tun-closed` when the interface was deleted. It may be called again afterwards.
   */
  run(signal: AbortSignal): Promise<void>;
  /** Stops a running device and waits until it has ended. Idempotent. */
  close(): Promise<void>;
}

interface Waiting {
  resolve: (status: DeviceStatus | undefined) => void;
  reject: (error: Error) => void;
}

class WorkerTunnelDevice implements TunnelDevice {
  readonly #options: TunnelDeviceOptions;
  readonly #maximumPeers: number;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #worker: Worker | null = null;
  #started = false;
  #running: Promise<void> | null = null;
  #configuration: DeviceConfiguration | null = null;
  #status: DeviceStatus | null = null;

  constructor(options: TunnelDeviceOptions) {
    this.#options = options;
    this.#maximumPeers = options.maximumPeers ?? DEFAULT_MAXIMUM_PEERS;
  }

  async configure(configuration: DeviceConfiguration): Promise<void> {
    checkConfiguration(configuration, this.#maximumPeers);
    if (!this.#started) {
      this.#configuration = configuration;
      return;
    }
    await this.#ask((id) => ({ type: 'configure', id, configuration }));
    this.#configuration = configuration;
  }

  status(): DeviceStatus | null {
    return this.#status;
  }

  async refreshStatus(): Promise<DeviceStatus> {
    const status = await this.#ask((id) => ({ type: 'status', id }));
    if (status === undefined) throw new Error('the tunnel device answered without a status');
    return status;
  }

  async run(signal: AbortSignal): Promise<void> {
    if (this.#running !== null) throw new Error(`the tunnel device ${this.#options.name} is already running`);
    if (signal.aborted) return;
    this.#running = this.#runWorker(signal);
    try {
      await this.#running;
    } finally {
      this.#running = null;
    }
  }

  async close(): Promise<void> {
    const running = this.#running;
    if (running === null) return;
    this.#requestClose();
    await running.catch(() => undefined);
  }

  #requestClose(): void {
    const worker = this.#worker;
    if (worker === null) return;
    this.#post({ type: 'close' });
    const deadline = setTimeout(() => void worker.terminate(), CLOSE_DEADLINE);
    deadline.unref();
    worker.once('exit', () => clearTimeout(deadline));
  }

  async #runWorker(signal: AbortSignal): Promise<void> {
    const { name, mtu, port, fwmark = 0, threadPairs = 1, controlSocket, times, pathTimes } = this.#options;
    const workerData: WorkerOptions = {
      name,
      mtu,
      port,
      fwmark,
      threadPairs,
      maximumPeers: this.#maximumPeers,
      ...(controlSocket === undefined ? {} : { controlSocket }),
      ...(times === undefined ? {} : { times }),
      ...(pathTimes === undefined ? {} : { pathTimes }),
    };
    // Same extension as this file: .ts in the source tree, .js when built.
    const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.'));
    const worker = new Worker(new URL(`./worker${extension}`, import.meta.url), { workerData, name });
    this.#worker = worker;
    const outcome = Promise.withResolvers<void>();
    let failure: Error | null = null;
    worker.on('message', (answer: Answer) => {
      if (answer.type === 'ended' && answer.reason !== null)
        failure = new EngineFailure(answer.reason, answer.message);
      else this.#take(answer);
    });
    worker.on('error', (error) => {
      failure ??= error instanceof Error ? error : new Error(String(error));
    });
    worker.on('exit', () => (failure === null ? outcome.resolve() : outcome.reject(failure)));
    const abort = () => this.#requestClose();
    signal.addEventListener('abort', abort, { once: true });
    try {
      await outcome.promise;
    } finally {
      signal.removeEventListener('abort', abort);
      this.#worker = null;
      this.#started = false;
      this.#status = null;
      for (const { reject } of this.#waiting.values())
        reject(new Error(`the tunnel device ${name} has ended`));
      this.#waiting.clear();
    }
  }

  #take(answer: Answer): void {
    switch (answer.type) {
      case 'started':
        this.#started = true;
        if (this.#configuration !== null) void this.#applyKept(this.#configuration);
        break;
      case 'configured':
        if (answer.error === null) this.#settle(answer.id)?.resolve(undefined);
        else this.#settle(answer.id)?.reject(new ConfigurationError(answer.error));
        break;
      case 'status':
        this.#status = answer.status;
        if (answer.id !== null) this.#settle(answer.id)?.resolve(answer.status);
        break;
      case 'log':
        this.#options.log?.(answer.level, answer.message, answer.facts);
        break;
      case 'ended':
        break;
    }
  }

  /** Applies the configuration stored before `run`; a refusal can only be logged here. */
  async #applyKept(configuration: DeviceConfiguration): Promise<void> {
    try {
      await this.#ask((id) => ({ type: 'configure', id, configuration }));
    } catch (error) {
      this.#options.log?.('error', `the configuration stored before the start was refused: ${String(error)}`);
    }
  }

  #settle(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }

  async #ask(request: (id: number) => Request): Promise<DeviceStatus | undefined> {
    if (!this.#started) throw new Error(`the tunnel device ${this.#options.name} is not running`);
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<DeviceStatus | undefined>();
    const deadline = setTimeout(() => {
      this.#settle(id);
      reject(
        new Error(
          `the tunnel device ${this.#options.name} did not answer within ${ANSWER_DEADLINE / 1_000} s`,
        ),
      );
    }, ANSWER_DEADLINE);
    this.#waiting.set(id, { resolve, reject });
    this.#post(request(id));
    try {
      return await promise;
    } finally {
      clearTimeout(deadline);
    }
  }

  #post(request: Request): void {
    this.#worker?.postMessage(request);
  }
}

/** Constructs a device that `run` starts; constructing has no side effects. */
export function createTunnelDevice(options: TunnelDeviceOptions): TunnelDevice {
  return new WorkerTunnelDevice(options);
}
