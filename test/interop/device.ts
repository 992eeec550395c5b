/**
 * The bare tunnel device with shorter times than the protocol's, so that it rekeys every few seconds: a `hawser tunnel
 * --foreground NAME` for tests. Arguments: name of the interface, times as JSON.
 */
import { makeEngine } from '../../daemon/wireguard/engine-loader.ts';
import { EngineShell } from '../../daemon/wireguard/engine-driver.ts';
import { PROTOCOL_TIMES } from '../../daemon/wireguard/constants-of-protocol.ts';
import type { ProtocolTimes } from '../../daemon/wireguard/constants-of-protocol.ts';
import { serveUapi, SOCKET_DIRECTORY } from '../../daemon/wireguard/uapi-socket.ts';

const [name = '', times = '{}'] = process.argv.slice(2);
const shell = new EngineShell(makeEngine, {
  tun: { name, mtu: 1_420 },
  port: 0,
  relay: false,
  times: { ...PROTOCOL_TIMES, ...(JSON.parse(times) as Partial<ProtocolTimes>) },
  log: (level, message) => console.error(`${level}: ${message}`),
});
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => shell.close());
const socket = await serveUapi(shell, { path: `${SOCKET_DIRECTORY}/${name}.sock` });
void socket.removed.finally(() => shell.close());
const failure = await shell.ended;
await socket.close();
if (failure !== null && failure.reason !== 'tun-closed') throw failure;
