/**
 * Sends requests to a netexec pod continuously until standard input ends, then prints the result as JSON: a datagram every 50
 * milliseconds, each of which must be answered, and consecutive requests on one TCP connection.
 */
import { createSocket } from 'node:dgram';
import { Agent, get } from 'node:http';
import type { TrafficCounts } from './traffic.ts';

const [host = '', port = '8080'] = process.argv.slice(2);
const datagramMilliseconds = 50;
/** How long the last answers may take. */
const graceMilliseconds = 5_000;

const counts: TrafficCounts = { sent: 0, lost: [], requests: 0, connections: 0, failures: [] };
const waiting = new Set<string>();
const stop = new AbortController();
process.stdin.resume().once('end', () => stop.abort());

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function datagrams(): Promise<void> {
  const socket = createSocket('udp4');
  socket.on('message', (message) => waiting.delete(message.toString().trim()));
  socket.on('error', (error) => counts.failures.push(error.message));
  while (!stop.signal.aborted) {
    const text = `n${counts.sent++}`;
    waiting.add(text);
    socket.send(`echo ${text}`, Number(port), host);
    await pause(datagramMilliseconds);
  }
  for (const end = Date.now() + graceMilliseconds; waiting.size > 0 && Date.now() < end;) await pause(50);
  counts.lost = [...waiting];
  socket.close();
}

async function requests(): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const seen = new Set<unknown>();
  while (!stop.signal.aborted) {
    await new Promise<void>((resolve) => {
      const request = get({ host, port, path: `/echo?msg=${counts.requests}`, agent, timeout: 30_000 });
      request.on('socket', (socket) => seen.add(socket));
      request.on('timeout', () => request.destroy(new Error('no answer for 30 seconds')));
      request.on('error', (error) => {
        counts.failures.push(error.message);
        resolve();
      });
      request.on('response', (response) => response.resume().once('close', resolve));
    });
    counts.requests++;
    await pause(datagramMilliseconds);
  }
  counts.connections = seen.size;
  agent.destroy();
}

await Promise.all([datagrams(), requests()]);
console.log(JSON.stringify(counts));
