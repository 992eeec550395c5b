/** `hawser doctor` on real clusters: planted faults are reported, and repaired ones no longer. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cli, Diagnosis, well } from '../support/diagnosis.ts';
import { hawser, namespace } from '../support/installation.ts';
import { installedPair, outgoingPeeringOf, tunnelOf, type Pair } from '../support/peered.ts';
import { plantClock, plantVersion } from '../support/planted-processes.ts';
import { logHookFailure } from '../support/log-hook-failure.ts';
import { apply, eventually, netexec, readyPods } from '../support/workload.ts';
import { down, type BedCluster } from '../testbed/index.ts';
import { runAnyway } from '../testbed/run.ts';

const test = suite('doctor');
const story = 'clinic';
const log = (line: string) => console.log(`  ${line}`);
const diagnosis = new Diagnosis();

/** The planted fault of each check. */
const faults: Readonly<Record<string, string>> = {
  'certificate-pin': 'wrong pin',
  'token-expired': 'expired token',
  'clock-skew': 'clock skew',
  'udp-blocked': 'blocked UDP',
  'mtu-black-hole': 'MTU black hole',
  'reserved-ranges': 'overlapping reserved range',
  rights: 'missing RBAC',
  quota: 'quota exhausted',
  'gateway-node': 'gateway node gone',
  'reverse-path-filter': 'rp_filter strict',
  'foreign-masquerade': 'foreign nft rule that masquerades',
  'foreign-drop': 'CNI that drops',
  'twin-dns': 'DNS broken in the twin',
  'identity-expired': 'expired identity',
  compatibility: 'version too old',
  'kubelet-api': 'kubelet API unreachable',
};

interface Remapping {
  real: string;
  mapped: string;
}

let pair: Pair;
let peering = '';
let planned: Remapping[] = [];

const patch = (cluster: BedCluster, args: string, change: object) =>
  cluster.kubectl([...`patch ${args} --type=merge -p`.split(' '), JSON.stringify(change)]);
const read = async <T>(cluster: BedCluster, args: string): Promise<T> =>
  JSON.parse(await cluster.kubectl(`get ${args} -o json`.split(' '))) as T;

const newToken = async (): Promise<string> => (await hawser(pair.provider, ['token', 'create'])).trim();

/** Peers without waiting for success, which is impossible here. */
const peerAnyway = (token: string, ...args: string[]) =>
  runAnyway(
    [process.execPath, cli, 'peer', '-', '--timeout', '3', ...args, '--kubeconfig', pair.consumer.kubeconfig],
    { input: token },
  );

test.before(
  logHookFailure(async () => {
    pair = await installedPair('doctor', log);
  }),
);

test.after(async () => {
  // By name, so that a testbed that came up only partly is deleted too.
  if (process.env['HAWSER_KEEP'] === undefined) await down('doctor');
});

