/** A virtual node during failures: unreachable API servers, changed tokens, restarted controllers. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { OutgoingPeering } from '../../../shared/api/peerings.ts';
import { findCondition } from '../../../shared/conditions.ts';
import { secrets, tenantNamespace, twinName } from '../../../shared/names.ts';
import { kind, type Node, type Pod } from '../../../daemon/kube/index.ts';
import { runVirtualNodes } from '../../../daemon/vnode/index.ts';
import * as testbed from '../../testbed/index.ts';
import {
  consumerID,
  contextOf,
  hawserNamespace,
  meet,
  playKubelet,
  providerID,
  setPath,
  upPlanes,
  virtualNode,
  type Planes,
} from './planes.ts';
import { eventually } from '../../support/eventually.ts';

const test = suite('virtual node under faults');
const twin = twinName('shop', consumerID);
const tenant = tenantNamespace(consumerID, 'default');
const taint = 'hawser.dev/api-unreachable';
let planes: Planes;
let controller: { stop: AbortController; ended: Promise<void> };

/** A separate controller, with its own caches and memory. */
function startController() {
  const stop = new AbortController();
  const signal = AbortSignal.any([stop.signal, planes.signal]);
  controller = { stop, ended: runVirtualNodes(contextOf(planes.consumer.kube, signal), signal) };
}
async function stopController() {
  controller.stop.abort(new Error('stopped'));
  await controller.ended.catch(() => undefined);
}

const node = () => planes.consumer.kube.get<Node>({ kind: kind.node, name: virtualNode }, planes.signal);
const tainted = async () => (await node())?.spec?.taints?.some((each) => each.key === taint) ?? false;
const ready = async () => (await node())?.status?.conditions?.find((each) => each.type === 'Ready')?.status;
const localPod = (name: string) =>
  planes.consumer.kube.get<Pod>({ kind: kind.pod, namespace: 'shop', name }, planes.signal);
const remotePod = (name: string) =>
  planes.provider.kube.get<Pod>({ kind: kind.pod, namespace: twin, name }, planes.signal);
const peering = () =>
  planes.consumer.kube.get<OutgoingPeering>({ kind: kind.outgoingPeering, name: providerID }, planes.signal);

async function createPod(name: string) {
  await planes.consumer.kube.create(
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: 'shop', labels: { app: name } },
      spec: {
        nodeName: virtualNode,
        terminationGracePeriodSeconds: 1,
        containers: [{ name: 'main', image: 'pause' }],
      },
    },
    planes.signal,
  );
}
async function runPod(name: string, address: string) {
  await createPod(name);
  await eventually('the real pod', () => remotePod(name));
  await playKubelet(planes, twin, name, address);
  await eventually('Running', async () => (await localPod(name))?.status?.phase === 'Running');
}
async function token(): Promise<string> {
  const answer = await planes.provider.kube.createSubresource<{ status: { token: string } }>(
    { kind: kind.serviceAccount, namespace: tenant, name: 'consumer' },
    'token',
    { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 3600 } },
    planes.signal,
  );
  return answer.status.token;
}
async function setIdentity(change: Record<string, string>) {
  const ref = { kind: kind.secret, namespace: hawserNamespace, name: secrets.identity(providerID) };
  const secret = await planes.consumer.kube.get(ref, planes.signal);
  const held = JSON.parse(Buffer.from(secret?.data?.['identity.json'] ?? '', 'base64').toString()) as object;
  const data = {
    'identity.json': Buffer.from(JSON.stringify({ ...held, ...change })).toString('base64'),
  };
  await planes.consumer.kube.patch(ref, { data }, { type: 'merge' }, planes.signal);
}

test.before(async () => {
  planes = await upPlanes(testbed);
  await meet(planes);
  startController();
  await eventually('Ready', async () => (await ready()) === 'True');
  await planes.consumer.kube.create(
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } },
    planes.signal,
  );
  await planes.consumer.kube.create(
    {
      apiVersion: 'hawser.dev/v1alpha1',
      kind: 'NamespaceOffloading',
      metadata: { name: 'offloading', namespace: 'shop' },
      spec: { podPlacement: 'LocalAndRemote' },
    },
    planes.signal,
  );
  await eventually('a service account', async () =>
    planes.consumer.kube.get(
      { kind: kind.serviceAccount, namespace: 'shop', name: 'default' },
      planes.signal,
    ),
  );
});
test.after(async () => {
  await stopController();
  await planes.stop();
});

test('a restarted controller repeats nothing and loses nothing', async () => {
  await runPod('web', '10.244.3.4');
  const before = [await localPod('web'), await remotePod('web'), await node()];
  await stopController();
  // While no controller watches, one pod is deleted and another one created.
  await runAlone();
  startController();
  await eventually('the new one is made', () => remotePod('late'));
  await eventually('the old one is ended', async () => (await remotePod('gone')) === undefined);
  const after = [await localPod('web'), await remotePod('web'), await node()];
  assert.is(after[1]?.metadata.uid, before[1]?.metadata.uid);
  assert.is(
    after[0]?.metadata.resourceVersion,
    before[0]?.metadata.resourceVersion,
    'nothing was written again',
  );
  assert.is(after[2]?.metadata.uid, before[2]?.metadata.uid);
});

/** Runs without a controller: force-deletes one pod, and creates another. */
async function runAlone() {
  startController();
  await runPod('gone', '10.244.3.5');
  await stopController();
  await planes.consumer.kube.delete(
    { kind: kind.pod, namespace: 'shop', name: 'gone' },
    { gracePeriodSeconds: 0 },
    planes.signal,
  );
  await createPod('late');
  assert.ok(await remotePod('gone'));
}

