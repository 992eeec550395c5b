/**
 * Hostile and revoked peers inside the tunnel: real API servers, kernels and tunnels. The hostile one has the provider's own
 * keys in a WireGuard device without admission or translation, and can send any packet.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { kind, type KubeClient, type Secret } from '../../../daemon/kube/index.ts';
import { apiVersion } from '../../../shared/api/meta.ts';
import { toMapped } from '../../../shared/net/address-mapping.ts';
import { signNetworkDocument } from '../../../shared/trust/network-documents.ts';
import { logHookFailure } from '../../support/log-hook-failure.ts';
import type { TestNamespace } from '../host/namespace.ts';
import { ClusterBed, eventually, namespace } from './cluster-bed.ts';
import { NetworkBed } from './network-bed.ts';
import { connectKube } from '../../../daemon/clients/kubernetes/index.ts';

const test = suite('hostile peers in the tunnel');
const root = new URL('../../../', import.meta.url).pathname;
let bed: NetworkBed;
/** The consumer. */
let west: ClusterBed;
/** The provider. */
let east: ClusterBed;
let provider: KubeClient;
let asker: TestNamespace;
let directory: string;
const { signal } = new AbortController();
const log = (line: string) => console.log(`  ${line}`);
const echoPort = 8090;

const echo = `require('dgram').createSocket('udp4').on('message', function (data, from) { this.send(data, from.port, from.address); }).bind(${echoPort});`;
/** Sends a number every 20 ms, and reports when each was sent and whether it came back. */
const prober = `
const [address, seconds] = process.argv.slice(1);
const socket = require('dgram').createSocket('udp4');
const sent = [];
const answered = new Set();
socket.on('message', (data) => answered.add(data.readUInt32BE(0)));
socket.on('error', () => {});
const timer = setInterval(() => {
  const data = Buffer.alloc(64);
  data.writeUInt32BE(sent.push(Date.now()) - 1);
  socket.send(data, ${echoPort}, address, () => {});
}, 20);
setTimeout(() => {
  clearInterval(timer);
  setTimeout(() => {
    console.log(JSON.stringify(sent.map((at, index) => [at, answered.has(index)])));
    process.exit(0);
  }, 500);
}, Number(seconds) * 1000);
`;

const inWest = async (address: string) =>
  toMapped((await west.tunnel('east'))?.spec.remaps ?? [], address) ?? '';

async function passes(address: string): Promise<boolean> {
  const answer = await asker.attempt(`socat -T2 - TCP:${address}:8080,connect-timeout=0.5 </dev/null`);
  return answer.output.startsWith('100.');
}

test.before(
  logHookFailure(async () => {
    directory = await mkdtemp(join(tmpdir(), 'hawser-hostile-'));
    bed = new NetworkBed();
    west = new ClusterBed(bed, 'west', '10.244.0.0/16', '100.64.16.0/20');
    east = new ClusterBed(bed, 'east', '10.244.0.0/16', '100.64.32.0/20');
    await Promise.all([west.up({ n2: 12 }), east.up({ n2: 22 })]);
    const { url, ca, adminToken } = east.plane;
    provider = connectKube({ url, ca, token: () => adminToken });
    for (const cluster of [west, east]) cluster.startNode('n2');
    for (const cluster of [west, east])
      await eventually(`${cluster.id} holds its tunnel endpoint`, 90, async () =>
        (await cluster.fabricNodes()).some(({ status }) => status?.heldTunnelEndpoint === '0'),
      );
    const spec = (remoteCluster: string) => ({ remoteCluster, peering: 'default', desired: 'Active' });
    await west.apply({
      apiVersion,
      kind: 'OutgoingPeering',
      metadata: { name: 'east' },
      spec: { ...spec('east'), nodeName: 'hawser-east' },
    });
    await east.apply({
      apiVersion,
      kind: 'IncomingPeering',
      metadata: { name: 'west', finalizers: ['hawser.dev/tenant'] },
      spec: { ...spec('west'), grant: { cpu: '1', memory: '1Gi', pods: 10, podSecurity: 'baseline' } },
    });
    await Promise.all([west.know(east), east.know(west)]);
    await eventually('both choose remaps', 30, async () =>
      Boolean((await west.tunnel('east')) && (await east.tunnel('west'))),
    );
    await Promise.all([west.know(east), east.know(west)]);
    await east.addNamespace('tenant');
    await east.addNamespace('twin');
    await east.apply({
      apiVersion,
      kind: 'TwinNamespace',
      metadata: { name: 'shop', namespace: 'tenant' },
      spec: { sourceNamespace: 'shop', sourceUID: 'x', namespace: 'twin' },
    });
    await east.status('incomingpeering', 'west', { tenantNamespace: 'tenant' });
    await east.status('twinnamespace', 'shop', { namespace: 'twin' }, 'tenant');
    const a = await west.addPod('a', 'n2', '10.244.2.6');
    const b = await east.addPod('b', 'n2', '10.244.2.5', 'twin');
    if (a === undefined || b === undefined) throw new Error('no pods');
    asker = a;
    bed.start(b, [process.execPath, '-e', echo]);
    await west.addPod('remote-b', 'hawser-east', await inWest('10.244.2.5'));
    await eventually('packets pass', 90, async () => passes(await inWest('10.244.2.5')));
  }),
);
test.after(async () => {
  provider?.close();
  await Promise.allSettled([west?.down(), east?.down()]);
  await bed?.close();
  if (directory !== undefined) await rm(directory, { recursive: true, force: true });
});

