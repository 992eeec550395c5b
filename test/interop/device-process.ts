/** A process with a tunnel device in a worker, like the daemon's; its parent sends orders over the IPC channel. */
import { createTunnelDevice, EngineFailure } from '../../daemon/wireguard/index.ts';
import type { PathMTUTimes } from '../../daemon/wireguard/path-mtu.ts';
import { SOCKET_DIRECTORY } from '../../daemon/wireguard/uapi-socket.ts';
import type { DeviceConfiguration, TunnelDevice } from '../../daemon/wireguard/index.ts';

export type Order =
  | { id: number; order: 'start'; name: string; port: number; pathTimes?: PathMTUTimes }
  | { id: number; order: 'configure'; configuration: DeviceConfiguration }
  | { id: number; order: 'status' }
  | { id: number; order: 'kept-status' }
  /** Blocks this process's main loop, milliseconds. */
  | { id: number; order: 'block'; milliseconds: number }
  | { id: number; order: 'close' };

export interface Reply {
  id: number;
  result?: unknown;
  error?: string;
}

let device: TunnelDevice | null = null;
let running: Promise<string> | null = null;

async function carryOut(order: Order): Promise<unknown> {
  if (order.order === 'start') {
    device = createTunnelDevice({
      name: order.name,
      mtu: 1_420,
      port: order.port,
      ...(order.pathTimes === undefined ? {} : { pathTimes: order.pathTimes }),
      controlSocket: `${SOCKET_DIRECTORY}/${order.name}.sock`,
    });
    const ended = device.run(new AbortController().signal);
    running = ended.then(
      () => 'closed',
      (error: unknown) => (error instanceof EngineFailure ? error.reason : String(error)),
    );
    void running.then((why) => process.send?.({ id: 0, result: why } satisfies Reply));
    for (let attempt = 0; attempt < 100 && device.status() === null; attempt++)
      await new Promise((resolve) => setTimeout(resolve, 50));
    return device.status();
  }
  if (device === null) throw new Error('start comes first');
  switch (order.order) {
    case 'configure':
      return device.configure(order.configuration);
    case 'status':
      return device.refreshStatus();
    case 'kept-status':
      return device.status();
    case 'block': {
      const until = performance.now() + order.milliseconds;
      while (performance.now() < until);
      return undefined;
    }
    case 'close':
      await device.close();
      return running;
    default:
      return order satisfies never;
  }
}

process.on('message', (order: Order) => {
  const reply = (outcome: Omit<Reply, 'id'>) => process.send?.({ id: order.id, ...outcome } satisfies Reply);
  carryOut(order).then(
    (result) => reply({ result }),
    (error: unknown) =>
      reply({ error: error instanceof Error ? `${error.name}: ${error.message}` : String(error) }),
  );
});
