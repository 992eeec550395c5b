/** Three clusters with the same ranges, each a consumer of and a provider to the two others; and one more peering. */
import * as assert from 'uvu/assert';
import { listed } from '../support/api-objects.ts';
import { hawser, namespace } from '../support/installation.ts';
import { inventory, inventoryDifference, type Inventory } from '../support/inventory.ts';
import { installedClusters, node, peer, tokenAdministrator, tunnelsOf } from '../support/peered.ts';
import {
  forbiddenPlaces,
  killNodeDaemon,
  nodeDaemonOf,
  refusalsOf,
  serveMetadata,
  through,
} from '../support/hostile-pod.ts';
import { ask, SpreadStory } from '../support/spread-story.ts';
import { scenario } from '../support/scenario.ts';
import { logHookFailure } from '../support/log-hook-failure.ts';
import { unbroken } from '../support/traffic.ts';
import {
  apply,
  dial,
  eventually,
  netexec,
  pods,
  readyPods,
  service,
  type PodFacts,
} from '../support/workload.ts';
import type { Bed, BedCluster } from '../testbed/index.ts';

const test = scenario('many clusters');
const story = 'shop';
const log = (line: string) => console.log(`  ${line}`);
/** The reasons of refused packets that the attempts of this test cause. */
const tried = ['Metadata', 'Node', 'APIServer', 'Cluster'];
const names = ['amber', 'birch', 'cedar'] as const;

let bed: Bed;
let before: Inventory[];
let spread: SpreadStory;

/** Runs `step` during traffic from the node that is not a gateway node, and asserts that nothing is lost. */
const unbrokenFrom = (from: BedCluster, to: PodFacts, what: string, step: () => Promise<unknown>) =>
  unbroken([[node(from, from.nodes[1]?.name ?? ''), to]], what, step, log);

test.before(
  logHookFailure(async () => {
    bed = await installedClusters('many-clusters', names, log);
    before = await Promise.all(bed.clusters.map((cluster) => inventory(cluster)));
    spread = await SpreadStory.of(bed, story);
    for (const cluster of bed.clusters) {
      // Two consumers request tokens at the same time later.
      await tokenAdministrator(cluster);
    }
  }),
);

test.after(async () => {
  if (process.env['HAWSER_KEEP'] === undefined) await bed?.down();
});

test.step('LocalCluster reports that the CNI does not enforce network policies', async () => {
  for (const cluster of bed.clusters) {
    await eventually(`what is known of the CNI of ${cluster.name}`, 180, async () => {
      const message = await cluster.kubectl([
        'get',
        'localclusters.hawser.dev',
        'self',
        '-o',
        'jsonpath={.status.conditions[?(@.type=="NetworkPoliciesEnforced")].reason}',
      ]);
      return message === 'NotEnforced';
    });
  }
});

