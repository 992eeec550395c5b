/** `hawser doctor` on real clusters: what is planted is named, and what is mended is no longer. */
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hawser, namespace } from '../support/installation.ts';
import { installedPair, outgoingPeeringOf, tunnelOf, type Pair } from '../support/peered.ts';
import { told } from '../support/told.ts';
import { apply, eventually, netexec, readyPods } from '../support/workload.ts';
import type { BedCluster } from '../testbed/index.ts';
import { runAnyway, sleep } from '../testbed/run.ts';

const test = suite('doctor');
const story = 'clinic';
const log = (line: string) => console.log(`  ${line}`);
const cli = join(import.meta.dirname, '..', '..', 'cli', 'main.ts');

interface Finding {
  check: string;
  subject?: string;
  verdict: 'Good' | 'Warning' | 'Bad' | 'Unknown';
  seen: string;
  why?: string;
  hint?: string;
}

interface Remapping {
  real: string;
  mapped: string;
}

let pair: Pair;
let peering = '';
let planned: Remapping[] = [];

/** What is not good, as the command says it. */
async function complaints(cluster: BedCluster, args: readonly string[] = []): Promise<Finding[]> {
  const { exitCode, stdout, stderr } = await runAnyway(
    [process.execPath, cli, 'doctor', ...args, '-o', 'json', '--kubeconfig', cluster.kubeconfig],
    { timeoutMilliseconds: 90_000 },
  );
  if (exitCode !== 0 && exitCode !== 1) throw new Error(`hawser doctor ended with ${exitCode}: ${stderr}`);
  const { findings } = JSON.parse(stdout) as { findings: Finding[] };
  const bad = findings.filter(({ verdict }) => verdict === 'Bad');
  assert.is(exitCode, bad.length > 0 ? 1 : 0);
  return (
    findings
      .filter(({ verdict }) => verdict === 'Bad' || verdict === 'Warning')
      // The bed's CNI enforces none, and that is so from the beginning to the end.
      .filter(({ check }) => check !== 'network-policies')
  );
}

const text = (findings: readonly Finding[]) =>
  findings.map(({ check, seen }) => `${check}: ${seen}`).join('\n    ');

/** Until all of these are named; each with why and what to do. */
async function named(
  cluster: BedCluster,
  wanted: Readonly<Record<string, RegExp>>,
  args: readonly string[] = [],
  seconds = 90,
): Promise<void> {
  const begun = performance.now();
  const open = new Map(Object.entries(wanted));
  for (;;) {
    const found = await complaints(cluster, args);
    for (const [check, pattern] of open) {
      const match = found.find((finding) => finding.check === check && pattern.test(finding.seen));
      if (match === undefined) continue;
      open.delete(check);
      assert.ok((match.why ?? '') !== '' && (match.hint ?? '') !== '', `${check}: why, and what to do`);
      log(`named after ${((performance.now() - begun) / 1000).toFixed(0)} s: ${check}: ${match.seen}`);
    }
    if (open.size === 0) return;
    if (performance.now() - begun > seconds * 1000)
      throw new Error(`not named in ${seconds} s: ${[...open.keys()].join(', ')}; but\n    ${text(found)}`);
    await sleep(500);
  }
}

/** Until nothing is wrong any more. */
async function well(cluster: BedCluster, seconds = 150): Promise<void> {
  const begun = performance.now();
  for (;;) {
    const found = await complaints(cluster);
    if (found.length === 0) return;
    if (performance.now() - begun > seconds * 1000)
      throw new Error(`${cluster.name} is not well after ${seconds} s:\n    ${text(found)}`);
    await sleep(500);
  }
}

const patch = (cluster: BedCluster, args: string, change: object) =>
  cluster.kubectl([...`patch ${args} --type=merge -p`.split(' '), JSON.stringify(change)]);
const read = async <T>(cluster: BedCluster, args: string): Promise<T> =>
  JSON.parse(await cluster.kubectl(`get ${args} -o json`.split(' '))) as T;

const newToken = async (): Promise<string> => (await hawser(pair.provider, ['token', 'create'])).trim();

