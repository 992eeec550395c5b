/** Ends of peerings: drained with a disruption budget, ended while the provider is frozen, and uninstalled while active. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { deleteKinds } from '../support/delete-kinds.ts';
import { hawser, install, makeImage, uninstall } from '../support/installation.ts';
import { inventory, inventoryDifference, type Inventory } from '../support/inventory.ts';
import { outgoingPeeringOf, peer, type Pair } from '../support/peered.ts';
import { logHookFailure } from '../support/log-hook-failure.ts';
import { apply, eventually, netexec, pods, readyPods } from '../support/workload.ts';
import { up } from '../testbed/index.ts';
import { run } from '../testbed/run.ts';

const test = suite('endings of peerings');
const story = 'autumn';
const log = (line: string) => console.log(`  ${line}`);
const seconds = (begun: number) => `${((performance.now() - begun) / 1000).toFixed(1)} s`;
/** Generous, since this machine is busy. */
const debouncer = 120;

let pair: Pair;
let before: { consumer: Inventory; provider: Inventory };

/** The output of a command, whether it succeeded or not. */
const outcomeOf = (command: Promise<string>): Promise<string> =>
  command.catch((error: unknown) => (error as Error).message);

/** Kernel settings that a data path might change. */
async function sysctls(): Promise<string[]> {
  const lines: string[] = [];
  for (const node of [...pair.consumer.nodes, ...pair.provider.nodes]) {
    const text = await run([
      'ip',
      'netns',
      'exec',
      node.netns,
      'sysctl',
      '-a',
      '-r',
      '^net\\.ipv[46]\\.(ip_forward|conf\\.(all|default|eth0)\\.(rp_filter|forwarding|accept_local|route_localnet|src_valid_mark))$',
    ]);
    lines.push(
      ...text
        .trim()
        .split('\n')
        .map((line) => `${node.name} ${line}`),
    );
  }
  return lines;
}
let sysctlsBefore: string[] = [];

test.before(
  logHookFailure(async () => {
    const [bed, archive] = await Promise.all([
      up({ name: 'endings', clusters: ['rome', 'milan'], nodes: 2, fresh: true, log }),
      makeImage(log),
    ]);
    pair = { bed, consumer: bed.cluster('rome'), provider: bed.cluster('milan') };
    await bed.loadImage(archive);
    for (const cluster of [pair.consumer, pair.provider]) {
      await cluster.kubectl([
        'label',
        '--overwrite',
        'node',
        cluster.nodes[0]?.name ?? '',
        'hawser.dev/gateway=true',
      ]);
    }
    before = { consumer: await inventory(pair.consumer), provider: await inventory(pair.provider) };
    sysctlsBefore = await sysctls();
    await Promise.all([install(bed, pair.consumer), install(bed, pair.provider)]);
    await peer(pair);
    await pair.consumer.kubectl(['create', 'namespace', story]);
    await hawser(pair.consumer, ['offload', 'namespace', story]);
  }),
);

test.after(async () => {
  if (process.env['HAWSER_KEEP'] === undefined) await pair?.bed.down();
});

const away = async (app: string) =>
  (await pods(pair.consumer, story, `app=${app}`)).filter(({ node }) => node.startsWith('hawser-'));

/** A Deployment whose pods prefer a provider, but may run at home. */
function preferringProviders(deployment: object): object {
  const preference = { matchExpressions: [{ key: 'hawser.dev/virtual-node', operator: 'Exists' }] };
  const affinity = {
    nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, preference }] },
  };
  const copy = structuredClone(deployment) as { spec: { template: { spec: object } } };
  Object.assign(copy.spec.template.spec, { affinity });
  return copy;
}