test.step('six peerings, and one tunnel for both directions of each pair', async () => {
  const begun = performance.now();
  await Promise.all(
    names.map(async (consumer) => {
      for (const provider of spread.others(consumer)) {
        const peers = { consumer: bed.cluster(consumer), provider: bed.cluster(provider) };
        const grant = { cpu: '2', memory: '1Gi', pods: 20 };
        assert.match(await peer(peers, { grant }, ['--timeout', '120']), /Ready/);
      }
    }),
  );
  log(`six peerings: ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  for (const cluster of bed.clusters) {
    await eventually(`both tunnels of ${cluster.name}`, 90, async () => {
      const tunnels = await tunnelsOf(cluster);
      assert.equal(
        tunnels.map(({ spec }) => spec.remoteCluster).sort(),
        spread.others(cluster.name).map(spread.idOf).sort(),
      );
      return tunnels.every(
        ({ spec, status }) =>
          spec.consumer &&
          spec.provider &&
          status?.conditions?.some(({ type, status: value }) => type === 'PathVerified' && value === 'True'),
      );
    });
  }
});

test.step('each cluster spreads a namespace over all three, behind one Service', async () => {
  await Promise.all(
    names.map(async (consumer) => {
      const cluster = bed.cluster(consumer);
      await cluster.kubectl(['create', 'namespace', story]);
      await hawser(cluster, ['offload', 'namespace', story, '--timeout', '120']);
      const replicas = spread.replicasOf(consumer);
      await apply(
        cluster,
        story,
        netexec('home', {
          labels: spread.labels,
          nodeSelector: { 'kubernetes.io/hostname': cluster.nodes[1]?.name ?? '' },
        }),
        ...spread.others(consumer).map((provider) => spread.remoteDeployment(provider, replicas)),
        service(story, { selector: spread.labels }),
      );
    }),
  );
  for (const consumer of names) {
    await readyPods(bed.cluster(consumer), story, 'home', 1, 120);
    for (const provider of spread.others(consumer)) await spread.remotePod(consumer, provider);
  }
});

test.step('every offloaded pod has a mapped address, and no other pod has one', async () => {
  for (const consumer of names) {
    const cluster = bed.cluster(consumer);
    const mappings = await eventually(`the mapped addresses of ${consumer}`, 120, async () => {
      // A replaced pod may have left a draining one.
      const found = (await listed(cluster, 'addressmappings')).filter(
        ({ spec }) => spec.drainingSince === undefined,
      );
      return (
        found.length === spread.replicasOf(consumer) * spread.others(consumer).length &&
        found.every(({ status }) =>
          status?.conditions?.some(({ type, status: value }) => type === 'Programmed' && value === 'True'),
        ) &&
        found
      );
    });
    for (const provider of spread.others(consumer)) {
      for (const pod of await pods(cluster, story, `app=at-${provider}`)) {
        const own = mappings.find(({ spec }) => spec.pod.uid === pod.uid);
        assert.is(own?.spec.target, pod.ip);
        assert.equal(
          own?.spec.remoteClusters,
          spread
            .others(consumer)
            .filter((each) => each !== provider)
            .map(spread.idOf),
        );
      }
    }
  }
});

test.step('every pod of a cluster answers every other one, at home, at one provider or at two', async () => {
  const asked = await Promise.all(names.map((name) => spread.everyPair(name)));
  log(`${asked.reduce((sum, each) => sum + each, 0)} pairs asked, each seen by the name that is known there`);
});

test.step('a consumer’s pods reach nothing of their provider or of another consumer, even without the node daemon', async () => {
  const provider = bed.cluster('cedar');
  await provider.kubectl(['create', 'namespace', 'own']);
  await apply(provider, 'own', netexec('own', { replicas: 2 }), service('own'));
  const own = await readyPods(provider, 'own', 'own', 2, 120);
  const serviceAddress = await provider.kubectl([
    'get',
    'service',
    '-n',
    'own',
    'own',
    '-o',
    'jsonpath={.spec.clusterIP}',
  ]);
  const hostile = await pods(provider, spread.twinOf('amber'), `tier=${story}`);
  const rivals = await pods(provider, spread.twinOf('birch'), `tier=${story}`);
  assert.ok(hostile.length > 1 && rivals.length > 0);
  const [pod] = hostile;
  const holder = node(provider, pod?.node ?? '');
  const from = { node: holder, ip: pod?.ip ?? '' };
  const metadata = await Promise.all(provider.nodes.map((each) => serveMetadata(each)));
  try {
    const places = await forbiddenPlaces(provider, { pods: own, serviceAddress });
    for (const each of own) {
      const inside = { node: node(provider, each.node), ip: each.ip };
      const reached = await eventually(
        `a pod of the provider’s own on ${each.node} to reach all`,
        90,
        async () => {
          const made = await through(inside, places, 'made');
          if (made.length < places.length) throw new Error(`only ${made.join(', ')}`);
          return made;
        },
      );
      assert.is(reached.length, places.length);
      const theirs = hostile.map(({ name, ip }) => ({ what: name, host: ip, port: 8080 }));
      assert.equal(await through(inside, theirs, 'refused'), [], 'and no consumer’s pods');
    }
    const forbidden = [
      ...places,
      ...rivals.map(({ name, ip }) => ({ what: `another consumer’s ${name}`, host: ip, port: 8080 })),
    ];
    assert.equal(await through(from, forbidden, 'refused'), []);
    const allowed = hostile.slice(1).map(({ name, ip }) => ({ what: name, host: ip, port: 8080 }));
    assert.is((await through(from, allowed, 'made')).length, allowed.length, 'its own pods');

    const refused = await eventually('all of it to be counted', 60, async () => {
      const counted = (await refusalsOf(provider, holder.name)).filter(
        ({ remoteCluster }) => remoteCluster === spread.idOf('amber'),
      );
      return (
        tried.every((reason) => counted.some((each) => each.reason === reason && each.packets > 0)) && counted
      );
    });
    log(
      `refused to ${spread.idOf('amber')} on ${holder.name}: ${refused.map(({ reason, packets }) => `${reason} ${packets}`).join(', ')}`,
    );

    const daemon = await nodeDaemonOf(provider, holder.name);
    await killNodeDaemon(holder);
    assert.equal(await through(from, forbidden, 'refused'), [], 'while it is away');
    await eventually('the node daemon to be there again', 120, async () => {
      const again = await nodeDaemonOf(provider, holder.name);
      return again.restarts > daemon.restarts && again.ready;
    });
    assert.equal(await through(from, forbidden, 'refused'), [], 'when it is back');
    await eventually('the counts to go on from what they were', 60, async () => {
      const now = await refusalsOf(provider, holder.name);
      return tried.every((reason) => {
        const [was, is] = [refused, now].map((all) =>
          all.find((each) => each.remoteCluster === spread.idOf('amber') && each.reason === reason),
        );
        return (is?.packets ?? 0) > (was?.packets ?? 0);
      });
    });
  } finally {
    for (const each of metadata) await each.stop();
    await provider.kubectl(['delete', 'namespace', 'own', '--timeout=90s'], { timeoutMilliseconds: 100_000 });
  }
});

test.step('the Service’s name finds pods at home and at a third cluster', async () => {
  const members = await spread.membersOf('amber');
  for (const provider of spread.others('amber')) {
    const from = members.find(({ at }) => at.name === provider);
    assert.ok(from);
    const answered = new Set<string>();
    await eventually(`all pods behind the Service to answer at ${provider}`, 90, async () => {
      if (from !== undefined) answered.add(await ask(from, story, 'hostname', 'http', 80));
      return answered.size === members.length;
    });
  }
});

test.step('a pod of one cluster does not reach another cluster’s pods through a tunnel', async () => {
  const [amber] = (await spread.membersOf('amber')).filter(({ at }) => at.name === 'birch');
  const birch = bed.cluster('birch');
  // By the address that birch knows for its pod at cedar, and by the address that birch assigns to it.
  const pod = await spread.remotePod('birch', 'cedar');
  const mappings = (await listed(birch, 'addressmappings')).find(({ spec }) => spec.pod.uid === pod.uid);
  for (const address of [pod.ip, mappings?.spec.address ?? '']) {
    const answer = await dial({
      from: { node: node(birch, amber?.facts.node ?? ''), ip: amber?.facts.ip ?? '' },
      host: address,
      port: 8080,
      protocol: 'udp',
      request: 'hostname',
    }).catch(() => undefined);
    assert.is(answer, undefined, `${address} answers a stranger`);
  }
});

test.step('network policies that are not enforced are reported', async () => {
  const cluster = bed.cluster('amber');
  const said = () =>
    cluster.kubectl([
      'get',
      'namespaceoffloadings.hawser.dev',
      'offloading',
      '-n',
      story,
      '-o',
      'jsonpath={.status.conditions[?(@.type=="NetworkPoliciesHold")].message}',
    ]);
  assert.match(await said(), /has no network policies/);
  await apply(cluster, story, {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'closed' },
    spec: { podSelector: { matchLabels: spread.labels }, policyTypes: ['Ingress'] },
  });
  await eventually('what holds of the policy', 90, async () => {
    const message = await said();
    return (
      message.startsWith('This cluster’s CNI does not enforce network policies') &&
      message.includes('they are carried, but that cluster’s CNI does not enforce them')
    );
  });
  await cluster.kubectl(['delete', 'networkpolicy', '-n', story, 'closed']);
});

test.step('a recreated real pod keeps its mapped address', async () => {
  const cluster = bed.cluster('amber');
  const pod = await spread.remotePod('amber', 'cedar');
  const mappingsFor = async () =>
    (await listed(cluster, 'addressmappings')).find(({ spec }) => spec.pod.uid === pod.uid);
  const first = await mappingsFor();
  const cedar = bed.cluster('cedar');
  const real = (await pods(cedar, spread.twinOf('amber'))).find(({ name }) => name === pod.name);
  await cedar.kubectl(['delete', 'pod', '-n', spread.twinOf('amber'), pod.name, '--grace-period=1']);
  await eventually('another real pod', 60, async () =>
    (await pods(cedar, spread.twinOf('amber'))).some(
      ({ name, uid, ready }) => name === pod.name && uid !== real?.uid && ready,
    ),
  );
  await readyPods(cluster, story, 'at-cedar', 2);
  const again = await eventually('the mapped address to follow', 90, async () => {
    const [mappings, now] = [
      await mappingsFor(),
      (await pods(cluster, story)).find(({ uid }) => uid === pod.uid),
    ];
    return mappings?.spec.target === now?.ip && now?.ip !== pod.ip && mappings;
  });
  assert.is(again.spec.address, first?.spec.address);
  const from = (await spread.membersOf('amber')).find(({ at }) => at.name === 'birch');
  assert.ok(from);
  if (from)
    await eventually('an answer of it at birch', 30, async () =>
      (await spread.addressesFor(from, 5)).has(pod.name),
    );
});

test.step('two virtual nodes of one provider, each with a grant of its own; one ends alone', async () => {
  const [consumer, provider] = [bed.cluster('amber'), bed.cluster('cedar')];
  const grant = { cpu: '1', memory: '512Mi', pods: 3 };
  const members = await spread.membersOf('amber');
  await peer({ consumer, provider }, { grant }, ['--name', 'gpu', '--node', 'cedar-gpu', '--timeout', '120']);
  const capacity = await consumer.kubectl([
    'get',
    'node',
    'cedar-gpu',
    '-o',
    'jsonpath={.status.capacity.pods}',
  ]);
  assert.is(capacity, '3');
  await apply(
    consumer,
    story,
    netexec('on-gpu', { labels: spread.labels, nodeSelector: { 'kubernetes.io/hostname': 'cedar-gpu' } }),
  );
  const [pod] = await readyPods(consumer, story, 'on-gpu', 1, 120);
  assert.is(pod?.node, 'cedar-gpu');
  assert.is((await pods(provider, spread.twinOf('amber', '-gpu'))).length, 1);
  const used = await eventually('the use of each grant', 90, async () => {
    const list = await listed(provider, 'incomingpeerings');
    const of = (name: string) => list.find(({ metadata }) => metadata.name === name)?.status?.used?.pods;
    const both = [of(spread.idOf('amber')), of(`${spread.idOf('amber')}.gpu`)];
    return both[0] === 2 && both[1] === 1 && both;
  });
  assert.equal(used, [2, 1]);
  assert.is((await tunnelsOf(consumer)).length, 2, 'one tunnel serves both');
  // At home, in the other twin namespace there, and at the third cluster.
  for (const place of names) {
    const reader = members.find(({ at }) => at.name === place);
    assert.ok(reader);
    if (reader)
      assert.ok((await spread.addressesFor(reader, members.length + 1)).has(pod?.name ?? ''), place);
  }

  const neighbour = await spread.remotePod('amber', 'cedar');
  await spread.removeDeployment(consumer, 'on-gpu');
  await unbrokenFrom(consumer, neighbour, 'while the second peering with cedar ended', () =>
    hawser(consumer, ['unpeer', `${spread.idOf('cedar')}.gpu`]),
  );
  const left = await consumer.kubectl(['get', 'nodes', '-l', 'hawser.dev/virtual-node=true', '-o', 'name']);
  assert.is(left.trim().split('\n').length, 2);
  assert.is((await spread.remotePod('amber', 'cedar')).uid, neighbour.uid);
});

for (const [ending, staying] of [
  ['amber', 'birch'],
  ['birch', 'amber'],
] as const) {
  test.step(`${ending} → ${staying} ends alone, and ${staying} → ${ending} loses nothing`, async () => {
    const [cluster, other] = [bed.cluster(ending), bed.cluster(staying)];
    await spread.removeDeployment(cluster, `at-${staying}`);
    await unbrokenFrom(
      other,
      await spread.remotePod(staying, ending),
      `while ${ending} → ${staying} ended`,
      () => hawser(cluster, ['unpeer', spread.idOf(staying)]),
    );
    const tunnel = (await tunnelsOf(cluster)).find(({ spec }) => spec.remoteCluster === spread.idOf(staying));
    assert.equal([tunnel?.spec.consumer, tunnel?.spec.provider], [false, true]);
    if (ending === 'amber') {
      // Peer again: the former state returns, and the pods of the namespace find each other again.
      await peer({ consumer: cluster, provider: other }, {}, ['--timeout', '120']);
      await apply(cluster, story, spread.remoteDeployment(staying, 2));
      await spread.remotePod(ending, staying);
      await eventually('every pair again', 90, () => spread.everyPair(ending));
    }
  });
}

test.step('at the end of everything nothing is left', async () => {
  await Promise.all(
    bed.clusters.map(async (cluster) => {
      await hawser(cluster, ['unoffload', 'namespace', story]);
      await cluster.kubectl(['delete', 'namespace', story, '--timeout=90s'], {
        timeoutMilliseconds: 100_000,
      });
    }),
  );
  await Promise.all(
    names.map(async (consumer) => {
      for (const provider of spread.others(consumer)) {
        if (consumer === 'birch' && provider === 'amber') continue;
        await hawser(bed.cluster(consumer), ['unpeer', spread.idOf(provider)]);
      }
    }),
  );
  for (const [index, cluster] of bed.clusters.entries()) {
    await cluster.kubectl([
      'delete',
      '-n',
      namespace,
      'serviceaccount,role,rolebinding',
      'token-administrator',
    ]);
    const was = before[index];
    if (was === undefined) throw new Error('no inventory was taken');
    await eventually(`nothing of the peerings to be left in ${cluster.name}`, 120, async () => {
      const difference = inventoryDifference(was, await inventory(cluster));
      if (difference.length > 0) throw new Error(difference.join(', '));
      return true;
    });
  }
});

test.run();
