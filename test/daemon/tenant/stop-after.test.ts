/** A consumer that is disconnected for long, against a real API server and with a clock that is advanced. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  createEvents,
  createInformers,
  kind,
  silentLog,
  type ControllerContext,
  type Lease,
} from '../../../daemon/kube/index.ts';
import { type Clock } from '../../../shared/time.ts';
import { runTenant } from '../../../daemon/tenant/index.ts';
import { presenceLease } from '../../../daemon/vnode/presence-lease.ts';
import type { ShadowPod } from '../../../shared/api/offloading.ts';
import { findCondition } from '../../../shared/conditions.ts';
import { annotations } from '../../../shared/names.ts';
import { Cluster, namespace } from '../clusters.ts';
import { eventually } from '../../support/eventually.ts';

const test = suite('a consumer that is away for long');
const apiVersion = 'hawser.dev/v1alpha1';
const peering = 'home-abc123';
const tenant = `hawser-tenant-${peering}`;
const twin = `shop-${peering}`;
const debouncer = 30_000;
let cluster: Cluster;
let controller: { stop: AbortController; ended: Promise<void> };
let ahead = 0;

/** The machine's time plus an offset; timers that are due by the offset fire soon. */
const clock: Clock = {
  now: () => Date.now() + ahead,
  monotonic: () => performance.now() + ahead,
  after(milliseconds, call) {
    const due = clock.now() + milliseconds;
    const timer = setInterval(() => {
      if (clock.now() < due) return;
      clearInterval(timer);
      call();
    }, 20);
    return () => clearInterval(timer);
  },
};

function startController(): void {
  const stop = new AbortController();
  const { kube } = cluster;
  const informers = createInformers(kube, { log: silentLog }, stop.signal);
  const context: ControllerContext = {
    kube,
    namespace,
    podIP: '127.0.0.1',
    podName: 'controller',
    nodeName: '',
    resolve: async () => [],
    version: '0.1.0',
    clock,
    log: silentLog,
    informer: (each, options) => informers.informer(each, options),
    events: createEvents({ kube, component: 'hawser-controller', instance: 'test', log: silentLog }),
  };
  const ended = runTenant(context, stop.signal).then(() => informers.ended());
  ended.catch(() => {});
  controller = { stop, ended };
}
async function stopController(): Promise<void> {
  controller.stop.abort(new Error('the test ends it'));
  await controller.ended.catch(() => {});
}

const getShadow = (name: string) =>
  cluster.kube.get<ShadowPod>({ kind: kind.shadowPod, namespace: twin, name }, cluster.signal);
const getPod = (name: string) => cluster.kube.get({ kind: kind.pod, namespace: twin, name }, cluster.signal);
const present = async () => {
  const found = await cluster.kube.get({ kind: kind.incomingPeering, name: peering }, cluster.signal);
  return findCondition(found?.status?.conditions, 'ConsumerPresent')?.status;
};
const presentIs = (status: string) =>
  eventually(`ConsumerPresent ${status}`, async () => (await present()) === status, debouncer);
/** Renews the lease like the consumer's controller, every ten seconds. Its clock is independent. */
let renewals = 0;
const renew = () =>
  cluster.kube.apply<Lease>(
    presenceLease(tenant, peering, Date.parse('2001-01-01T00:00:00Z') + 10_000 * ++renewals),
    { fieldManager: 'hawser-vnode' },
    cluster.signal,
  );
const createShadow = (name: string, podUID: string, onDisconnect?: ShadowPod['spec']['onDisconnect']) =>
  cluster.kube.create<ShadowPod>(
    {
      apiVersion,
      kind: 'ShadowPod',
      metadata: { name, namespace: twin },
      spec: {
        podUID,
        pod: { containers: [{ name: 'a', image: 'example.com/a:1' }], terminationGracePeriodSeconds: 0 },
        ...(onDisconnect && { onDisconnect }),
      },
    },
    cluster.signal,
  );
const vouch = (name: string, stoppedAt: string | undefined) =>
  cluster.kube.patch(
    { kind: kind.shadowPod, namespace: twin, name },
    { metadata: { annotations: { [annotations.resume]: stoppedAt } } },
    { type: 'merge' },
    cluster.signal,
  );
const stopAfter = { policy: 'StopAfter' as const, seconds: 600 };
const isStopped = (name: string) =>
  eventually(
    `${name} is stopped`,
    async () => {
      const found = await getShadow(name);
      return found?.status?.stoppedAt !== undefined && (await getPod(name)) === undefined && found;
    },
    debouncer,
  );