/** Probes from the consumer's pod during `act`; milliseconds from its start to the first unanswered packet. */
async function firstRefusedPacket(act: () => Promise<unknown>): Promise<number> {
  const [file = '', ...prefix] = asker.prefix;
  const args = [...prefix, process.execPath, '-e', prober, await inWest('10.244.2.5'), '8'];
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = createInterface(child.stdout);
  const said = new Promise<string>((resolve) => lines.once('line', resolve));
  await new Promise((resolve) => setTimeout(resolve, 3000));
  const begun = Date.now();
  await act();
  const probes = JSON.parse(await said) as [at: number, answered: boolean][];
  const before = probes.filter(([at, answered]) => at < begun && answered);
  assert.ok(before.length > 10, `${before.length} answers before`);
  const last = probes.findLast(([, answered]) => answered)?.[0] ?? 0;
  const first = probes.find(([at]) => at > Math.max(last, begun))?.[0];
  if (first === undefined) throw new Error('the last packet was answered still');
  return first - begun;
}

/** The status that the tenant controller writes after the identity Secret is gone. */
const revokedStatus = (is: boolean) => ({
  revokedTokenName: '',
  conditions: [
    {
      type: 'Revoked',
      status: is ? 'True' : 'False',
      reason: is ? 'IdentityDeleted' : 'NotRevoked',
      message: 'by a test',
      lastTransitionTime: '2026-01-01T00:00:00Z',
    },
  ],
});

test('a revoked consumer’s packets are refused at once, while its tunnel still exists', async () => {
  const ref = { kind: kind.incomingPeering, name: 'west' };
  const status = revokedStatus(true);
  const milliseconds = await firstRefusedPacket(() =>
    provider.patch(ref, { status }, { type: 'merge', subresource: 'status' }, signal),
  );
  log(`Revoked said → first refused packet after ${milliseconds} ms`);
  assert.not.ok(await passes(await inWest('10.244.2.5')));
  await east.status('incomingpeering', 'west', revokedStatus(false));
  await eventually('packets pass again', 60, async () => passes(await inWest('10.244.2.5')));
});

/** Packets dropped at the consumer by its admission. */
async function dropsAtConsumer(): Promise<number> {
  const sessions = (await west.fabricNodes()).flatMap(({ status }) => status?.sessions ?? []);
  return sessions.reduce((sum, { drops }) => sum + (drops?.['notAdmitted'] ?? 0), 0);
}

const data = (secret: Secret | undefined, name: string) =>
  Buffer.from(secret?.data?.[name] ?? '', 'base64').toString();

