/** Failures: restarts, removed rules, a hostile peer, a frozen API server, an unreachable provider. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hawser, namespace, rolledOut, uninstall } from '../support/installation.ts';
import { inventory, inventoryDifference } from '../support/inventory.ts';
import { installedPair, node, outgoingPeeringOf, peer, tunnelOf, type Pair } from '../support/peered.ts';
import { logHookFailure } from '../support/log-hook-failure.ts';
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
import { sleep } from '../testbed/run.ts';

const test = suite('failures');
const story = 'storm';
const log = (line: string) => console.log(`  ${line}`);

let pair: Pair;
let local: PodFacts;
let remote: PodFacts;

/** From a pod on the node that is not a gateway node. */
const ask = () =>
  dial({
    from: { node: node(pair.consumer, local.node), ip: local.ip },
    host: remote.ip,
    port: 8080,
    protocol: 'http',
    request: 'hostname',
  });

const seconds = (begun: number) => ((performance.now() - begun) / 1000).toFixed(1);

async function nodeCondition(): Promise<{ ready: string | undefined; taints: string[] }> {
  const text = await pair.consumer.kubectl([
    'get',
    'nodes',
    '-l',
    'hawser.dev/virtual-node=true',
    '-o',
    'json',
  ]);
  const [found] = (
    JSON.parse(text) as {
      items: {
        spec: { taints?: { key: string }[] };
        status: { conditions: { type: string; status: string }[] };
      }[];
    }
  ).items;
  return {
    ready: found?.status.conditions.find(({ type }) => type === 'Ready')?.status,
    taints: (found?.spec.taints ?? []).map(({ key }) => key),
  };
}

async function dropsNotAdmitted(): Promise<number> {
  const text = await pair.consumer.kubectl(['get', 'fabricnodes.hawser.dev', '-o', 'json']);
  const { items } = JSON.parse(text) as {
    items: { status?: { sessions?: { drops?: Record<string, number> }[] } }[];
  };
  return items
    .flatMap(({ status }) => status?.sessions ?? [])
    .reduce((total, { drops }) => total + (drops?.['notAdmitted'] ?? 0), 0);
}

async function offload(): Promise<void> {
  await hawser(pair.consumer, ['offload', 'namespace', story]);
  await apply(
    pair.consumer,
    story,
    netexec('remote', { nodeSelector: { 'hawser.dev/virtual-node': 'true' } }),
    netexec('local', { nodeSelector: { 'kubernetes.io/hostname': pair.consumer.nodes[1]?.name ?? '' } }),
    service('remote'),
  );
  [remote, local] = await Promise.all([
    readyPods(pair.consumer, story, 'remote', 1).then(([pod]) => pod as PodFacts),
    readyPods(pair.consumer, story, 'local', 1).then(([pod]) => pod as PodFacts),
  ]);
}

test.before(
  logHookFailure(async () => {
    pair = await installedPair('failures', log);
    await peer(pair);
    await pair.consumer.kubectl(['create', 'namespace', story]);
    await offload();
    await eventually('the first answer', 20, ask);
  }),
);

test.after(async () => {
  if (process.env['HAWSER_KEEP'] === undefined) await pair?.bed.down();
});

test('restarting every process of Hawser loses and repeats nothing', async () => {
  const remaps = (await tunnelOf(pair.consumer)).spec.remaps;
  let longest = 0;
  let last = performance.now();
  const stop = new AbortController();
  const asking = (async () => {
    while (!stop.signal.aborted) {
      const answer = await ask().catch(() => undefined);
      if (answer !== undefined) {
        longest = Math.max(longest, performance.now() - last);
        last = performance.now();
      }
      await sleep(100);
    }
  })();
  await Promise.all(
    [pair.consumer, pair.provider].map(async (cluster) => {
      await cluster.kubectl(
        ['delete', 'pods', '-n', namespace, '--all', '--grace-period=5', '--timeout=60s'],
        {
          timeoutMilliseconds: 70_000,
        },
      );
      await rolledOut(cluster);
    }),
  );
  await eventually('answers again', 30, ask);
  stop.abort();
  await asking;
  log(`longest gap between two answers while everything restarted: ${(longest / 1000).toFixed(1)} s`);
  const [now] = await readyPods(pair.consumer, story, 'remote', 1);
  assert.is(now?.uid, remote.uid, 'the pod is the same one');
  assert.is(now?.restarts, 0);
  assert.equal((await tunnelOf(pair.consumer)).spec.remaps, remaps, 'remappings are stable');
});

test('removed rules and routes are restored', async () => {
  const each = node(pair.consumer, local.node);
  const rules = await each.exec(['ip', '-json', 'rule', 'show']);
  const before = await each.exec(['nft', 'list', 'tables']);
  assert.match(before, /hawser/);
  await each.exec(['nft', 'delete', 'table', 'inet', 'hawser']);
  const table = (JSON.parse(rules) as { priority: number; table: string }[]).find(
    ({ table: name }) => !['local', 'main', 'default'].includes(name),
  );
  assert.ok(table, 'there is one rule of its own');
  await each.exec(['ip', 'rule', 'del', 'priority', String(table?.priority)]);
  const begun = performance.now();
  await eventually('the rules to be back', 15, async () => {
    const tables = await each.exec(['nft', 'list', 'tables']);
    return tables === before && (await each.exec(['ip', '-json', 'rule', 'show'])) === rules;
  });
  log(`repaired in ${seconds(begun)} s`);
  await eventually('answers', 10, ask);
});

