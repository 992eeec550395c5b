/** The main scenario: two clusters with the same ranges peer, and a pod at one is served by the other. */
import * as assert from 'uvu/assert';
import { rangeContains } from '../support/ranges.ts';
import { hawser, namespace } from '../support/installation.ts';
import { portForward } from '../support/port-forward.ts';
import { scenario } from '../support/scenario.ts';
import { logHookFailure } from '../support/log-hook-failure.ts';
import { installedPair, node, outgoingPeeringOf, peer, tunnelOf, type Pair } from '../support/peered.ts';
import { inventory, inventoryDifference, type Inventory } from '../support/inventory.ts';
import {
  addressOf,
  apply,
  dial,
  eventually,
  netexec,
  pods,
  readyPods,
  service,
  type PodFacts,
} from '../support/workload.ts';

const test = scenario('the main job');
const story = 'shop';
const log = (line: string) => console.log(`  ${line}`);

let pair: Pair;
let before: Inventory[];
let virtualNode: string;
let twin: string;
let local: PodFacts[] = [];
let remote: PodFacts[] = [];

/** The real pods behind the offloaded ones, as the provider sees them. */
const realPods = async () =>
  (await pods(pair.provider, twin, 'app=remote')).sort((a, b) => a.name.localeCompare(b.name));

test.before(
  logHookFailure(async () => {
    pair = await installedPair('main-job', log);
    before = [await inventory(pair.consumer), await inventory(pair.provider)];
  }),
);

test.after(async () => {
  if (process.env['HAWSER_KEEP'] === undefined) await pair?.bed.down();
});

test.step('a token from curl and one command make the provider a node', async () => {
  const begun = performance.now();
  const output = await peer(pair, { grant: { cpu: '2', memory: '2Gi', pods: 20 } });
  log(`hawser peer: ${((performance.now() - begun) / 1000).toFixed(1)} s with the token`);
  assert.match(output, /Ready/);
  const text = await pair.consumer.kubectl([
    'get',
    'nodes',
    '-l',
    'hawser.dev/virtual-node=true',
    '-o',
    'json',
  ]);
  const list = JSON.parse(text) as {
    items: {
      metadata: { name: string };
      spec: { taints?: { key: string; effect: string }[] };
      status: { capacity: Record<string, string>; conditions: { type: string; status: string }[] };
    }[];
  };
  assert.is(list.items.length, 1);
  const [found] = list.items;
  virtualNode = found?.metadata.name ?? '';
  assert.is(found?.status.capacity['cpu'], '2');
  assert.is(found?.status.capacity['pods'], '20');
  assert.is(found?.status.conditions.find(({ type }) => type === 'Ready')?.status, 'True');
  assert.ok(found?.spec.taints?.some(({ effect }) => effect === 'NoSchedule'));
});

test.step('both sides choose their remap of the same range independently, and have verified the path', async () => {
  for (const cluster of [pair.consumer, pair.provider]) {
    const tunnel = await eventually(`the tunnel of ${cluster.name} to be ready`, 20, async () => {
      const found = await tunnelOf(cluster);
      const path = found.status?.conditions?.find(({ type }) => type === 'PathVerified');
      return path?.status === 'True' && found;
    });
    const remap = tunnel.spec.remaps.find(({ real }) => real === cluster.podCIDR);
    assert.ok(remap, 'the pod range is remapped');
    assert.is.not(remap?.mapped, remap?.real);
  }
});

test.step('an offloaded Deployment runs on the provider and is ready at home', async () => {
  await pair.consumer.kubectl(['create', 'namespace', story]);
  const output = await hawser(pair.consumer, ['offload', 'namespace', story]);
  assert.match(output, new RegExp(story));
  await apply(
    pair.consumer,
    story,
    netexec('remote', { replicas: 2, nodeSelector: { 'hawser.dev/virtual-node': 'true' } }),
    service('remote'),
    {
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      metadata: { name: 'local' },
      spec: {
        selector: { matchLabels: { app: 'local' } },
        template: (netexec('local') as { spec: { template: object } }).spec.template,
      },
    },
    service('local'),
    service('port', { type: 'NodePort', app: 'remote' }),
  );
  remote = await readyPods(pair.consumer, story, 'remote', 2);
  local = await readyPods(pair.consumer, story, 'local', 2);
  assert.ok(remote.every((pod) => pod.node === virtualNode));
  assert.equal(local.map((pod) => pod.node).sort(), pair.consumer.nodes.map(({ name }) => name).sort());
  const twins = JSON.parse(
    await pair.provider.kubectl(['get', 'twinnamespaces.hawser.dev', '-A', '-o', 'json']),
  ) as { items: { status?: { namespace?: string } }[] };
  twin = twins.items[0]?.status?.namespace ?? '';
  assert.is((await realPods()).length, 2);
  // Addresses are translated to those of the consumer.
  const remap = (await tunnelOf(pair.consumer)).spec.remaps.find(
    ({ real }) => real === pair.provider.podCIDR,
  );
  for (const pod of remote)
    assert.ok(rangeContains(remap?.mapped ?? '', pod.ip), `${pod.ip} in ${remap?.mapped}`);
});