test('of all packets that a hostile provider sends, only replies of pods that it serves pass', async () => {
  const secret = async (name: string) => provider.get({ kind: kind.secret, namespace, name }, signal);
  const privateKey = data(await secret('hawser-tunnel-endpoint-0'), 'privateKey');
  const presharedKey = Buffer.from(data(await secret('hawser-tunnel-keys'), 'west'), 'base64').toString(
    'base64',
  );
  const consumerKey = (await west.fabricNodes()).find(({ status }) => status?.heldTunnelEndpoint === '0')
    ?.status?.publicKey;
  await writeFile(join(directory, 'private'), privateKey, { mode: 0o600 });
  await writeFile(join(directory, 'preshared'), presharedKey, { mode: 0o600 });

  // This device replaces the provider's own one.
  await east.endNode('n2', 'SIGKILL');
  east.node('n2').space.run('ip link del cni-hawser0 2>/dev/null || true');
  const evil = bed.addNode('evil', 31, '10.99.0.0/16');
  const device = `hwe${randomBytes(3).toString('hex')}`;
  bed.start(evil, [process.execPath, join(root, 'cli', 'main.ts'), 'tunnel', '--foreground', device]);
  await eventually(
    'the hostile device',
    60,
    async () => (await evil.attempt(`wg show ${device}`)).code === 0,
  );
  evil.run(
    `wg set ${device} private-key ${directory}/private peer ${consumerKey} preshared-key ${directory}/preshared endpoint ${west.node('n2').address}:7470 allowed-ips 0.0.0.0/0 persistent-keepalive 1`,
  );
  evil.run(`ip link set ${device} up mtu 1280`);
  await eventually('its session', 60, async () =>
    /latest handshake/.test((await evil.attempt(`wg show ${device}`)).output),
  );

  const offloaded = '10.244.2.5';
  const consumerNode = (await west.fabricNodes())[0]?.spec.externalAddress ?? '';
  const cases: [what: string, source: string, destination: string, arrives: boolean][] = [
    ['an offloaded pod to a pod of the consumer', offloaded, '10.244.2.6', true],
    ['another pod of the provider', '10.244.9.9', '10.244.2.6', false],
    ['a Service of the provider', '10.96.0.1', '10.244.2.6', false],
    ['a host of the world', '203.0.113.9', '10.244.2.6', false],
    ['loopback', '127.0.0.9', '10.244.2.6', false],
    ['an address of the consumer’s nodes', `${bed.network}.13`, '10.244.2.6', false],
    ['a node of the provider', '100.64.32.16', '10.244.2.6', false],
    ['an address of the consumer’s external range', consumerNode, '10.244.2.6', false],
    ['an offloaded pod to a Service of the consumer', offloaded, '10.96.0.10', false],
    ['an offloaded pod to a node of the consumer', offloaded, `${bed.network}.13`, false],
    ['an offloaded pod to the consumer’s metadata service', offloaded, '169.254.169.254', false],
    ['an offloaded pod to the world by way of the consumer', offloaded, '203.0.113.9', false],
    ['an offloaded pod to the consumer’s gateway inside', offloaded, '100.64.16.2', false],
    ['an offloaded pod to the consumer’s API server inside', offloaded, '100.64.16.3', false],
  ];
  const watcher = west.node('n2').space;
  const port = (index: number) => 9000 + index;
  watcher.run(
    'nft -f -',
    [
      'table inet watch {',
      '  chain entering {',
      '    type filter hook prerouting priority -400;',
      ...cases.map((_case, index) => `    iifname "cni-hawser0" udp dport ${port(index)} counter`),
      '  }',
      '}',
    ].join('\n'),
  );
  const counted = (): number[] => {
    const listing = watcher.run('nft list table inet watch');
    return cases.map((_case, index) =>
      Number(new RegExp(`udp dport ${port(index)} counter packets (\\d+)`).exec(listing)?.[1] ?? NaN),
    );
  };
  const before = await dropsAtConsumer();
  evil.run('sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.all.route_localnet=1');
  const send = (source: string, destination: string, index: number) =>
    evil.attempt(
      [
        `ip addr add ${source}/32 dev ${device} 2>/dev/null`,
        `ip route replace ${destination}/32 dev ${device} src ${source} table 99`,
        `ip rule add to ${destination}/32 lookup 99 priority 5 2>/dev/null`,
        `for i in 1 2 3; do echo x | socat - UDP-SENDTO:${destination}:${port(index)},bind=${source}; done`,
        `ip rule del to ${destination}/32 lookup 99 priority 5`,
        `ip addr del ${source}/32 dev ${device}`,
      ].join('\n'),
    );
  await eventually('an honest packet arrives', 60, async () => {
    await send(offloaded, '10.244.2.6', 0);
    return (counted()[0] ?? 0) > 0;
  });
  for (const [index, [, source, destination]] of cases.entries()) await send(source, destination, index);
  const sentEach = 3;
  await eventually('all have been seen and counted', 90, async () => {
    const drops = (await dropsAtConsumer()) - before;
    // Loopback packets never leave the hostile node's own kernel, and some sources cannot be sent.
    return drops >= sentEach * 8 && drops;
  });
  const arrived = counted();
  const width = Math.max(...cases.map(([what]) => what.length));
  for (const [index, [what, source, destination, arrives]] of cases.entries()) {
    log(
      `${what.padEnd(width)}  ${source} → ${destination}: ${(arrived[index] ?? 0) > 0 ? 'arrives' : 'does not arrive'}`,
    );
    assert.is((arrived[index] ?? 0) > 0, arrives, what);
  }
  // Otherwise it would continue to use the keys of the provider's own device.
  evil.run(`ip link del ${device}`);
  log(`FabricNode n2 of the consumer counts ${(await dropsAtConsumer()) - before} packets as notAdmitted`);
});

