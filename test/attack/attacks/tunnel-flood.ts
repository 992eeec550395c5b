import { spawn } from 'node:child_process';
import * as assert from 'uvu/assert';
import { listed } from '../../support/api-objects.ts';
import { killNodeDaemon } from '../../support/hostile-pod.ts';
import { eventually } from '../../support/workload.ts';
import type { Attack } from '../attack.ts';
import { nodeOf, providerNode, type AttackBed } from '../bed.ts';

/** Cookie replies (WireGuard paper, section 5.4.7) with random receivers, which have no MAC to check first. */
const flood = `
const { createSocket } = require('node:dgram');
const { randomFillSync } = require('node:crypto');
const [host, port] = process.argv.slice(1);
const socket = createSocket('udp4');
socket.on('error', () => {});
const packet = Buffer.alloc(64);
let sent = 0, over = false;
process.stdin.resume().once('end', () => { over = true; });
const burst = () => {
  if (over) { console.log(sent); process.exit(0); }
  for (let index = 0; index < 100; index++) {
    randomFillSync(packet);
    packet.writeUInt32LE(3, 0);
    socket.send(packet, 0, 64, Number(port), host);
    sent += 1;
  }
  setTimeout(burst, 5);
};
burst();
`;

/** Start of the provider's latest session with the hostile consumer, milliseconds since 1970. */
async function handshakeOf({ provider, hostile }: AttackBed): Promise<number> {
  const sessions = (await listed(provider, 'fabricnodes')).flatMap(({ status }) => status?.sessions ?? []);
  const found = sessions.find(({ remoteCluster }) => remoteCluster === hostile.id);
  return Date.parse(found?.latestHandshake ?? '') || 0;
}

export const tunnelFlood: Attack = {
  name: 'a flood of cookie replies at the tunnel’s UDP port',
  async play(bed) {
    const { provider, hostile } = bed;
    const [endpoint] = (await listed(hostile.cluster, 'tunnels'))[0]?.spec.remoteTunnelEndpoints ?? [];
    const [host = '', port = ''] = (endpoint?.addresses[0] ?? '').split(':');
    const { netns } = nodeOf(hostile);
    const child = spawn('ip', ['netns', 'exec', netns, process.execPath, '-e', flood, host, port], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.stdin.on('error', () => undefined);
    const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
    const begun = performance.now();
    let milliseconds = 0;
    try {
      const before = await handshakeOf(bed);
      // A genuine handshake from the address of the flood, which is the hardest case.
      await killNodeDaemon(nodeOf(hostile));
      await eventually('a genuine handshake to get through the flood', 60, async () => {
        return (await handshakeOf(bed)) > before;
      });
      milliseconds = performance.now() - begun;
    } finally {
      child.stdin.end();
      await closed;
    }
    const sent = Number(output);
    const rate = Math.round(sent / ((performance.now() - begun) / 1000));
    assert.ok(rate > 1000, `only ${rate} packets a second were sent`);
    const fabric = await provider.kubectl([
      'get',
      'fabricnodes.hawser.dev',
      providerNode(bed).name,
      '-o',
      'jsonpath={.status.conditions[?(@.type=="Programmed")].status}',
    ]);
    assert.is(fabric, 'True');
    return {
      stopped: `limits of the tunnel’s receiver: at ${rate} packets/s a handshake still got through, ${(milliseconds / 1000).toFixed(0)} s after the daemon’s restart`,
      seenAt: 'FabricNode status.sessions (latestHandshake)',
    };
  },
};