test('packets that a hostile provider sends from other pods are dropped and counted', async () => {
  // The provider disables its own checks, so that only the consumer's admission drops the packets.
  await pair.provider.kubectl([
    'patch',
    'localcluster',
    'self',
    '--type=merge',
    '-p',
    '{"spec":{"dataPath":"Open"}}',
  ]);
  await apply(pair.provider, 'default', netexec('stranger'));
  const [stranger] = await readyPods(pair.provider, 'default', 'stranger', 1);
  const seen = (await tunnelOf(pair.provider)).spec.remaps.find(({ real }) => real === pair.consumer.podCIDR);
  const target = [...(seen?.mapped ?? '').split('.').slice(0, 2), ...local.ip.split('.').slice(2)].join('.');
  const before = await dropsNotAdmitted();
  await eventually('drops to be counted at the consumer', 40, async () => {
    const answer = await dial({
      from: { node: node(pair.provider, stranger?.node ?? ''), ip: stranger?.ip ?? '' },
      host: target,
      port: 8080,
      protocol: 'udp',
      request: 'hostname',
    }).catch(() => undefined);
    assert.is(answer, undefined, 'a stranger has no answer');
    return (await dropsNotAdmitted()) > before;
  });
  await pair.provider.kubectl([
    'patch',
    'localcluster',
    'self',
    '--type=merge',
    '-p',
    '{"spec":{"dataPath":"Isolated"}}',
  ]);
  await pair.provider.kubectl(['delete', 'deployment', '-n', 'default', 'stranger']);
  await eventually('answers to who may ask', 10, ask);
});

test('a frozen API server of the provider is reported, and the data path continues', async () => {
  const frozen = pair.bed.services().find((name) => /milan.*apiserver/.test(name)) ?? '';
  await pair.bed.kill(frozen, 'SIGSTOP');
  const begun = performance.now();
  try {
    await eventually('the taint that keeps new pods away', 30, async () =>
      (await nodeCondition()).taints.includes('hawser.dev/api-unreachable'),
    );
    log(`told after ${seconds(begun)} s`);
    assert.is((await nodeCondition()).ready, 'True', 'Ready follows the data path');
    assert.is(await ask(), remote.name);
  } finally {
    await pair.bed.kill(frozen, 'SIGCONT');
  }
  await eventually(
    'the taint to go',
    60,
    async () => !(await nodeCondition()).taints.includes('hawser.dev/api-unreachable'),
  );
});

test('with a dead provider the node is not Ready, unpeering ends and lists its residue, and peering again works', async () => {
  const partition = await pair.bed.faults.partition('rome', 'milan');
  const begun = performance.now();
  await eventually('the node to be not Ready', 45, async () => (await nodeCondition()).ready !== 'True');
  log(`not Ready ${seconds(begun)} s after the partition`);
  const peering = await outgoingPeeringOf(pair.consumer);
  const ending = performance.now();
  const outcome = await hawser(pair.consumer, ['unpeer', peering]).then(
    (output) => `said nothing of what is left: ${output}`,
    (error: unknown) => (error as Error).message,
  );
  log(`unpeer from a provider that is gone: ${seconds(ending)} s`);
  assert.match(outcome, /left|could not/);
  assert.ok(performance.now() - ending < 60_000, 'bounded');
  const nodes = await pair.consumer.kubectl([
    'get',
    'nodes',
    '-l',
    'hawser.dev/virtual-node=true',
    '-o',
    'name',
  ]);
  assert.is(nodes.trim(), '');
  await partition.remove();
  const again = performance.now();
  await peer(pair);
  log(`peering again: ${seconds(again)} s`);
  await eventually('the same workload to be served again', 90, async () => {
    const [pod] = (await pods(pair.consumer, story, 'app=remote')).filter(
      ({ ready, ip }) => ready && ip !== '',
    );
    if (pod === undefined) return false;
    remote = pod;
    return (await ask()) === pod.name;
  });
});

test('uninstalling restores the nodes’ state', async () => {
  await hawser(pair.consumer, ['unoffload', 'namespace', story]);
  const peering = await outgoingPeeringOf(pair.consumer);
  await hawser(pair.consumer, ['unpeer', peering]);
  await uninstall(pair.bed, pair.consumer);
  await eventually('no rule, route, link or table of Hawser on the nodes', 60, async () => {
    const left = (await inventory(pair.consumer)).filter((line) => / (rule|route|link|nft): /.test(line));
    const of = left.filter((line) => /hawser|7470/.test(line));
    if (of.length > 0) throw new Error(inventoryDifference([], of).join(', '));
    return true;
  });
});

test.run();