test('a provider’s declared ranges attract no other traffic, even where they were accepted', async () => {
  const node = west.node('n2').space;
  node.run(
    'ip link add lan0 type veth peer name lan1; ip link set lan0 up; ip link set lan1 up; ip addr add 192.168.50.5/24 dev lan0',
  );
  const spared = ['192.168.50.9', bed.hostAddress];
  const ways = () => spared.map((address) => /dev (\S+)/.exec(node.run(`ip route get ${address}`))?.[1]);
  const before = ways();
  const claimed = ['192.168.50.0/24', `${bed.network}.0/24`, '100.96.0.0/11'];
  const document = await east.document(west, await east.tunnel('west'));
  await west.apply({
    apiVersion,
    kind: 'RemoteCluster',
    metadata: { name: 'east' },
    spec: {
      clusterID: 'east',
      publicKey: east.key.publicKey,
      controlPlane: 'OutOfBand',
      networkDocument: signNetworkDocument(
        { ...document, podCIDRs: [...document.podCIDRs, ...claimed] },
        east.key,
      ),
    },
  });
  const tunnel = await eventually('the declaration is taken', 30, async () => {
    const found = await west.tunnel('east');
    return found?.spec.remotePodCIDRs.includes('192.168.50.0/24') === true && found;
  });
  const mapped = new Map(tunnel.spec.remaps.map((remap) => [remap.real, remap.mapped]));
  for (const range of claimed.slice(0, 2)) assert.match(mapped.get(range) ?? '', /^100\./, range);
  const waits = (range: string, reason: string) =>
    eventually(`${range}: ${reason}`, 60, async () =>
      (await west.tunnel('east'))?.status?.waitingRanges?.some(
        (waiting) => waiting.real === range && waiting.reason === reason,
      ),
    );
  await waits('100.96.0.0/11', 'NeedsApproval');
  assert.equal(ways(), before);

  // An administrator approves the provider's ranges: the consumer's own addresses in them stay local.
  await west.apply({
    apiVersion,
    kind: 'LocalCluster',
    metadata: { name: 'self' },
    spec: { acceptedRemoteCIDRs: [{ remoteCluster: 'east', cidrs: claimed }] },
  });
  const approval = (text: string) =>
    west.plane.kubectl(['annotate', '--overwrite', 'tunnels.hawser.dev', 'east', text]);
  await approval(`hawser.dev/approved-remaps=${[...mapped.values()].join(',')}`);
  for (const range of claimed) await waits(range, 'NotFree');
  assert.equal(ways(), before);

  await approval('hawser.dev/approved-remaps-');
  await west.apply({ apiVersion, kind: 'LocalCluster', metadata: { name: 'self' }, spec: {} });
  await west.know(east);
});

test('a consumer whose peering is being removed loses access before anything else is removed', async () => {
  east.startNode('n2');
  await eventually('packets pass', 90, async () => passes(await inWest('10.244.2.5')));
  const milliseconds = await firstRefusedPacket(() =>
    provider.delete({ kind: kind.incomingPeering, name: 'west' }, {}, signal),
  );
  log(`IncomingPeering deleted → first refused packet after ${milliseconds} ms`);
  const leaving = await provider.get({ kind: kind.incomingPeering, name: 'west' }, signal);
  assert.ok(leaving?.metadata.deletionTimestamp, 'it is on its way out, and still there');
  assert.not.ok(await passes(await inWest('10.244.2.5')));
});

test.run();