const runs = (name: string) => eventually(`${name} runs`, () => getPod(name), debouncer);

test.before(async () => {
  cluster = await Cluster.start({ name: 'away' });
  startController();
  await cluster.kube.create(
    {
      apiVersion,
      kind: 'IncomingPeering',
      metadata: { name: peering },
      spec: {
        remoteCluster: peering,
        peering: 'default',
        grant: { cpu: '4', memory: '8Gi', pods: 10, podSecurity: 'baseline' },
        desired: 'Active',
      },
    } as never,
    cluster.signal,
  );
  await eventually(
    'the tenant namespace',
    () => cluster.kube.get({ kind: kind.namespace, name: tenant }, cluster.signal),
    debouncer,
  );
  await cluster.kube.create(
    {
      apiVersion,
      kind: 'TwinNamespace',
      metadata: { name: 'shop', namespace: tenant },
      spec: { sourceNamespace: 'shop', sourceUID: 'u', namespace: twin },
    } as never,
    cluster.signal,
  );
  await eventually(
    'the twin',
    () => cluster.kube.get({ kind: kind.serviceAccount, namespace: twin, name: 'default' }, cluster.signal),
    debouncer,
  );
});
test.after(async () => {
  await stopController();
  await cluster?.stop();
});

test('a consumer is connected as long as it renews its lease', async () => {
  await createShadow('careful', 'uid-1', stopAfter);
  await createShadow('lasting', 'uid-2');
  await Promise.all([runs('careful'), runs('lasting')]);
  assert.is(await present(), undefined, 'it has not shown itself yet, and nothing is judged');
  await renew();
  await presentIs('True');
});

test('a disconnection shorter than the configured time has no effect', async () => {
  ahead += 41_000;
  await presentIs('False');
  ahead += 500_000;
  const careful = await runs('careful');
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.is((await getPod('careful'))?.metadata.uid, careful.metadata.uid);
});

test('after a longer one only pods with a limit are stopped, and a restart changes nothing', async () => {
  const lasting = await runs('lasting');
  ahead += 120_000;
  const shadow = await isStopped('careful');
  assert.is(findCondition(shadow.status?.conditions, 'Running')?.reason, 'StoppedOnDisconnect');
  await stopController();
  startController();
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  assert.is(await getPod('careful'), undefined);
  assert.is(await present(), 'False');
  assert.is((await getPod('lasting'))?.metadata.uid, lasting.metadata.uid);
});

test('a stopped pod runs again only after both the lease and its record are renewed, and only once', async () => {
  const { stoppedAt } = (await isStopped('careful')).status ?? {};
  await vouch('careful', stoppedAt);
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.is(await getPod('careful'), undefined, 'it may be a delayed message');
  await renew();
  await presentIs('True');
  await runs('careful');
  await eventually(
    'the record to say that it runs',
    async () => (await getShadow('careful'))?.status?.stoppedAt === undefined,
    debouncer,
  );
  // In the other order, with the confirmation of the former stop still present.
  ahead += 41_000;
  await presentIs('False');
  ahead += 601_000;
  const second = await isStopped('careful');
  assert.is.not(second.status?.stoppedAt, stoppedAt);
  await renew();
  await presentIs('True');
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.is(await getPod('careful'), undefined, 'the consumer has not confirmed that the pod still exists');
  await vouch('careful', second.status?.stoppedAt);
  await runs('careful');
});

test('a pod that was replaced meanwhile is never created again', async () => {
  ahead += 41_000;
  await presentIs('False');
  ahead += 601_000;
  await isStopped('careful');
  await renew();
  await presentIs('True');
  await cluster.kube.delete({ kind: kind.shadowPod, namespace: twin, name: 'careful' }, {}, cluster.signal);
  await eventually('the record is gone', async () => (await getShadow('careful')) === undefined, debouncer);
  await createShadow('careful', 'uid-3', stopAfter);
  const pod = await runs('careful');
  assert.is(pod.metadata.annotations?.[annotations.originPodUID], 'uid-3');
  const { items } = await cluster.kube.list(kind.pod, { namespace: twin }, cluster.signal);
  assert.equal(items.map(({ metadata }) => metadata.name).toSorted(), ['careful', 'lasting']);
});

test.run();
