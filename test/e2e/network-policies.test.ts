/**
 * Network policies by pod label, created at the consumer, between pods at home and pods at a provider, where both clusters
 * enforce policies: kube-router's firewall runs on each node.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hawser } from '../support/installation.ts';
import { clusterIDOf, installedClusters, node, peer } from '../support/peered.ts';
import { logHookFailure } from '../support/log-hook-failure.ts';
import { apply, dial, eventually, netexec, readyPods, type PodFacts } from '../support/workload.ts';
import type { Bed, BedCluster } from '../testbed/index.ts';

const test = suite('network policies over a peering');
const story = 'shop';
const log = (line: string) => console.log(`  ${line}`);
/** A policy passes two API servers and two firewalls, on a machine that may be busy. */
const debouncer = 240;
const friend = { role: 'friend' };

let bed: Bed;
let consumer: BedCluster;
let provider: BedCluster;

/** A pod, where it runs, and its addresses in either cluster. */
interface Member {
  at: BedCluster;
  facts: PodFacts;
  /** Addresses at home and at the provider; undefined where no pod asks for it. */
  called: { home: string; there?: string };
}
const members = new Map<string, Member>();
const member = (name: string): Member => {
  const found = members.get(name);
  if (found === undefined) throw new Error(`there is no pod ${name}`);
  return found;
};

/** Whether one pod gets an answer from another. */
async function reaches(from: string, to: string): Promise<boolean> {
  const asking = member(from);
  const { called } = member(to);
  const host = asking.at === consumer ? called.home : (called.there ?? '');
  const { node: holder, ip } = asking.facts;
  return dial({
    from: { node: node(asking.at, holder), ip },
    host,
    port: 8080,
    protocol: 'http',
    request: 'hostname',
  }).then(
    () => true,
    () => false,
  );
}

/** Waits until exactly the expected pairs get answers. */
async function holds(what: string, expected: Record<string, boolean>): Promise<void> {
  let found: Record<string, boolean> = {};
  await eventually(what, debouncer, async () => {
    const pairs = Object.keys(expected).map(async (pair): Promise<[string, boolean]> => {
      const [from = '', to = ''] = pair.split(' → ');
      return [pair, await reaches(from, to)];
    });
    found = Object.fromEntries(await Promise.all(pairs));
    return Object.entries(expected).every(([pair, answer]) => found[pair] === answer);
  }).catch((error: unknown) => {
    throw new Error(`${what}: ${JSON.stringify(found)}`, { cause: error });
  });
}

const relabel = (app: string, label: string) =>
  consumer.kubectl(['label', 'pod', '-n', story, '-l', `app=${app}`, '--overwrite', label]);
/** Admits peers with the label of a friend. */
const friendsOf = (app: string) => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name: `friends-of-${app}` },
  spec: {
    podSelector: { matchLabels: { app } },
    policyTypes: ['Ingress'],
    ingress: [{ from: [{ podSelector: { matchLabels: friend } }], ports: [{ protocol: 'TCP', port: 8080 }] }],
  },
});
const said = (type: string) =>
  consumer.kubectl([
    'get',
    'namespaceoffloadings.hawser.dev',
    'offloading',
    '-n',
    story,
    '-o',
    `jsonpath={.status.conditions[?(@.type=="${type}")]['status','reason','message']}`,
  ]);

