/**
 * A path that drops, duplicates and reorders datagrams between one client and one target. Arguments: port to listen on,
 * target's address and port, seed, and the shares of messages that are dropped, duplicated, or 30 ms late. IPv4.
 */
import { createSocket } from 'node:dgram';

import { generator } from '../daemon/wireguard/simulation.ts';

const [port, targetAddress, targetPort, seed, loss, duplicate, late] = process.argv.slice(2);
const random = generator(Number(seed));
const front = createSocket('udp4');
const back = createSocket('udp4');
let caller: { address: string; port: number } | null = null;

function pass(send: () => void): void {
  if (random() < Number(loss)) return;
  const copies = random() < Number(duplicate) ? 2 : 1;
  const delay = random() < Number(late) ? 30 : 0;
  for (let copy = 0; copy < copies; copy++)
    if (delay === 0) send();
    else setTimeout(send, delay);
}

front.on('message', (message, from) => {
  caller = { address: from.address, port: from.port };
  pass(() => back.send(message, Number(targetPort), targetAddress));
});
back.on('message', (message) => {
  const to = caller;
  if (to !== null) pass(() => front.send(message, to.port, to.address));
});
front.bind(Number(port), () => console.log('ready'));
