/**
 * The relay: receives frames by UDP from one tap device and sends them by UDP to the other, as the link decides. Arguments:
 * near port, far port, own port for each, file of the impairment. SIGHUP reloads that file.
 */
import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { newLink } from './link.ts';
import type { Impairment, Link } from './link.ts';

/** Maximum of waiting frames; further ones are dropped, as in any router. */
const queueLimit = 50_000;
const loopback = '127.0.0.1';
const bufferBytes = 4 * 1024 * 1024;

interface Direction {
  link: Link;
  receive: Socket;
  send: Socket;
  sendPort: number;
}

const [nearPort, farPort, ownNearPort, ownFarPort, file] = process.argv.slice(2);
if (file === undefined) throw new Error('five arguments are needed');
const impairmentFile = file;
const near = createSocket('udp4');
const far = createSocket('udp4');
const directions: Direction[] = [
  { link: newLink({}), receive: near, send: far, sendPort: Number(farPort) },
  { link: newLink({}), receive: far, send: near, sendPort: Number(nearPort) },
];
let waiting = 0;
let overflowed = 0;

function configure(): void {
  const impairment = JSON.parse(readFileSync(impairmentFile, 'utf8')) as Impairment;
  for (const [index, direction] of directions.entries()) {
    direction.link = newLink({ ...impairment, seed: (impairment.seed ?? 1) + index });
  }
}

function forward(direction: Direction, frame: Buffer): void {
  const now = performance.now();
  for (const time of direction.link(now)) {
    const send = () => direction.send.send(frame, direction.sendPort, loopback);
    if (time <= now) {
      send();
      continue;
    }
    if (waiting >= queueLimit) {
      overflowed++;
      continue;
    }
    waiting++;
    setTimeout(() => {
      waiting--;
      send();
    }, time - now);
  }
}

configure();
process.on('SIGHUP', configure);
process.on('SIGTERM', () => {
  process.stdout.write(`${overflowed} frames were lost because the queue was full\n`);
  process.exit(0);
});
for (const direction of directions) {
  direction.receive.on('message', (frame) => forward(direction, frame));
  direction.receive.on('error', (error) => process.stderr.write(`${error.message}\n`));
}
near.bind(Number(ownNearPort), loopback, () => near.setRecvBufferSize(bufferBytes));
far.bind(Number(ownFarPort), loopback, () => far.setRecvBufferSize(bufferBytes));