test('a plan predicts the peering, spends no token and writes nothing', async () => {
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

test('before any packet passed doctor reports blocked UDP and an expired token', async () => {
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
      diagnosis.named(consumer, {
        'udp-blocked': /no handshake with/,
        token: /refuses the peering token/,
      }),
      diagnosis.named(provider, { 'token-expired': /expired .* and was never redeemed/ }),
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

test('then both sides report no problem, and the peering is as planned', async () => {
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
  assert.match(stdout, /provider: the API gateway of \S+ answered/);
});

/** Depends on the locale of this machine. */
const arrow = '(?:→|->)';
/** The output of `hawser trace` once packets arrive. */
const traced = (from: string, to: string): Promise<string> =>
  eventually(`a trace from ${from} to ${to} that arrives`, 120, async () => {
    const pods = [from, to].map((name) => `${story}/${name}`);
    const { stdout, stderr } = await runAnyway([
      process.execPath,
      cli,
      'trace',
      ...pods,
      '--kubeconfig',
      pair.consumer.kubeconfig,
    ]);
    if (!stdout.includes('The packet arrives')) throw new Error(stdout + stderr);
    return stdout;
  });

test('traces from any node to an offloaded pod and back are measured hop by hop', async () => {
  const { consumer } = pair;
  await consumer.kubectl(['create', 'namespace', story]);
  await hawser(consumer, ['offload', 'namespace', story]);
  const on = (index: number) => ({
    nodeSelector: { 'kubernetes.io/hostname': consumer.nodes[index]?.name ?? '' },
  });
  await apply(
    consumer,
    story,
    netexec('remote', { nodeSelector: { 'hawser.dev/virtual-node': 'true' } }),
    netexec('gateway', on(0)),
    netexec('local', on(1)),
  );
  const [remote, atGateway, local] = await Promise.all(
    ['remote', 'gateway', 'local'].map(
      async (app) => (await readyPods(consumer, story, app, 1, 120))[0] ?? { name: '', ip: '' },
    ),
  );
  if (!remote || !atGateway || !local) throw new Error('three pods are needed');
  const output = await traced(local.name, remote.name);
  log(output.replaceAll('\n', '\n  '));
  const [remap] = (await tunnelOf(consumer)).spec.remaps;
  const [there, here] = [pair.provider.podCIDR, remap?.mapped ?? ''].map((cidr) =>
    cidr.split('.').slice(0, 2).join('\\.'),
  );
  assert.match(
    output,
    new RegExp(`${local.ip} ${arrow} ${here}\\.\\S+  in the address space of this cluster`),
  );
  assert.match(
    output,
    new RegExp(`${local.ip} ${arrow} ${there}\\.\\S+  in the address space of the tunnel`),
  );
  assert.match(output, /answered [1-4] of 4 probes/);
  assert.match(output, /[1-9]\d* packets sent and [1-9]\d* received to and from/);

  const back = await traced(remote.name, local.name);
  log(back.replaceAll('\n', '\n  '));
  assert.match(back, new RegExp(`pod ${story}/${remote.name} at milan`));
  assert.match(back, new RegExp(`${here}\\.\\S+ ${arrow} ${local.ip}  in the address space of this cluster`));
  assert.match(back, /answered [1-4] of 4 probes/);
  const first = back.split('\n')[0] ?? '';
  assert.match(first, /^(✓|OK +)\s?pod/, 'the pod that sends is the one that answered');

  const direct = await traced(atGateway.name, remote.name);
  assert.not.match(direct, /gateway node/, 'it leaves from the node that holds the tunnel');
  assert.match(direct, /[1-9]\d* packets sent and [1-9]\d* received to and from milan/);
  await consumer.kubectl(['delete', 'deployment', 'gateway', '-n', story]);
});

test('many simultaneous problems are each reported at the consumer', async () => {
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
    diagnosis.named(consumer, {
      'reverse-path-filter': new RegExp(`^${gatewayNode.name}: .*cni-hawser0\\.rp_filter = 1`),
      'foreign-masquerade': new RegExp(`^${otherNode.name}: .*chain ip planted early`),
      'foreign-drop': new RegExp(`^${otherNode.name}: .*chain inet cniplanted pass`),
      'reserved-ranges': /the pod CIDR of this cluster/,
      rights: /hawser-gateway may not/,
      quota: /1 of 1 pods/,
      'twin-dns': /no endpoint of the provider’s Service kube-dns/,
      'kubelet-api': /does not reach the kubelet API/,
    }),
    diagnosis.named(provider, { quota: /has used up its grant: 1 of 1 pods/, 'twin-dns': /kube-dns/ }),
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

test('a path that drops large packets is reported', async () => {
  await using _ = await pair.bed.faults.mtu(1400, { silent: true });
  // Requests to the provider are dropped too, so this uses only local knowledge.
  await diagnosis.named(
    pair.consumer,
    { 'mtu-black-hole': /passes packets of 1[23]\d\d bytes, but 1420 were planned/ },
    ['--stored'],
  );
});

test('a wrong pin, an expired identity and a missing gateway node are reported', async () => {
  const { consumer } = pair;
  const [gatewayNode] = consumer.nodes;
  const remote = (await read<{ spec: { remoteCluster: string } }>(consumer, `outgoingpeering ${peering}`))
    .spec.remoteCluster;
  const { spec } = await read<{ spec: { gatewayPin: string; gatewayPinSince?: string } }>(
    consumer,
    `remotecluster ${remote}`,
  );
  // Later than the provider's own announcement: otherwise the correct key would be restored automatically.
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
  await diagnosis.named(consumer, {
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

test('a provider with a late clock and an incompatible version is reported', async () => {
  const { consumer, provider } = pair;
  const undo = await Promise.all([
    plantClock(provider, 'hawser-gateway', -600),
    plantVersion(provider, 'hawser-controller', '0.4.0'),
  ]);
  await Promise.all([
    diagnosis.named(consumer, { 'clock-skew': /milan/ }),
    diagnosis.named(provider, {
      compatibility: /^rome-\S+ runs Hawser 0\.1\.0, which is too old for 0\.4\.0 here/,
    }),
  ]);
  for (const each of undo) await each();
  await Promise.all([well(consumer), well(provider)]);
});

test('every check was triggered', () => {
  log(`what was planted, and how it was named:\n${diagnosis.table(faults)}`);
  assert.equal(
    Object.keys(faults).filter((check) => !diagnosis.checks.has(check)),
    [],
  );
});

test.run();
