/**
 * In-band peering: of the provider only the tunnel's UDP port can be reached, by a DNS name; the consumer is behind a NAT, and
 * the command has only the rights of the chart's two ClusterRoles. Later in the opposite direction, and beside an out-of-band
 * peering.
 */
import * as assert from 'uvu/assert';
import { only, patchLocal } from '../support/api-objects.ts';
import { interruptAfter, killAt } from '../support/cut-command.ts';
import type { Cut } from '../support/cutting-relay.ts';
import { InBandStory, debouncer } from '../support/in-band-story.ts';
import { hawser, namespace } from '../support/installation.ts';
import { node, outgoingPeeringOf, peer, tunnelOf, tunnelsOf, type Pair } from '../support/peered.ts';
import { answersPod, answerToConnect, reachedByController } from '../support/reach.ts';
import { scenario } from '../support/scenario.ts';
import { logHookFailure } from '../support/log-hook-failure.ts';
import { unbroken } from '../support/traffic.ts';
import { moveTunnelService, nameAddress, tunnelEndpointOf } from '../support/tunnel-service.ts';
import { apply, eventually, netexec, readyPods, type PodFacts } from '../support/workload.ts';
import type { BedCluster } from '../testbed/index.ts';
import type { Fault } from '../testbed/faults.ts';
import { inNamespace } from '../testbed/places.ts';
import { run, runAnyway } from '../testbed/run.ts';

const test = scenario('in-band');
const log = (line: string) => console.log(`  ${line}`);

let pair: Pair;
let story: InBandStory;
let providerID = '';
/** The DNS name by which the consumer reaches the provider's tunnel. */
let tunnelName = '';
let nat: Fault;
let planned: { real: string; mapped: string }[];

test.before(
  logHookFailure(async () => {
    story = await InBandStory.begin(log, (made) => (pair = made));
    const { bed, consumer, provider } = pair;
    providerID = (await only(provider, 'localclusters')).status?.clusterID ?? '';
    const [address = ''] = (await tunnelEndpointOf(provider)).split(':');
    tunnelName = await nameAddress(consumer, 'tunnel-of-milan', address);
    await bed.faults.firewall(provider.name, { inbound: ['udp/7470'], outbound: [] });
    await bed.faults.firewall(consumer.name, { inbound: [], outbound: ['udp/7470'] });
    nat = await bed.faults.nat(consumer.name, { randomPorts: true });
  }),
);

test.after(async () => {
  await story?.end();
  if (process.env['HAWSER_KEEP'] === undefined) await pair?.bed.down();
});

test.step('the plan needs no more rights than the start, and changes nothing', async () => {
  const words = story.start('--endpoint', `${tunnelName}:7470`, '--plan', '-o', 'json');
  const { exitCode, stdout, stderr } = await runAnyway(story.command(words));
  assert.is(exitCode, 0, stderr);
  assert.not.match(stderr, 'not readable');
  const plan = JSON.parse(stdout) as {
    provider: { id: string };
    remappings: typeof planned;
    grant: { cpu: string };
    endpoints: { dialled: string[] };
    problems: string[];
  };
  assert.equal([plan.provider.id, plan.grant.cpu, plan.problems], [providerID, '8', []]);
  assert.ok(plan.endpoints.dialled.includes(`tunnel ${tunnelName}:7470/udp`));
  planned = plan.remappings.map(({ real, mapped }) => ({ real, mapped }));
  assert.is.not(planned.find(({ real }) => real === pair.provider.podCIDR)?.mapped, pair.provider.podCIDR);
  const kinds = 'remoteclusters,tunnels,outgoingpeerings,incomingpeerings,peeringtokens';
  for (const cluster of [pair.consumer, pair.provider])
    assert.is(await cluster.kubectl(['get', kinds, '-A', '-o', 'name']), '', cluster.name);
});