/** Peers without waiting for what cannot come. */
const peerAnyway = (token: string, ...args: string[]) =>
  runAnyway(
    [process.execPath, cli, 'peer', '-', '--timeout', '3', ...args, '--kubeconfig', pair.consumer.kubeconfig],
    { input: token },
  );

test.before(
  told(async () => {
    pair = await installedPair('doctor', log);
  }),
);

test.after(async () => {
  if (process.env['HAWSER_KEEP'] === undefined) await pair?.bed.down();
});

test('a plan tells what will be, spends nothing and writes nothing', async () => {
  const { consumer, provider } = pair;
  const everything = () =>
    consumer.kubectl('get secrets,outgoingpeerings,remoteclusters,tunnels -A -o name'.split(' '));
  const before = await everything();
  const output = await hawser(consumer, ['peer', '-', '--plan', '-o', 'json'], { input: await newToken() });
  const plan = JSON.parse(output) as { remappings: Remapping[]; problems: string[]; grant: { pods: number } };
  assert.is(await everything(), before);
  assert.equal(plan.problems, []);
  assert.is(plan.grant.pods, 110);
  planned = plan.remappings;
  const pods = planned.find(({ real }) => real === provider.podCIDR);
  assert.ok(pods && pods.mapped !== pods.real, 'both clusters have the same pods’ range');
  const { items } = await read<{ items: { status?: { redeemedBy?: unknown } }[] }>(
    provider,
    `peeringtokens.hawser.dev -n ${namespace}`,
  );
  assert.is(items.length, 1);
  assert.is(items[0]?.status?.redeemedBy, undefined);
  await provider.kubectl(['delete', 'peeringtokens.hawser.dev', '-n', namespace, '--all']);
});

test('before anything passed: blocked UDP and an expired token', async () => {
  const { consumer, provider, bed } = pair;
  const stale = await newToken();
  const { items } = await read<{ items: { metadata: { name: string } }[] }>(
    provider,
    `peeringtokens.hawser.dev -n ${namespace}`,
  );
  await patch(provider, `peeringtoken ${items[0]?.metadata.name} -n ${namespace}`, {
    spec: { expiresAt: new Date(Date.now() - 60_000).toISOString() },
  });
  {
    await using _ = await bed.faults.drop({ protocol: 'udp', port: 7470 });
    await peerAnyway(stale, '--name', 'stale');
    await peerAnyway(await newToken());
    await Promise.all([
      named(consumer, { 'udp-blocked': /no handshake with/, token: /does not redeem the peering token/ }),
      named(provider, { 'token-expired': /expired .* and was never redeemed/ }),
    ]);
  }
  const outgoing = await read<{ items: { metadata: { name: string } }[] }>(
    consumer,
    'outgoingpeerings.hawser.dev',
  );
  const lost = outgoing.items.find(({ metadata }) => metadata.name.endsWith('.stale'));
  await hawser(consumer, ['unpeer', lost?.metadata.name ?? 'the one with the stale token']);
  await provider.kubectl(['delete', 'peeringtokens.hawser.dev', '-n', namespace, '--all']);
  peering = await outgoingPeeringOf(consumer);
});

test('then all is well, by what both sides say, and as it was planned', async () => {
  const { remaps } = (await tunnelOf(pair.consumer)).spec;
  assert.equal(
    remaps.map(({ real, mapped }) => ({ real, mapped })),
    planned.map(({ real, mapped }) => ({ real, mapped })),
  );
  await Promise.all([well(pair.consumer), well(pair.provider)]);
  const { stdout } = await runAnyway([
    process.execPath,
    cli,
    'doctor',
    peering,
    '--kubeconfig',
    pair.consumer.kubeconfig,
  ]);
  assert.match(stdout, /provider: the gateway of \S+ answered/);
});

