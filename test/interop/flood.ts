/**
 * Sends initiations with a valid mac1 and random content as fast as it can: the load under which a device requires cookies.
 * Arguments: target's address (IPv4) and port, its public key, seconds.
 */
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';

import { CookieGenerator } from '../../daemon/wireguard/cookie.ts';
import { decodeKey } from '../../daemon/wireguard/keys.ts';
import { encodeInitiation } from '../../daemon/wireguard/messages.ts';

const [address = '', port = '', key = '', seconds = '1'] = process.argv.slice(2);
const publicKey = decodeKey(key);
if (publicKey === null) throw new Error('the public key is not one');
const macs = new CookieGenerator(publicKey);
const messages = Array.from({ length: 500 }, (_, index) => {
  const bytes = encodeInitiation(index, randomBytes(108));
  macs.addMacs(bytes, 0);
  return bytes;
});
const socket = createSocket('udp4');
let sent = 0;
const end = performance.now() + Number(seconds) * 1_000;
const burst = () => {
  for (let number = 0; number < 64; number++)
    socket.send(messages[sent++ % messages.length] ?? '', Number(port), address);
  if (performance.now() < end) setImmediate(burst);
  else {
    console.log(sent);
    socket.close();
  }
};
burst();