for (const protocol of ['http', 'udp'] as const) {
  test.step(`every pod reaches every pod by ${protocol}, and is known by its remapped address`, async () => {
    const consumerAsSeen = (await tunnelOf(pair.provider)).spec.remaps.find(
      ({ real }) => real === pair.consumer.podCIDR,
    )?.mapped;
    const real = await realPods();
    for (const from of local) {
      for (const to of remote) {
        const seen = await dial({
          from: { node: node(pair.consumer, from.node), ip: from.ip },
          host: to.ip,
          port: 8080,
          protocol,
        });
        assert.ok(rangeContains(consumerAsSeen ?? '', addressOf(seen)), `${seen} in ${consumerAsSeen}`);
        assert.is(lastOctets(addressOf(seen)), lastOctets(from.ip), 'the host part is kept');
      }
    }
    for (const from of real) {
      const known = remote.find(({ name }) => name === from.name);
      for (const to of local) {
        const seen = await dial({
          from: { node: node(pair.provider, from.node), ip: from.ip },
          host: mapped(consumerAsSeen ?? '', to.ip),
          port: 8080,
          protocol,
        });
        assert.is(addressOf(seen), known?.ip, 'the consumer sees the address that it was told');
      }
    }
  });
}

test.step('ICMP and full-sized packets pass, and nothing fragments', async () => {
  const { mtu } = (await tunnelOf(pair.consumer)).spec;
  for (const from of local) {
    for (const to of remote) {
      const output = await pair.consumer.kubectl([
        'exec',
        '-n',
        story,
        from.name,
        '--',
        '/bin/busybox',
        'ping',
        '-c',
        '3',
        '-i',
        '0.2',
        '-W',
        '2',
        '-s',
        String(mtu - 28),
        to.ip,
      ]);
      assert.match(output, / 0% packet loss/);
    }
  }
});

test.step('nodes reach remote pods', async () => {
  for (const each of pair.consumer.nodes) {
    for (const to of remote) {
      const seen = await each.exec(['curl', '-sS', '-m', '10', `http://${to.ip}:8080/clientip`]);
      assert.ok(seen.trim() !== '');
    }
  }
});

test.step('a Service at home has remote endpoints, by ClusterIP and by NodePort', async () => {
  const clusterIP = await pair.consumer.kubectl([
    'get',
    'service',
    '-n',
    story,
    'remote',
    '-o',
    'jsonpath={.spec.clusterIP}',
  ]);
  const nodePort = await pair.consumer.kubectl([
    'get',
    'service',
    '-n',
    story,
    'port',
    '-o',
    'jsonpath={.spec.ports[0].nodePort}',
  ]);
  for (const from of local) {
    const name = await eventually(`an answer through the Service from ${from.node}`, 15, () =>
      dial({
        from: { node: node(pair.consumer, from.node), ip: from.ip },
        host: clusterIP,
        port: 80,
        protocol: 'http',
        request: 'hostname',
      }),
    );
    assert.ok(
      remote.some((pod) => pod.name === name),
      name,
    );
  }
  for (const each of pair.consumer.nodes) {
    const name = await each.exec(['curl', '-sS', '-m', '10', `http://${each.address}:${nodePort}/hostname`]);
    assert.ok(
      remote.some((pod) => pod.name === name.trim()),
      name,
    );
  }
});

test.step('an offloaded pod reaches a Service of its own namespace by its short name', async () => {
  const [from] = await realPods();
  assert.ok(from);
  const name = await eventually('an answer from the Service at home', 20, () =>
    dial({
      from: { node: node(pair.provider, from?.node ?? ''), ip: from?.ip ?? '' },
      host: 'local',
      port: 80,
      protocol: 'http',
      request: 'hostname',
    }),
  );
  assert.ok(
    local.some((pod) => pod.name === name),
    name,
  );
});