test('a packet to an offloaded pod is traced hop by hop, measured by the nodes', async () => {
  const { consumer } = pair;
  await consumer.kubectl(['create', 'namespace', story]);
  await hawser(consumer, ['offload', 'namespace', story]);
  await apply(
    consumer,
    story,
    netexec('remote', { nodeSelector: { 'hawser.dev/virtual-node': 'true' } }),
    netexec('local', { nodeSelector: { 'kubernetes.io/hostname': consumer.nodes[1]?.name ?? '' } }),
  );
  const [[remote], [local]] = await Promise.all([
    readyPods(consumer, story, 'remote', 1),
    readyPods(consumer, story, 'local', 1),
  ]);
  const output = await eventually('a trace that arrives', 60, async () => {
    const { stdout, stderr } = await runAnyway([
      process.execPath,
      cli,
      'trace',
      `${story}/${local?.name}`,
      `${story}/${remote?.name}`,
      '--kubeconfig',
      consumer.kubeconfig,
    ]);
    if (!stdout.includes('It arrives')) throw new Error(stdout + stderr);
    return stdout;
  });
  log(output.replaceAll('\n', '\n  '));
  const [remap] = (await tunnelOf(consumer)).spec.remaps;
  const [there, here] = [pair.provider.podCIDR, remap?.mapped ?? ''].map((cidr) => cidr.split('.')[1]);
  assert.match(output, new RegExp(`${local?.ip} → 10\\.${here}\\.\\S+  in terms of this cluster`));
  assert.match(output, new RegExp(`${local?.ip} → 10\\.${there}\\.\\S+  in terms of the wire`));
  assert.match(output, /answered [1-4] of 4 probes/);
  assert.match(output, /[1-9]\d* packets sent and [1-9]\d* received to and from/);
});

test('many things at once, each named by the consumer alone', async () => {
  const { consumer, provider } = pair;
  const [gatewayNode, otherNode] = consumer.nodes;
  if (gatewayNode === undefined || otherNode === undefined) throw new Error('two nodes are needed');
  const [remap] = (await tunnelOf(consumer)).spec.remaps;
  const [incoming] = (
    await read<{ items: { metadata: { name: string } }[] }>(provider, 'incomingpeerings.hawser.dev')
  ).items;
  const binding = await read<{ metadata: Record<string, unknown> }>(
    consumer,
    'clusterrolebinding hawser-gateway',
  );
  const filter = await gatewayNode.exec(['cat', '/proc/sys/net/ipv4/conf/cni-hawser0/rp_filter']);
  const all = await gatewayNode.exec(['cat', '/proc/sys/net/ipv4/conf/all/rp_filter']);
  const setFilter = (device: string, value: string) =>
    gatewayNode.exec(['sh', '-c', `echo ${value.trim()} > /proc/sys/net/ipv4/conf/${device}/rp_filter`]);
  const nft = (on: typeof otherNode, rules: string) => on.exec(['nft', '-f', '-'], { input: rules });

  await Promise.all([
    setFilter('all', '0').then(() => setFilter('cni-hawser0', '1')),
    nft(
      otherNode,
      `table ip planted { chain early { type nat hook postrouting priority 50; policy accept; oifname "cni-hawser0" masquerade; }; }
       table inet cniplanted { chain pass { type filter hook forward priority 0; policy accept; ip daddr ${remap?.mapped} drop; }; }\n`,
    ),
    ...consumer.nodes.map((node) =>
      nft(
        node,
        `table inet kubeletplanted { chain pass { type filter hook forward priority -10; policy accept; tcp dport 10250 reject with tcp reset; }
          chain out { type filter hook output priority -10; policy accept; tcp dport 10250 ip daddr ${consumer.podCIDR} reject with tcp reset; }
          chain in { type filter hook input priority -10; policy accept; tcp dport 10250 ip daddr ${consumer.podCIDR} reject with tcp reset; }; }\n`,
      ),
    ),
    patch(consumer, 'localcluster self', { spec: { reservedCIDRs: [consumer.podCIDR] } }),
    consumer.kubectl(['delete', 'clusterrolebinding', 'hawser-gateway']),
    provider.kubectl(['scale', 'deployment', 'coredns', '-n', 'kube-system', '--replicas=0']),
    patch(provider, `incomingpeering ${incoming?.metadata.name}`, { spec: { grant: { pods: 1 } } }),
  ]);
  await Promise.all([
    named(consumer, {
      'reverse-path-filter': new RegExp(`^${gatewayNode.name}: .*cni-hawser0\\.rp_filter = 1`),
      'foreign-masquerade': new RegExp(`^${otherNode.name}: .*chain ip planted early`),
      'foreign-drop': new RegExp(`^${otherNode.name}: .*chain inet cniplanted pass`),
      'reserved-ranges': /from which this cluster’s pods/,
      rights: /hawser-gateway may not/,
      quota: /1 of 1 pods/,
      'twin-dns': /no endpoint of the provider’s Service kube-dns/,
      'kubelet-api': /does not reach the kubelet API/,
    }),
    named(provider, { quota: /has used up its grant: 1 of 1 pods/, 'twin-dns': /kube-dns/ }),
  ]);

  const {
    uid: _uid,
    resourceVersion: _version,
    creationTimestamp: _time,
    managedFields: _fields,
    ...metadata
  } = binding.metadata;
  await Promise.all([
    setFilter('cni-hawser0', filter).then(() => setFilter('all', all)),
    nft(otherNode, 'delete table ip planted\ndelete table inet cniplanted\n'),
    ...consumer.nodes.map((node) => nft(node, 'delete table inet kubeletplanted\n')),
    patch(consumer, 'localcluster self', { spec: { reservedCIDRs: null } }),
    consumer.kubectl(['create', '-f', '-'], { input: JSON.stringify({ ...binding, metadata }) }),
    provider.kubectl(['scale', 'deployment', 'coredns', '-n', 'kube-system', '--replicas=1']),
    patch(provider, `incomingpeering ${incoming?.metadata.name}`, { spec: { grant: { pods: 110 } } }),
  ]);
  await Promise.all([well(consumer), well(provider)]);
});