test('while no packets pass, no pod is Ready, and none is lost', async () => {
  const podReady = async () =>
    (await localPod('web'))?.status?.conditions?.find((each) => each.type === 'Ready');
  assert.is((await podReady())?.status, 'True');
  await setPath(planes, false);
  await eventually('not Ready', async () => (await podReady())?.reason === 'NodeNotReady', 3000);
  assert.is((await localPod('web'))?.status?.phase, 'Running');
  await setPath(planes, true);
  await eventually('Ready again', async () => (await podReady())?.status === 'True', 3000);
});

test('a twin namespace that is deleted at the provider is created again with its pods', async () => {
  const before = await remotePod('web');
  const ref = { kind: kind.twinNamespace, namespace: tenant, name: 'shop' };
  await planes.provider.kube.delete(ref, {}, planes.signal);
  await eventually(
    'another real pod in another namespace',
    async () => {
      const found = await remotePod('web');
      return (
        found !== undefined &&
        found.metadata.uid !== before?.metadata.uid &&
        found.metadata.deletionTimestamp === undefined
      );
    },
    40_000,
  );
  await playKubelet(planes, twin, 'web', '10.244.3.7');
  await eventually('the new address', async () => (await localPod('web'))?.status?.podIP === '10.128.3.7');
});

test('a refused identity stops new pods, and a renewed one admits them', async () => {
  await setIdentity({ token: 'not.a.token' });
  await eventually('the taint', tainted, 20_000);
  assert.is(await ready(), 'True');
  assert.is((await localPod('web'))?.status?.phase, 'Running');
  await setIdentity({ token: await token() });
  await eventually('no taint', async () => !(await tainted()), 5000);
});

test('an unreachable API server stops new pods, and running ones continue', async () => {
  await setIdentity({ apiServerURL: 'https://127.0.0.1:1' });
  await eventually('the taint', tainted, 20_000);
  assert.is(await ready(), 'True');
  await eventually('the peering says it', async () =>
    /has not answered since .* new ones wait/.test(
      findCondition((await peering())?.status?.conditions, 'NodeReady')?.message ?? '',
    ),
  );
  assert.is((await localPod('web'))?.metadata.deletionTimestamp, undefined);
  await setIdentity({ apiServerURL: planes.provider.url });
  await eventually('no taint', async () => !(await tainted()), 5000);
});

test('a drain evicts pods, but not below their disruption budget', async () => {
  await planes.consumer.kubectl([
    'create',
    'pdb',
    'web',
    '-n',
    'shop',
    '--selector=app=web',
    '--min-available=1',
  ]);
  await eventually('the budget counts', async () => {
    const [allowed, healthy] = (
      await planes.consumer.kubectl([
        'get',
        'pdb',
        'web',
        '-n',
        'shop',
        '-o',
        'jsonpath={.status.observedGeneration} {.status.currentHealthy}',
      ])
    ).split(' ');
    return allowed === '1' && healthy === '1';
  });
  // As peering/ reads it from the provider's document.
  const desire = (providerDesired: string) =>
    planes.consumer.kube.patch(
      { kind: kind.outgoingPeering, name: providerID },
      { status: { providerDesired } },
      { type: 'merge', subresource: 'status' },
      planes.signal,
    );
  const schedulable = async () => findCondition((await peering())?.status?.conditions, 'Schedulable');
  await desire('Drained');
  await eventually('the free one leaves', async () => (await localPod('late')) === undefined);
  await eventually('the other is held, and told why', async () =>
    /EvictionBlocked/.test(await planes.consumer.kubectl(['get', 'events', '-n', 'shop'])),
  );
  assert.is((await localPod('web'))?.metadata.deletionTimestamp, undefined);
  await eventually('the peering says it', async () =>
    /drained by the provider .*: 1 pods .*\(shop\/web\); blocked by disruption budgets .*\(shop\/web\)/.test(
      (await schedulable())?.message ?? '',
    ),
  );
  await planes.consumer.kubectl(['delete', 'pdb', 'web', '-n', 'shop']);
  await eventually('then it leaves too', async () => (await localPod('web')) === undefined, 20_000);
  await eventually('it is drained', async () => (await schedulable())?.reason === 'Drained');
  await desire('Active');
  await eventually('it is active', async () => (await schedulable())?.status === 'True');
});

test('unpeering from a dead provider ends within its deadline, and names the residue', async () => {
  await eventually('schedulable', async () => (await node())?.spec?.unschedulable !== true);
  await runPod('last', '10.244.3.9');
  await setIdentity({ apiServerURL: 'https://127.0.0.1:1' });
  await eventually('the taint', tainted, 20_000);
  const begun = Date.now();
  await planes.consumer.kube.delete({ kind: kind.outgoingPeering, name: providerID }, {}, planes.signal);
  await eventually('no new pods meanwhile', async () => (await node())?.spec?.unschedulable === true);
  await eventually('gone', async () => (await peering()) === undefined, 30_000);
  assert.ok(Date.now() - begun < 20_000, `${Date.now() - begun} ms`);
  assert.is(await localPod('last'), undefined);
  assert.is(await node(), undefined);
  await eventually('said what is left', async () =>
    /could not be reached/.test(
      await planes.consumer.kubectl(['get', 'events', '-A', '--field-selector=reason=ResidueLeft']),
    ),
  );
});

test.run();