test.before(
  logHookFailure(async () => {
    bed = await installedClusters('policies', ['rome', 'milan'], log, { nodes: 1, policies: true });
    consumer = bed.cluster('rome');
    provider = bed.cluster('milan');
    await peer({ consumer, provider });
    await consumer.kubectl(['create', 'namespace', story]);
    await hawser(consumer, ['offload', 'namespace', story]);
    const home = { nodeSelector: { 'kubernetes.io/hostname': consumer.nodes[0]?.name ?? '' } };
    const there = { nodeSelector: { 'hawser.dev/virtual-node': 'true' } };
    await apply(
      consumer,
      story,
      netexec('store', home),
      netexec('anna', { ...home, labels: friend }),
      netexec('boris', home),
      netexec('web', there),
      netexec('carla', { ...there, labels: friend }),
      netexec('dario', there),
    );
    const twin = `${story}-${await clusterIDOf(consumer)}`;
    for (const app of ['store', 'anna', 'boris']) {
      const [facts] = await readyPods(consumer, story, app, 1, debouncer);
      if (facts === undefined) throw new Error(`no pod of ${app}`);
      members.set(app, { at: consumer, facts, called: { home: facts.ip } });
    }
    for (const app of ['web', 'carla', 'dario']) {
      const [known] = await readyPods(consumer, story, app, 1, debouncer);
      const [facts] = await readyPods(provider, twin, app, 1, debouncer);
      if (facts === undefined || known === undefined) throw new Error(`no pod of ${app}`);
      members.set(app, { at: provider, facts, called: { home: known.ip, there: facts.ip } });
    }
    // A pod of the provider itself, which no policy admits.
    await apply(provider, 'default', netexec('stranger'));
    const [stranger] = await readyPods(provider, 'default', 'stranger', 1, debouncer);
    if (stranger === undefined) throw new Error('no stranger');
    members.set('stranger', { at: provider, facts: stranger, called: { home: '', there: stranger.ip } });
    // The store's address at the provider, under the provider's remap of the consumer's range.
    const remaps = await provider.kubectl([
      'get',
      'tunnels.hawser.dev',
      '-o',
      'jsonpath={.items[0].spec.remaps}',
    ]);
    const mapped = (JSON.parse(remaps) as { real: string; mapped: string }[]).find(
      ({ real }) => real === consumer.podCIDR,
    )?.mapped;
    const store = member('store');
    const prefix = mapped?.split('.').slice(0, 2).join('.');
    const host = store.facts.ip.split('.').slice(2).join('.');
    store.called.there = `${prefix}.${host}`;
  }),
);
test.after(async () => {
  if (process.env['HAWSER_KEEP'] === undefined) await bed?.down();
});

test('without policies all pods of the namespace reach each other, and the provider’s own none of them', async () => {
  await holds('the default', {
    'anna → web': true,
    'boris → web': true,
    'carla → web': true,
    'dario → web': true,
    'carla → store': true,
    'dario → store': true,
    'boris → store': true,
    'stranger → web': false,
    'web → stranger': false,
  });
});

test('a policy of a pod at the provider admits peers by label, from home and from the provider', async () => {
  await apply(consumer, story, friendsOf('web'));
  await holds('friends of web', {
    'anna → web': true,
    'carla → web': true,
    'boris → web': false,
    'dario → web': false,
    'stranger → web': false,
    // The other pods are not restricted, since no policy selects them.
    'boris → carla': true,
    'dario → store': true,
  });
});

test('a policy of a pod at home admits peers by label, from home and from the provider', async () => {
  await apply(consumer, story, friendsOf('store'));
  await holds('friends of store', {
    'anna → store': true,
    'carla → store': true,
    'boris → store': false,
    'dario → store': false,
  });
});

test('NetworkPoliciesHold is True', async () => {
  const text = await eventually('NetworkPoliciesHold', debouncer, async () => {
    const now = await said('NetworkPoliciesHold');
    return now.startsWith('True') && now;
  });
  assert.match(text, /True Held This cluster’s CNI enforces network policies/);
  assert.match(text, /they are carried and enforced/);
});

test('changed labels take effect on both sides', async () => {
  await relabel('anna', 'role=foe');
  await relabel('boris', 'role=friend');
  await relabel('carla', 'role=foe');
  await relabel('dario', 'role=friend');
  await holds('the new friends', {
    'anna → web': false,
    'boris → web': true,
    'carla → web': false,
    'dario → web': true,
    'anna → store': false,
    'boris → store': true,
    'carla → store': false,
    'dario → store': true,
  });
});

test('egress of a pod at the provider is restricted too', async () => {
  await apply(consumer, story, {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'dario-asks-web-alone' },
    spec: {
      podSelector: { matchLabels: { app: 'dario' } },
      policyTypes: ['Egress'],
      egress: [{ to: [{ podSelector: { matchLabels: { app: 'web' } } }] }],
    },
  });
  await holds('dario asks web alone', {
    'dario → web': true,
    'dario → store': false,
    'dario → carla': false,
    'boris → store': true,
  });
});

test('deleted policies have no effect', async () => {
  await consumer.kubectl(['delete', 'networkpolicies', '-n', story, '--all']);
  await holds('the default again', {
    'anna → web': true,
    'carla → web': true,
    'carla → store': true,
    'dario → store': true,
    'dario → carla': true,
    'stranger → web': false,
  });
});

test.run();