test('a path that swallows large packets', async () => {
  await using _ = await pair.bed.faults.mtu(1400, { silent: true });
  // Requests to the provider are swallowed as well: by what is known here.
  await named(
    pair.consumer,
    { 'mtu-black-hole': /takes packets of 1[23]\d\d bytes, and 1420 were planned/ },
    ['--stored'],
  );
});

test('a wrong pin, an expired identity, and no gateway node', async () => {
  const { consumer } = pair;
  const [gatewayNode] = consumer.nodes;
  const remote = (await read<{ spec: { remoteCluster: string } }>(consumer, `outgoingpeering ${peering}`))
    .spec.remoteCluster;
  const { spec } = await read<{ spec: { gatewayPin: string; gatewayPinSince?: string } }>(
    consumer,
    `remotecluster ${remote}`,
  );
  // Newer than any word of the provider's, or the right one would be found again without a person.
  await patch(consumer, `remotecluster ${remote}`, {
    spec: { gatewayPin: '0'.repeat(64), gatewayPinSince: '2999-01-01T00:00:00Z' },
  });
  const secret = await read<{ data: Record<string, string> }>(
    consumer,
    `secret hawser-identity-${peering} -n ${namespace}`,
  );
  const identity = JSON.parse(Buffer.from(secret.data['identity.json'] ?? '', 'base64').toString()) as object;
  const past = '2020-01-01T00:00:00Z';
  await patch(consumer, `secret hawser-identity-${peering} -n ${namespace}`, {
    stringData: { 'identity.json': JSON.stringify({ ...identity, expiresAt: past, renewAfter: past }) },
  });
  await consumer.kubectl(['label', 'node', gatewayNode?.name ?? '', 'hawser.dev/gateway-']);
  await named(consumer, {
    'certificate-pin': /certificate/,
    'identity-expired': /expired .* ago/,
    'gateway-node': /no node is labelled/,
  });
  await consumer.kubectl(['label', 'node', gatewayNode?.name ?? '', 'hawser.dev/gateway=true']);
  await patch(consumer, `remotecluster ${remote}`, {
    spec: { gatewayPin: spec.gatewayPin, gatewayPinSince: spec.gatewayPinSince ?? null },
  });
  await well(consumer);
});

test.run();