test.step('logs, exec and port-forward work on the offloaded pod', async () => {
  const [pod] = remote;
  const on = ['-n', story, pod?.name ?? ''];
  assert.match(await pair.consumer.kubectl(['logs', ...on]), /HTTP|netexec|Started/i);
  assert.is(
    (await pair.consumer.kubectl(['exec', ...on, '--', '/bin/busybox', 'hostname'])).trim(),
    pod?.name,
  );
  await using forwarded = await portForward(pair.bed.programs.kubectl, pair.consumer, {
    namespace: story,
    name: pod?.name ?? '',
    port: 8080,
  });
  const answer = await eventually('an answer by port-forward', 20, async () => {
    const response = await fetch(`${forwarded.url}/hostname`, { signal: AbortSignal.timeout(5000) });
    return response.text();
  });
  assert.is(answer.trim(), pod?.name);
});

test.step('objects that the pod uses are reflected, and unused ones stay at home', async () => {
  await apply(
    pair.consumer,
    story,
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'used' }, data: { greeting: 'ciao' } },
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'used' }, stringData: { word: 'segreto' } },
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'unused' }, stringData: { word: 'stays' } },
  );
  const deployment = netexec('configured', { nodeSelector: { 'hawser.dev/virtual-node': 'true' } }) as {
    spec: { template: { spec: { containers: { env?: object[] }[] } } };
  };
  const [container] = deployment.spec.template.spec.containers;
  if (container) {
    container.env = [
      { name: 'GREETING', valueFrom: { configMapKeyRef: { name: 'used', key: 'greeting' } } },
      { name: 'WORD', valueFrom: { secretKeyRef: { name: 'used', key: 'word' } } },
    ];
  }
  await apply(pair.consumer, story, deployment);
  const [pod] = await readyPods(pair.consumer, story, 'configured', 1);
  const output = await pair.consumer.kubectl([
    'exec',
    '-n',
    story,
    pod?.name ?? '',
    '--',
    '/bin/busybox',
    'env',
  ]);
  assert.match(output, /GREETING=ciao/);
  assert.match(output, /WORD=segreto/);
  const there = await pair.provider.kubectl(['get', 'secrets', '-n', twin, '-o', 'name']);
  assert.match(there, /secret\/used/);
  assert.not.match(there, /secret\/unused/);
});

test.step('a real pod that is deleted on the provider comes back, and the consumer sees it', async () => {
  const [victim] = await realPods();
  await pair.provider.kubectl(['delete', 'pod', '-n', twin, victim?.name ?? '', '--grace-period=1']);
  const again = await eventually('the pod to come back', 30, async () =>
    (await realPods()).find(({ name, uid, ready }) => name === victim?.name && uid !== victim?.uid && ready),
  );
  await eventually('its address to be seen at home', 10, async () => {
    const seen = (await pods(pair.consumer, story, 'app=remote')).find(({ name }) => name === again.name);
    return seen?.ready === true && lastOctets(seen.ip) === lastOctets(again.ip);
  });
});

test.step('a pod that exceeds the grant is refused, and the pod reports why', async () => {
  await apply(pair.consumer, story, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'greedy' },
    spec: {
      nodeSelector: { 'hawser.dev/virtual-node': 'true' },
      containers: [
        {
          name: 'main',
          image: 'registry.k8s.io/pause:3.10',
          securityContext: { privileged: true },
        },
      ],
    },
  });
  await eventually('the reason on the pod', 20, async () => {
    const text = await pair.consumer.kubectl(['describe', 'pod', '-n', story, 'greedy']);
    return /privileged/.test(text.slice(text.indexOf('Conditions:'))) && text;
  });
  assert.is((await pods(pair.provider, twin)).filter(({ name }) => name === 'greedy').length, 0);
  await pair.consumer.kubectl(['delete', 'pod', '-n', story, 'greedy', '--wait=true', '--timeout=30s']);
});

test.step('a pod deleted at home is deleted at the provider', async () => {
  await pair.consumer.kubectl(['delete', 'deployment', '-n', story, 'configured', '--wait=true']);
  await eventually('the real pod to go', 30, async () => {
    const left = await pods(pair.provider, twin, 'app=configured');
    return left.length === 0 && (await pods(pair.consumer, story, 'app=configured')).length === 0;
  });
});

