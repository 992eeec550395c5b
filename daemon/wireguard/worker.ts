/** A device and its engine on their own event loop, so that they and the rest of the daemon don't delay each other. */
import { randomBytes } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';

import { collectAfterStart } from '../../shared/collect-after-start.ts';
import { makeEngine, platformX25519 } from './engine-loader.ts';
import { EngineShell } from './engine-driver.ts';
import { adoptX25519 } from './primitives.ts';
import { serveUapi } from './uapi-socket.ts';
import type { UapiSocket } from './uapi-socket.ts';
import type { Answer, Request, WorkerOptions } from './worker-protocol.ts';

/** Maximum age of the published status, milliseconds. */
const STATUS_INTERVAL = 500;

/** The tunnel works without the control socket, for example where its folder is not writable. */
async function serveControl(
  shell: EngineShell,
  path: string,
  say: (answer: Answer) => void,
): Promise<UapiSocket | null> {
  try {
    return await serveUapi(shell, { path });
  } catch (error) {
    const message = `the control socket ${path} can't be served, so wg won't show this device: ${String(error)}`;
    say({ type: 'log', level: 'error', message, facts: {} });
    return null;
  }
}

function start(options: WorkerOptions, port: NonNullable<typeof parentPort>): void {
  const say = (answer: Answer) => port.postMessage(answer);
  // Four times as fast as the portable one, which is used where this one is missing or wrong.
  const adopted = adoptX25519(platformX25519, (length) => Uint8Array.from(randomBytes(length)));
  if (!adopted)
    say({
      type: 'log',
      level: 'info',
      message:
        "X25519 of this program's OpenSSL is missing or gives wrong answers; handshakes use libsodium's, which is slower",
      facts: {},
    });
  const shell = new EngineShell(makeEngine, {
    tun: { name: options.name, mtu: options.mtu },
    port: options.port,
    fwmark: options.fwmark,
    threadPairs: options.threadPairs,
    maximumPeers: options.maximumPeers,
    relay: true,
    ...(options.times === undefined ? {} : { times: options.times }),
    ...(options.pathTimes === undefined ? {} : { pathTimes: options.pathTimes }),
    log: (level, message, facts = {}) => say({ type: 'log', level, message, facts }),
  });
  // An unchanged status of an idle device is not published.
  let said = '';
  const tell = () => {
    const status = shell.status();
    const text = JSON.stringify(status);
    if (text !== said) say({ type: 'status', id: null, status });
    said = text;
  };
  const ticker = setInterval(tell, STATUS_INTERVAL);

  port.on('message', (request: Request) => {
    switch (request.type) {
      case 'configure': {
        let error: string | null = null;
        try {
          shell.configure(request.configuration);
        } catch (cause) {
          error = cause instanceof Error ? cause.message : String(cause);
        }
        say({ type: 'configured', id: request.id, error });
        break;
      }
      case 'status':
        say({ type: 'status', id: request.id, status: shell.status() });
        break;
      case 'close':
        shell.close();
        break;
    }
  });
  const stopCollecting = collectAfterStart();
  say({ type: 'started' });
  tell();
  const control =
    options.controlSocket === undefined ? null : serveControl(shell, options.controlSocket, say);
  const finish = async () => {
    const failure = await shell.ended;
    clearInterval(ticker);
    stopCollecting();
    await (await control)?.close();
    say({ type: 'ended', reason: failure?.reason ?? null, message: failure?.message ?? '' });
    port.close();
  };
  void finish();
}

if (parentPort === null)
  throw new Error('this file is the body of a worker; start it with createTunnelDevice()');
start(workerData as WorkerOptions, parentPort);
