/** Messages between the daemon's main thread and a device's worker. All of them survive a structured clone. */
import type { DeviceConfiguration } from './configuration.ts';
import type { ProtocolTimes } from './constants-of-protocol.ts';
import type { EngineFailure } from './engine-failure.ts';
import type { LogLevel } from './engine-driver.ts';
import type { PathMTUTimes } from './path-mtu.ts';
import type { DeviceStatus } from './status.ts';

export interface WorkerOptions {
  /** Name of the TUN device to open or create. */
  name: string;
  mtu: number;
  port: number;
  fwmark: number;
  threadPairs: number;
  maximumPeers: number;
  /** Path of the control socket to serve, if any. */
  controlSocket?: string;
  times?: ProtocolTimes;
  pathTimes?: PathMTUTimes;
}

export type Request =
  | { type: 'configure'; id: number; configuration: DeviceConfiguration }
  | { type: 'status'; id: number }
  | { type: 'close' };

export type Answer =
  | { type: 'started' }
  | { type: 'configured'; id: number; error: string | null }
  | { type: 'status'; id: number | null; status: DeviceStatus }
  | { type: 'log'; level: LogLevel; message: string; facts: Record<string, string | number> }
  | { type: 'ended'; reason: EngineFailure['reason'] | null; message: string };
