/** Controls a process of `device-process.ts`. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';

import type { DeviceStatus } from '../../daemon/wireguard/index.ts';
import type { Bed, Side } from './bed.ts';
import type { Order, Reply } from './device-process.ts';

type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;

/** A process with a tunnel device, in the namespace of a side. */
export class DeviceProcess {
  readonly child: ChildProcess;
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  readonly ended: Promise<unknown>;
  #next = 1;

  constructor(bed: Bed, side: Side) {
    const [program = '', ...parameters] = bed.inside(side);
    this.child = spawn(
      program,
      [...parameters, process.execPath, join(import.meta.dirname, 'device-process.ts')],
      {
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
        serialization: 'advanced',
      },
    );
    const ended = Promise.withResolvers<unknown>();
    this.ended = ended.promise;
    this.child.on('message', (reply: Reply) => {
      if (reply.id === 0) ended.resolve(reply.result);
      this.#waiting.get(reply.id)?.(reply);
      this.#waiting.delete(reply.id);
    });
    this.child.on('exit', () => ended.resolve('the process ended'));
  }

  async tell(order: WithoutId<Order>): Promise<unknown> {
    const id = this.#next++;
    const { promise, resolve } = Promise.withResolvers<Reply>();
    const deadline = setTimeout(() => resolve({ id, error: 'no reply in 20 s' }), 20_000);
    this.#waiting.set(id, resolve);
    this.child.send({ id, ...order });
    const reply = await promise;
    clearTimeout(deadline);
    if (reply.error !== undefined) throw new Error(reply.error);
    return reply.result;
  }

  async status(): Promise<DeviceStatus> {
    return (await this.tell({ order: 'status' })) as DeviceStatus;
  }
}