test.step('the command can be interrupted at every step, and run again', async () => {
  const words = story.start('--endpoint', `${tunnelName}:7470`);
  const killed = async (step: Omit<Cut, 'when'>) => {
    for (const when of ['before', 'after'] as const) {
      const { signal } = await killAt(
        story.relay,
        { ...step, when },
        story.command(words, 'relay'),
        debouncer * 2,
      );
      assert.is(signal, 'SIGKILL', `${when} ${step.path.source}`);
    }
  };
  await killed({ method: 'POST', path: /\/remoteclusters$/ });
  await killed({ method: 'PATCH', path: /\/remoteclusters\//, body: /"networkDocument"/ });
  const { code } = await interruptAfter(/path verified/, story.command(words), debouncer * 2);
  assert.is(code, 130);
  await killed({ method: 'POST', path: /\/peeringtokens$/ });
  await killed({ method: 'PATCH', path: /\/secrets\// });
  // The finalizer must be there from creation: if the object were deleted before the controller sees it, its token would leak.
  await killed({ method: 'POST', path: /\/outgoingpeerings$/, body: /"finalizers":\["hawser\.dev/ });
});

test.step('one command with limited rights peers through UDP only, and the provider becomes a node', async () => {
  const begun = performance.now();
  const output = await story.peer('--endpoint', `${tunnelName}:7470`);
  log(`hawser peer --in-band, run again: ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  assert.match(output, /Ready/);
  // Another run has nothing to do.
  assert.match(await story.peer('--endpoint', `${tunnelName}:7470`), /Ready/);
  const peering = await only(pair.consumer, 'outgoingpeerings');
  assert.match(
    peering.status?.identity?.apiServerURL ?? '',
    /^https:\/\/100\..*\.3:6443$/,
    'the API server is inside the tunnel',
  );
  assert.equal(
    (await tunnelOf(pair.consumer)).spec.remaps.map(({ real, mapped }) => ({ real, mapped })),
    planned,
    'as the plan said',
  );
  const left = await pair.consumer.kubectl(['get', 'secret', '-n', namespace, '-o', 'name']);
  assert.not.match(left, /in-band-token/, 'the token is spent and gone');
  // Tokens that a killed command could not redeem have no rights, and expire after a quarter of an hour.
  await pair.provider.kubectl(['delete', 'peeringtokens', '-n', namespace, '--all']);
});

test.step('pods run there, answer, and have logs and exec, all inside the tunnel', async () => {
  await story.offload();
  const [pod] = story.remote;
  const on = ['-n', story.namespace, pod?.name ?? ''];
  assert.match(await pair.consumer.kubectl(['logs', ...on]), /HTTP|netexec|Started/i);
  const name = await pair.consumer.kubectl(['exec', ...on, '--', '/bin/busybox', 'hostname']);
  assert.is(name.trim(), pod?.name);
});

test.step('the splice reaches gateway and API server, and nothing else', async () => {
  const { spec } = await tunnelOf(pair.consumer);
  const at = await externalAddress();
  const podRange = spec.remaps.find(({ real }) => real === pair.provider.podCIDR)?.mapped ?? '';
  const open = [`${at(2)}:7443`, `${at(3)}:6443`];
  const inPods = (last: string) => podRange.replace(/\.0\.0\/16$/, last);
  const closed = [
    // Other ports of the two, ports of nodes, metrics, etcd.
    ...[6443, 7444, 10250, 22, 7470].map((port) => `${at(2)}:${port}`),
    ...[7443, 10250, 2379, 443].map((port) => `${at(3)}:${port}`),
    // Other fixed addresses, the nodes, and pods that are not this consumer's (including CoreDNS and the API gateway).
    ...[1, 4, 16, 17].flatMap((last) => [`${at(last)}:6443`, `${at(last)}:7443`, `${at(last)}:10250`]),
    ...['.1.2', '.1.3', '.1.4', '.2.2', '.2.3'].map((last) => `${inPods(last)}:7443`),
  ];
  const reached = await reachedByController(pair.consumer, [...open, ...closed]);
  assert.equal(reached.toSorted(), open.toSorted());
  // Other pods of the consumer, and nodes, cannot even reach the splice.
  const home = { namespace: story.namespace, name: story.local?.name ?? '' };
  for (const target of open) {
    const [host = '', port = ''] = target.split(':');
    assert.not(await answersPod(pair.consumer, home, host, port), `a pod at home → ${target}`);
    await refused(
      `a node at home → ${target}`,
      node(pair.consumer, story.local?.node ?? '').exec([
        'curl',
        '-sk',
        '-m',
        '3',
        `https://${target}/livez`,
      ]),
    );
  }
  // Neither can this consumer's pods at the provider, by the provider's own addresses.
  const own = spec.remoteExternalCIDR.replace(/\.0\/[0-9]+$/, '');
  const real = { namespace: story.namespace, name: story.remote[0]?.name ?? '' };
  for (const [last, port] of [
    [2, '7443'],
    [3, '6443'],
  ] as const) {
    const reaches = await answersPod(pair.consumer, real, `${own}.${last}`, port);
    assert.not(reaches, `a tenant's pod → ${own}.${last}:${port}`);
  }
  assert.ok(await answersPod(pair.consumer, real, '127.0.0.1', '8080'), 'the tool tells what is open');
});

test.step('neither the API gateway nor the API server acts as a proxy for CONNECT', async () => {
  const at = await externalAddress();
  for (const target of [`${at(2)}:7443`, `${at(3)}:6443`]) {
    const answer = await answerToConnect(pair.consumer, target);
    assert.not.match(answer, / 2\d\d/, `${target}: ${answer}`);
  }
});

test.step('restarts of the gateway, and of the API server with a new certificate, disturb nothing', async () => {
  const steady = await story.steadyState();
  const gatewayPods = () =>
    pair.provider.kubectl(['get', 'pods', '-n', namespace, '-l', gatewayLabel, '-o', 'jsonpath={..podIP}']);
  const was = await gatewayPods();
  await pair.provider.kubectl(['delete', 'pod', '-n', namespace, '-l', gatewayLabel, '--wait=true'], {
    timeoutMilliseconds: debouncer * 1000,
  });
  await eventually('a gateway at another address', debouncer, async () => {
    const is = await gatewayPods();
    return is !== '' && is !== was;
  });
  await story.scale(2);
  const apiServer = pair.bed.services().find((name) => name === `${pair.provider.name}.kube-apiserver`) ?? '';
  await pair.provider.renewServerCertificate();
  await pair.bed.kill(apiServer);
  await pair.bed.start(apiServer);
  await story.scale(3);
  assert.is(await story.steadyState(), steady);
});

test.step('a new certificate and key of the gateway disturb nothing', async () => {
  const steady = await story.steadyState();
  const pin = await pinOf();
  await pair.provider.kubectl(['delete', 'secret', '-n', namespace, 'hawser-gateway-tls']);
  await eventually(
    'the consumer to trust the new certificate',
    debouncer,
    async () => (await pinOf()) !== pin,
  );
  await eventually('the documents to be exchanged under it', debouncer, async () => {
    const found = await story.condition(pair.consumer, `outgoingpeering/${providerID}`, 'Negotiated');
    return found['status'] === 'True';
  });
  await story.scale(4);
  assert.is(await story.steadyState(), steady);
});

test.step('the consumer’s port, and then its address, change behind its NAT', async () => {
  const seen = async () => (await tunnelsOf(pair.provider))[0]?.status?.endpoint;
  const { wideAreaAddress, secondWideAreaAddress } = pair.consumer.plan;
  // Behind the load balancer the provider's daemon sees only a node's own address.
  const arrivesFrom = async (address: string) => {
    const list = ['conntrack', '-L', '-p', 'udp', '--orig-src', address, '--orig-port-dst', '7470'];
    return (await run(inNamespace(pair.provider.plan.edgeNetns, list))).includes(address);
  };
  assert.ok(await arrivesFrom(wideAreaAddress));
  let was = await eventually('the provider to tell where the consumer is', debouncer, seen);
  for (const change of [
    () => pair.bed.faults.forgetFlows(pair.consumer.name),
    async () => {
      await nat.remove();
      nat = await pair.bed.faults.nat(pair.consumer.name, { randomPorts: true, otherAddress: true });
    },
  ]) {
    await change();
    await eventually('an answer through the new flow', debouncer, () => story.ask());
    const is = await eventually('the provider to see the other endpoint', debouncer, async () => {
      const found = await seen();
      return found !== was && found;
    });
    log(`seen from ${was}, then from ${is}`);
    was = is;
  }
  assert.ok(await arrivesFrom(secondWideAreaAddress));
  await story.scale(5);
});

test.step('when the provider’s tunnel and its DNS name move, the peering recovers automatically', async () => {
  const steady = await story.steadyState();
  const begun = performance.now();
  const address = await moveTunnelService(pair.bed, pair.provider);
  await nameAddress(pair.consumer, 'tunnel-of-milan', address);
  await eventually('the consumer to call at the new address', debouncer, async () =>
    (await tunnelsOf(pair.consumer))[0]?.status?.endpoint?.startsWith(`${address}:`),
  );
  await eventually('an answer by the new address', debouncer, () => story.ask());
  log(`followed the name in ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  await story.scale(6);
  assert.is(await story.steadyState(), steady);
});

test.step('unpeering leaves nothing on either side', () => story.unpeer());

test.step('in the opposite direction: the provider is behind the NAT, with the consumer’s endpoint given', async () => {
  const { faults } = pair.bed;
  await faults.heal();
  await faults.firewall(pair.provider.name, { inbound: [], outbound: ['udp/7470'] });
  await faults.nat(pair.provider.name, { randomPorts: true });
  await faults.firewall(pair.consumer.name, { inbound: ['udp/7470'], outbound: [] });
  const endpoint = await tunnelEndpointOf(pair.consumer);
  assert.match(await story.peer('--consumer-endpoint', endpoint), /Ready/);
});

test.step('repair reports everything outdated on both sides, can be interrupted, and restores the peering', async () => {
  // Everything that the clusters exchange changes on both sides while they are disconnected.
  await using cut = await pair.bed.faults.partition(pair.consumer.name, pair.provider.name);
  const endpoint = `${await moveTunnelService(pair.bed, pair.consumer)}:7470`;
  await pair.provider.kubectl(['delete', 'secret', '-n', namespace, 'hawser-gateway-tls']);
  await patchLocal(pair.provider, { podCIDRs: [pair.provider.podCIDR, '10.78.0.0/16'] });
  for (const cluster of [pair.consumer, pair.provider]) await renewKeys(cluster);
  const pin = await pinOf();
  await eventually('the provider to tell of what is new', debouncer, async () => {
    const { status } = await only(pair.provider, 'localclusters');
    return status?.podCIDRs?.includes('10.78.0.0/16') && status.gatewayPin !== pin;
  });
  await eventually('the tunnel to be seen as broken', debouncer, async () => {
    const found = await story.condition(pair.consumer, `tunnel/${providerID}`, 'PathVerified');
    return found['status'] !== 'True';
  });
  await cut.remove();

  const step = { method: 'PATCH', path: /\/remoteclusters\// };
  const words = ['repair', providerID, '--timeout', String(debouncer), '--consumer-endpoint', endpoint];
  const first = await killAt(
    story.relay,
    { ...step, when: 'before' },
    story.command(words, 'relay'),
    debouncer * 2,
  );
  for (const [side, ...whats] of [
    ['consumer', 'cluster key', 'tunnel key', 'pin of the API gateway’s certificate', 'ranges'],
    ['provider', 'cluster key', 'tunnel key', 'endpoint'],
  ]) {
    for (const what of whats)
      assert.match(first.stderr, new RegExp(`out of date at the ${side}: ${what}: recorded .+, actual .+`));
  }
  await killAt(story.relay, { ...step, when: 'after' }, story.command(words, 'relay'), debouncer * 2);
  const { exitCode, stdout, stderr } = await story.repair(providerID, '--consumer-endpoint', endpoint);
  assert.is(exitCode, 0, stderr);
  assert.match(stdout, /Repaired/);
  for (const [cluster, other] of [
    [pair.consumer, pair.provider],
    [pair.provider, pair.consumer],
  ] as const) {
    const known = await only(cluster, 'remoteclusters');
    assert.is(known.spec.publicKey, (await only(other, 'localclusters')).status?.publicKey, cluster.name);
  }
  const again = await story.repair(providerID);
  assert.match(again.stderr, /Nothing is out of date/);
  await patchLocal(pair.provider, { podCIDRs: [pair.provider.podCIDR] });
});

/** A namespace of the provider, which from now on is also a consumer. */
const studio = 'studio';

test.step('the provider is also a consumer, out-of-band over the same tunnel', async () => {
  await story.offload();
  const { faults } = pair.bed;
  await faults.heal();
  const open = ['udp/7470', 'tcp/7443', 'tcp/6443'];
  await faults.firewall(pair.provider.name, { inbound: [], outbound: open });
  await faults.nat(pair.provider.name, { randomPorts: true });
  await faults.firewall(pair.consumer.name, { inbound: open, outbound: [] });
  // Removing faults also drops flows; packets lost by that do not count.
  await eventually('an answer through the flow that is left', debouncer, () => story.ask());
  const reversed = { consumer: pair.provider, provider: pair.consumer };
  await unbroken(
    [[awayFromGateway(pair.consumer), firstRemote()]],
    'while the other direction began',
    async () => assert.match(await peer(reversed, {}, ['--timeout', '120']), /Ready/),
    log,
  );
  await pair.provider.kubectl(['create', 'namespace', studio]);
  await hawser(pair.provider, ['offload', 'namespace', studio, '--timeout', '120']);
  for (const cluster of [pair.consumer, pair.provider]) {
    const tunnels = await tunnelsOf(cluster);
    assert.equal(
      tunnels.map(({ spec }) => [spec.consumer, spec.provider]),
      [[true, true]],
      `${cluster.name} has one tunnel for both`,
    );
  }
  const known = await only(pair.provider, 'remoteclusters');
  assert.equal([known.spec.controlPlane, known.spec.servesInBand], ['OutOfBand', true]);
  assert.is((await only(pair.consumer, 'remoteclusters')).spec.controlPlane, 'InBand');
});

test.step('the in-band peering ends alone and starts again, and the out-of-band one loses nothing', async () => {
  const studioPod = await runsAtConsumer();
  await story.removeNamespace(pair.consumer, story.namespace);
  await unbroken(
    [[awayFromGateway(pair.provider), studioPod]],
    'while the in-band one ended',
    () => hawser(pair.consumer, ['unpeer', providerID]),
    log,
  );
  await eventually('the provider to answer in-band no more', debouncer, async () => {
    const [tunnel] = await tunnelsOf(pair.provider);
    return tunnel?.spec.consumer && !tunnel.spec.provider && !tunnel.spec.servesInBand;
  });
  await unbroken(
    [[awayFromGateway(pair.provider), studioPod]],
    'while the in-band one began',
    async () =>
      assert.match(await story.peer('--consumer-endpoint', await tunnelEndpointOf(pair.consumer)), /Ready/),
    log,
  );
});

test.step('the out-of-band peering ends alone, and the in-band one loses nothing', async () => {
  await story.offload();
  await story.removeNamespace(pair.provider, studio);
  await unbroken(
    [[awayFromGateway(pair.consumer), firstRemote()]],
    'while the out-of-band one ended',
    async () => hawser(pair.provider, ['unpeer', await outgoingPeeringOf(pair.provider)]),
    log,
  );
  await eventually('a tunnel for the in-band one alone', debouncer, async () => {
    const [tunnel] = await tunnelsOf(pair.consumer);
    return tunnel?.spec.consumer && !tunnel.spec.provider;
  });
  await story.scale(2);
});

test.step('the end of both leaves the clusters as they were', async () => {
  await story.unpeer();
  await pair.consumer.kubectl([
    'delete',
    'service,endpointslice',
    '-n',
    'default',
    'tunnel-of-milan',
    '--ignore-not-found',
  ]);
  await pair.consumer.kubectl([
    'delete',
    '-n',
    namespace,
    'serviceaccount,role,rolebinding',
    'token-administrator',
  ]);
  await story.leavesNothing();
});

const gatewayLabel = 'app.kubernetes.io/component=gateway';
const pinOf = async () => (await only(pair.consumer, 'remoteclusters')).spec.gatewayPin;
const awayFromGateway = (cluster: BedCluster) => node(cluster, cluster.nodes[1]?.name ?? '');

function firstRemote(): PodFacts {
  const [pod] = story.remote;
  if (pod === undefined) throw new Error('no pod runs at the provider');
  return pod;
}

/** A pod of the provider that runs at the consumer. */
async function runsAtConsumer(): Promise<PodFacts> {
  await apply(
    pair.provider,
    studio,
    netexec('easel', { nodeSelector: { 'hawser.dev/virtual-node': 'true' } }),
  );
  const [pod] = await readyPods(pair.provider, studio, 'easel', 1, debouncer);
  if (pod === undefined) throw new Error('no pod runs at the consumer');
  return pod;
}

/** The provider's fixed addresses, as the consumer knows them. */
async function externalAddress(): Promise<(last: number) => string> {
  const { spec } = await tunnelOf(pair.consumer);
  const external = spec.remaps.find(({ real }) => real === spec.remoteExternalCIDR)?.mapped ?? '';
  return (last) => external.replace(/\.0\/[0-9]+$/, `.${last}`);
}

/** Replaces the cluster key and the tunnel key. */
async function renewKeys(cluster: BedCluster): Promise<void> {
  const keys = async () => {
    const { status } = await only(cluster, 'localclusters');
    return {
      generation: status?.clusterKeyGeneration ?? 1,
      cluster: status?.publicKey,
      tunnel: status?.tunnelEndpoints?.[0]?.publicKey,
    };
  };
  const was = await keys();
  // Like `hawser key rotate`, which would wait until the other cluster has the new key.
  await patchLocal(cluster, { clusterKeyGeneration: was.generation + 1 });
  await cluster.kubectl(['delete', 'secret', '-n', namespace, 'hawser-tunnel-endpoint-0']);
  await eventually(`other keys in ${cluster.name}`, debouncer, async () => {
    const is = await keys();
    return is.cluster !== was.cluster && is.tunnel !== undefined && is.tunnel !== was.tunnel;
  });
}

async function refused(what: string, attempt: Promise<unknown>): Promise<void> {
  const answer = await attempt.then(
    () => 'an answer',
    () => 'none',
  );
  assert.is(answer, 'none', what);
}

test.run();