test('a draining provider evicts no pod below its consumer’s disruption budget, and both sides report it', async () => {
  const peering = await outgoingPeeringOf(pair.consumer);
  await apply(pair.consumer, story, preferringProviders(netexec('budgeted')));
  await readyPods(pair.consumer, story, 'budgeted', 1);
  assert.is((await away('budgeted')).length, 1);
  await pair.consumer.kubectl(
    `create pdb budgeted -n ${story} --selector=app=budgeted --min-available=1`.split(' '),
  );
  const [{ metadata } = { metadata: { name: '' } }] = (
    JSON.parse(await pair.provider.kubectl(['get', 'incomingpeerings', '-o', 'json'])) as {
      items: { metadata: { name: string } }[];
    }
  ).items;
  const late = await outcomeOf(
    hawser(pair.provider, ['drain', metadata.name, '--incoming', '--timeout', '8']),
  );
  assert.match(late, /being drained by this cluster: 1 pods of rome-\S+ are still here/);
  assert.is((await away('budgeted')).length, 1, 'the budget holds');
  await eventually('the consumer to say it', debouncer, async () =>
    /being drained by the provider [^]*blocked by disruption budgets/.test(
      await pair.consumer.kubectl(['get', 'outgoingpeering', peering, '-o', 'json']),
    ),
  );
  const begun = performance.now();
  await pair.consumer.kubectl(['delete', 'pdb', '-n', story, 'budgeted']);
  const drained = await hawser(pair.provider, [
    'drain',
    metadata.name,
    '--incoming',
    '--timeout',
    String(debouncer),
  ]);
  log(`drained ${seconds(begun)} after the budget was gone`);
  assert.match(drained, `Drained: ${metadata.name}`);
  await readyPods(pair.consumer, story, 'budgeted', 1);
  assert.is((await away('budgeted')).length, 0, 'it runs at home');
  // Timing decides whether the consumer has already seen that its last pod is gone.
  assert.match(
    await outcomeOf(hawser(pair.consumer, ['activate', peering])),
    /activated here, but (being )?drained by the provider/,
  );
  await hawser(pair.provider, ['activate', metadata.name, '--incoming']);
  await hawser(pair.consumer, ['activate', peering, '--timeout', String(debouncer)]);
});

test('unpeering from a provider with a frozen control plane ends, reports the residue, and peering again works', async () => {
  await apply(pair.consumer, story, netexec('held', { nodeSelector: { 'hawser.dev/virtual-node': 'true' } }));
  await readyPods(pair.consumer, story, 'held', 1);
  const peering = await outgoingPeeringOf(pair.consumer);
  const frozen = pair.bed.services().find((name) => /milan.*apiserver/.test(name)) ?? '';
  await pair.bed.kill(frozen, 'SIGSTOP');
  let outcome: string;
  const begun = performance.now();
  try {
    outcome = await outcomeOf(hawser(pair.consumer, ['unpeer', peering, '--timeout', String(debouncer)]));
  } finally {
    await pair.bed.kill(frozen, 'SIGCONT');
  }
  log(`unpeered from a frozen provider in ${seconds(begun)}`);
  const command = /hawser (unpeer \S+ --incoming)/.exec(outcome)?.[1];
  assert.ok(command, `it says what removes the rest: ${outcome}`);
  await eventually('the provider to answer again', debouncer, async () =>
    (await pair.provider.kubectl(['get', 'incomingpeerings', '-o', 'name'])).includes('incomingpeering'),
  );
  const ended = performance.now();
  const removed = await hawser(pair.provider, [...command.split(' '), '--timeout', String(debouncer)]);
  log(`put out at the provider in ${seconds(ended)}`);
  assert.match(removed, 'Removed:');
  const again = performance.now();
  await peer(pair);
  log(`peered again in ${seconds(again)}`);
  await readyPods(pair.consumer, story, 'held', 1);
  const healthy = performance.now();
  const left = await hawser(pair.consumer, ['unpeer', await outgoingPeeringOf(pair.consumer)]);
  log(`unpeered from a healthy provider, with a pod there, in ${seconds(healthy)}`);
  assert.match(left, 'Removed:');
});

test('uninstalling both sides of a peering leaves nothing', async () => {
  await peer(pair);
  await readyPods(pair.consumer, story, 'held', 1);
  const begun = performance.now();
  await uninstall(pair.bed, pair.consumer);
  log(`uninstalled at the consumer in ${seconds(begun)}`);
  const provider = performance.now();
  await uninstall(pair.bed, pair.provider);
  log(`uninstalled at the provider in ${seconds(provider)}`);
  await pair.consumer.kubectl(['delete', 'namespace', story, '--timeout=60s'], {
    timeoutMilliseconds: 70_000,
  });
  for (const cluster of [pair.consumer, pair.provider]) {
    await cluster.kubectl(['delete', 'namespace', 'hawser-system', '--timeout=60s'], {
      timeoutMilliseconds: 70_000,
    });
    await deleteKinds((args) => cluster.kubectl(args));
  }
  for (const side of ['consumer', 'provider'] as const) {
    let left: string[] = [];
    await eventually(`${side} to be as it was`, debouncer, async () => {
      left = inventoryDifference(before[side], await inventory(pair[side]));
      if (left.length > 0) throw new Error(left.join(', '));
      return true;
    });
  }
  assert.equal(await sysctls(), sysctlsBefore);
});

test.run();
