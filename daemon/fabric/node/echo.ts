/**
 * Whether a host answers at all: sends a datagram to a closed UDP port, which a live host answers with ICMP Port Unreachable
 * (RFC 1122, section 3.2.2.1). That answer comes back through both translations like the packet that it quotes.
 */
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { encodeProbe } from './probe-messages.ts';

export interface EchoResult {
  sent: number;
  answered: number;
  /** Round-trip time of the fastest answer. */
  roundTripMilliseconds?: number;
}

/** traceroute's base port, on which no service listens. */
const firstPort = 33_434;
/** Linux sends a burst of six such answers and then one per second (icmp_ratelimit). */
const questions = 4;
const gapMilliseconds = 50;
const answerMilliseconds = 1_500;

/** @param source local address to bind to; absent: the kernel's choice */
export async function echo(
  address: string,
  source: string | undefined,
  signal: AbortSignal,
): Promise<EchoResult> {
  const times = await Promise.all(
    Array.from({ length: questions }, (_, index) =>
      ask(address, source, firstPort + index, index * gapMilliseconds, signal),
    ),
  );
  const answered = times.filter((time) => time !== undefined);
  return {
    sent: questions,
    answered: answered.length,
    ...(answered.length > 0 && { roundTripMilliseconds: Math.round(Math.min(...answered) * 100) / 100 }),
  };
}

/** Milliseconds until the answer; undefined if none came. */
function ask(
  address: string,
  source: string | undefined,
  port: number,
  after: number,
  signal: AbortSignal,
): Promise<number | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket({ type: isIPv6(address) ? 'udp6' : 'udp4' });
    let sentAt: number | undefined;
    const end = (answered: boolean) => {
      clearTimeout(delay);
      clearTimeout(deadline);
      signal.removeEventListener('abort', onAbort);
      socket.removeAllListeners();
      socket.on('error', () => undefined);
      try {
        socket.close();
      } catch {
        // closed already
      }
      resolve(answered && sentAt !== undefined ? performance.now() - sentAt : undefined);
    };
    const onAbort = () => end(false);
    const deadline = setTimeout(() => end(false), after + answerMilliseconds);
    const delay = setTimeout(() => {
      socket.connect(port, address, () => {
        sentAt = performance.now();
        const stamp = randomBytes(16).toString('hex');
        socket.send(encodeProbe({ type: 'question', stamp }), (error) => {
          if (error !== null) end(isRefusal(error));
        });
      });
    }, after);
    signal.addEventListener('abort', onAbort, { once: true });
    socket.on('error', (error) => end(isRefusal(error)));
    socket.on('message', () => end(true));
    if (source !== undefined) socket.bind(0, source);
  });
}

/** ECONNREFUSED is ICMP Port Unreachable, which only the host itself sends. */
function isRefusal(error: Error): boolean {
  return 'code' in error && error.code === 'ECONNREFUSED';
}
