/** Starts an engine in a worker thread and ends the thread without closing the engine, three times; prints what was left. */
import { existsSync } from 'node:fs';
import { Worker, isMainThread, parentPort } from 'node:worker_threads';
import { Engine } from '../../native/index.js';

const name = 'cnihw0';
// In this process's namespace: /sys shows the namespace in which it was mounted.
const isThere = (): boolean => existsSync(`/proc/sys/net/ipv4/conf/${name}`);

if (isMainThread) {
  for (let round = 0; round < 3; round++) {
    const worker = new Worker(new URL(import.meta.url));
    const counters = await new Promise<BigUint64Array>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    const before = isThere();
    await worker.terminate();
    console.log(counters.buffer instanceof SharedArrayBuffer, before, isThere(), Number(counters[0]));
  }
} else {
  const engine = new Engine({ tun: { name, mtu: 1420 }, port: 51820, onEvents: () => undefined });
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a port, not a window
  parentPort?.postMessage(engine.counters);
}