test.step('a running pod that is deleted reports its final phase and exit code at home before it is gone', async () => {
  await apply(pair.consumer, story, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'ending', finalizers: ['example.com/held'] },
    spec: {
      nodeSelector: { 'hawser.dev/virtual-node': 'true' },
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 3,
      containers: [{ name: 'main', image: 'registry.k8s.io/e2e-test-images/agnhost:2.56', args: ['pause'] }],
    },
  });
  const path = '-o=jsonpath={.status.phase} {.status.containerStatuses[0].state.terminated.exitCode}';
  const shown = () => pair.consumer.kubectl(['get', 'pod', '-n', story, 'ending', path]);
  await eventually('it runs', 60, async () => (await shown()).startsWith('Running'));
  await pair.consumer.kubectl(['delete', 'pod', '-n', story, 'ending', '--wait=false']);
  const ended = await eventually('its end', 30, async () => {
    const text = await shown();
    return /^(Succeeded|Failed) \d+$/.test(text) && text;
  });
  log(`a deleted pod ended as: ${ended}`);
  const patch = ['--type=merge', '-p', '{"metadata":{"finalizers":null}}'];
  await pair.consumer.kubectl(['patch', 'pod', '-n', story, 'ending', ...patch]);
});

test.step('a DaemonSet that tolerates every taint is rolled out on the real nodes during a peering', async () => {
  const daemons = 'default';
  const labels = { app: 'tolerant' };
  const image = 'registry.k8s.io/e2e-test-images/agnhost:2.56';
  const container = { name: 'main', image, args: ['pause'] };
  await apply(pair.consumer, daemons, {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name: 'tolerant' },
    spec: {
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          tolerations: [{ operator: 'Exists' }],
          terminationGracePeriodSeconds: 0,
          containers: [container],
        },
      },
    },
  });
  const rollout = () =>
    pair.consumer.kubectl(['rollout', 'status', '-n', daemons, 'daemonset/tolerant', '--timeout=60s']);
  await rollout();
  const begun = performance.now();
  await pair.consumer.kubectl(['set', 'env', '-n', daemons, 'daemonset/tolerant', 'VERSION=2']);
  await rollout();
  log(`a tolerate-all DaemonSet was rolled out in ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  const path =
    '-o=jsonpath={range .items[*]}{.spec.nodeName} {.spec.containers[0].env[0].value} {.status.reason}{"\\n"}{end}';
  const lines = (await pair.consumer.kubectl(['get', 'pods', '-n', daemons, '-l', 'app=tolerant', path]))
    .trim()
    .split('\n');
  assert.is(lines.filter((line) => !line.startsWith(virtualNode) && line.includes(' 2')).length, 2);
  assert.is(lines.filter((line) => line === `${virtualNode} 2 DaemonPodNotRun`).length, 1);
  await pair.consumer.kubectl(['delete', 'daemonset', '-n', daemons, 'tolerant', '--wait=true']);
  await eventually(
    'its pods are gone',
    30,
    async () => (await pods(pair.consumer, daemons, 'app=tolerant')).length === 0,
  );
});

test.step('status describes the peering on one screen', async () => {
  const output = await hawser(pair.consumer, ['status']);
  assert.match(output, /milan/);
  assert.match(output, /Ready/);
  const facts = JSON.parse(await hawser(pair.consumer, ['status', '-o', 'json'])) as unknown;
  assert.ok(facts !== null && typeof facts === 'object');
});

test.step('unoffload and unpeer leave both clusters as they were', async () => {
  await hawser(pair.consumer, ['unoffload', 'namespace', story]);
  await pair.consumer.kubectl(['delete', 'namespace', story, '--timeout=90s'], {
    timeoutMilliseconds: 100_000,
  });
  const peering = await outgoingPeeringOf(pair.consumer);
  const begun = performance.now();
  await hawser(pair.consumer, ['unpeer', peering]);
  log(`hawser unpeer: ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  await pair.provider.kubectl([
    'delete',
    '-n',
    namespace,
    'serviceaccount,role,rolebinding',
    'token-administrator',
  ]);
  for (const [index, cluster] of [pair.consumer, pair.provider].entries()) {
    const was = before[index];
    if (was === undefined) throw new Error('no inventory was taken');
    await eventually(`nothing of the peering to be left in ${cluster.name}`, 30, async () => {
      const difference = inventoryDifference(was, await inventory(cluster));
      if (difference.length > 0) throw new Error(difference.join(', '));
      return true;
    });
  }
});

function lastOctets(address: string): string {
  return address.split('.').slice(2).join('.');
}

/** An address of the default 16-bit pod range under another prefix of the same length. */
function mapped(prefix: string, address: string): string {
  return [...prefix.split('.').slice(0, 2), ...address.split('.').slice(2)].join('.');
}

test.run();
