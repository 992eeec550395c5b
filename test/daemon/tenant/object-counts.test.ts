/** A consumer that would fill the provider's etcd is stopped by counts, and both sides report it; real control planes. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  isAlreadyExists,
  isConflict,
  isNotFound,
  isQuotaExceeded,
  kind,
  type AnyObject,
  type KindRef,
  type KubeClient,
  type Secret,
} from '../../../daemon/kube/index.ts';
import { runReflection } from '../../../daemon/reflect/index.ts';
import { objectQuotaName } from '../../../daemon/tenant/names.ts';
import { runVirtualNodes } from '../../../daemon/vnode/index.ts';
import type { NamespaceOffloading } from '../../../shared/api/offloading.ts';
import { findCondition } from '../../../shared/conditions.ts';
import { secrets, tenantNamespace, twinName } from '../../../shared/names.ts';
import * as testbed from '../../testbed/index.ts';
import {
  consumerID,
  hawserNamespace,
  meet,
  providerID,
  refusalsCounted,
  upPlanes,
  virtualNode,
  type Planes,
} from '../vnode/planes.ts';
import { eventually } from '../../support/eventually.ts';
import { connectKube } from '../../../daemon/clients/kubernetes/index.ts';

const test = suite('objects of a consumer are counted');
const tenant = tenantNamespace(consumerID, 'default');
const twin = twinName('shop', consumerID);
/** The limits of a grant of 20 pods: `object-limits.ts`. */
const most = { configMaps: 80, secrets: 80, services: 48, slices: 192, shadowPods: 80, twins: 20 };
/** Kubernetes discovers new kinds every half minute. */
const untilCounted = 120_000;

let planes: Planes;
/** A client with the consumer's identity. */
let hostile: KubeClient;

const offload = async (namespace: string) => {
  const { kube } = planes.consumer;
  await kube.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } }, planes.signal);
  await kube.create(
    {
      apiVersion: 'hawser.dev/v1alpha1',
      kind: 'NamespaceOffloading',
      metadata: { name: 'offloading', namespace },
      spec: { podPlacement: 'Remote' },
    },
    planes.signal,
  );
};
const offloadingCondition = async (namespace: string, type: string) => {
  const ref = { kind: kind.namespaceOffloading, namespace, name: 'offloading' };
  const found = await planes.consumer.kube.get<NamespaceOffloading>(ref, planes.signal);
  return type === 'Bound'
    ? findCondition(found?.status?.remotes?.[0]?.conditions, type)
    : findCondition(found?.status?.conditions, type);
};
const available = async () => {
  const found = await planes.provider.kube.get(
    { kind: kind.incomingPeering, name: consumerID },
    planes.signal,
  );
  return findCondition(found?.status?.conditions, 'ObjectsAvailable');
};

test.before(async () => {
  planes = await upPlanes(testbed);
  const { context } = planes.consumer;
  planes.started.push(runVirtualNodes(context, planes.signal), runReflection(context, planes.signal));
  await meet(planes);
  await offload('shop');
  const ref = { kind: kind.secret, namespace: hawserNamespace, name: secrets.identity(providerID) };
  const { data } = (await planes.consumer.kube.get<Secret>(ref, planes.signal)) ?? {};
  const { token } = JSON.parse(Buffer.from(data?.['identity.json'] ?? '', 'base64').toString()) as {
    token: string;
  };
  hostile = connectKube({ url: planes.provider.url, ca: planes.provider.ca, token: () => token });
  for (const [namespace, counted] of [
    [tenant, 'count/twinnamespaces.hawser.dev'],
    [twin, 'count/shadowpods.hawser.dev'],
  ] as const) {
    await eventually(
      `${counted} is counted in ${namespace}`,
      async () => {
        const quota = { kind: kind.resourceQuota, namespace, name: objectQuotaName };
        return (await planes.provider.kube.get(quota, planes.signal))?.status?.used?.[counted] !== undefined;
      },
      untilCounted,
    );
  }
});
test.after(async () => {
  hostile?.close();
  await planes?.stop();
});

/** Ends every real pod at once, like a kubelet whose containers exit with 0, until the signal is aborted. */
async function endAll(signal: AbortSignal): Promise<void> {
  const { kube } = planes.provider;
  while (!signal.aborted) {
    const { items } = await kube.list(kind.pod, { namespace: twin }, planes.signal);
    const living = items.filter(
      ({ metadata, status }) => metadata.deletionTimestamp === undefined && status?.phase === 'Pending',
    );
    for (const { metadata } of living)
      await kube
        .patch(
          { kind: kind.pod, namespace: twin, name: metadata.name },
          { status: { phase: 'Succeeded' } },
          { type: 'merge', subresource: 'status' },
          planes.signal,
        )
        .catch((error: unknown) => {
          if (!isNotFound(error)) throw error;
        });
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

test('a Job with more completions than the limit of records completes', async () => {
  const completions = most.shadowPods + 64;
  const job = {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: 'long', namespace: 'shop' },
    spec: {
      completions,
      parallelism: 20,
      template: {
        spec: {
          restartPolicy: 'Never',
          nodeSelector: { 'hawser.dev/virtual-node': 'true' },
          tolerations: [{ key: 'hawser.dev/virtual-node', operator: 'Exists' }],
          containers: [{ name: 'main', image: 'pause' }],
        },
      },
    },
  };
  await planes.consumer.kubectl(['create', '-f', '-'], { input: JSON.stringify(job) });
  const stop = new AbortController();
  const ending = endAll(stop.signal);
  const show = ['get', 'job', 'long', '-n', 'shop', '-o', 'jsonpath={.status.succeeded}'];
  try {
    await eventually(
      'all of it has ended',
      async () => Number(await planes.consumer.kubectl(show)) === completions,
      300_000,
    );
  } finally {
    stop.abort();
    await ending;
  }
  const records = (await planes.provider.kube.list(kind.shadowPod, { namespace: twin }, planes.signal)).items;
  assert.ok(records.length < most.shadowPods, `${records.length} records are left`);
  assert.is((await available())?.status, 'True');
  await planes.consumer.kubectl([
    'delete',
    'job',
    'long',
    '-n',
    'shop',
    '--cascade=foreground',
    '--timeout=60s',
  ]);
  await eventually(
    'the records of its pods are gone',
    async () =>
      (await planes.provider.kube.list(kind.shadowPod, { namespace: twin }, planes.signal)).items.length ===
      0,
    60_000,
  );
});

/** Creates objects until one is refused; returns their number. */
async function fill(
  of: KindRef,
  namespace: string,
  object: (name: string) => object,
  bound: number,
): Promise<number> {
  const names = Array.from({ length: bound + 8 }, (_, index) => `filler-${index}`).values();
  let refused = 0;
  const makeOne = async (name: string): Promise<void> => {
    const made = {
      apiVersion: of.apiVersion,
      kind: of.kind,
      // Without the label by which the consumer's own controller would delete them.
      metadata: { name, namespace },
      ...object(name),
    } as AnyObject;
    for (;;) {
      try {
        await hostile.create(made, planes.signal);
        return;
      } catch (error) {
        // Kubernetes updates the quota's count concurrently and gives up after three conflicts (409).
        if (!isConflict(error) || isAlreadyExists(error)) throw error;
      }
    }
  };
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (const name of names) {
        try {
          await makeOne(name);
        } catch (error) {
          assert.ok(isQuotaExceeded(error), String(error));
          refused++;
          return;
        }
      }
    }),
  );
  assert.ok(refused > 0, `${of.kind}: nothing was refused`);
  return (await planes.provider.kube.list(of, { namespace }, planes.signal)).items.length;
}

const slice = () => ({ addressType: 'IPv4', endpoints: [] });
const shadow = (name: string) => ({
  spec: { podUID: name, pod: { containers: [{ name: 'm', image: 'x' }] } },
});
const ghost = (name: string) => ({ spec: { sourceNamespace: name, sourceUID: name, namespace: name } });

test('each kind that it may write is limited, in the twin and in the tenant namespace', async () => {
  const cases: [KindRef, string, (name: string) => object, number][] = [
    [kind.configMap, twin, () => ({ data: { a: 'b' } }), most.configMaps],
    [kind.secret, twin, () => ({ stringData: { a: 'b' } }), most.secrets],
    [kind.endpointSlice, twin, slice, most.slices],
    [kind.shadowPod, twin, shadow, most.shadowPods],
    [kind.twinNamespace, tenant, ghost, most.twins],
    [kind.lease, tenant, () => ({ spec: {} }), 2],
    [kind.service, twin, () => ({ spec: { ports: [{ port: 1 }] } }), most.services],
  ];
  for (const [of, namespace, object, bound] of cases)
    assert.is(await fill(of, namespace, object, bound), bound, of.kind);
});

test('the provider reports which limits are reached, and counts refusals', async () => {
  const condition = await eventually('ObjectsAvailable is false', async () => {
    const found = await available();
    return found?.status === 'False' && /6 more|more:/.test(found.message) ? found : undefined;
  });
  assert.is(condition.reason, 'ObjectsExhausted');
  assert.match(
    condition.message,
    new RegExp(
      `${tenant} has reached its limit of 20 count/twinnamespaces.hawser.dev|${tenant} has reached its limit of 20 twinnamespaces.hawser.dev`,
    ),
  );
  assert.match(
    condition.message,
    /further objects of home are refused until some are deleted or more pods are granted/,
  );
  const full = refusalsCounted(planes.provider, consumerID, 'Object');
  assert.ok(full >= 7, `${full} counted`);
});

test('the consumer reports it on the pod, on the namespace, and on the surplus twin namespace', async () => {
  const { kube } = planes.consumer;
  await kube.create(
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'used', namespace: 'shop' } },
    planes.signal,
  );
  await eventually('an account', () =>
    kube.get({ kind: kind.serviceAccount, namespace: 'shop', name: 'default' }, planes.signal),
  );
  await kube.create(
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'late', namespace: 'shop' },
      spec: {
        nodeName: virtualNode,
        containers: [{ name: 'main', image: 'x', envFrom: [{ configMapRef: { name: 'used' } }] }],
      },
    },
    planes.signal,
  );
  const pod = await eventually('the pod says it', async () => {
    const found = await kube.get({ kind: kind.pod, namespace: 'shop', name: 'late' }, planes.signal);
    return found?.status?.reason === 'RefusedByProvider' && found;
  });
  assert.match(pod.status?.message ?? '', /stores no further pods .* exceeded quota: hawser-objects/s);
  const reflected = await eventually('the namespace says it', async () => {
    const found = await offloadingCondition('shop', 'Reflected');
    return found?.status === 'False' && found;
  });
  assert.is(reflected.reason, 'NoRoom');
  assert.match(
    reflected.message,
    /^Some objects that pods use could not be reflected; .* farm: .*exceeded quota/s,
  );
  await offload('one-more');
  const bound = await eventually('the twin says it', async () => {
    const found = await offloadingCondition('one-more', 'Bound');
    return found?.reason === 'ProviderRefused' && found;
  });
  assert.match(bound.message, /exceeded quota: hawser-objects/);
});

test('room is used as soon as there is some, and the report ends', async () => {
  const makeRoom = async (of: KindRef) => {
    const { items } = await hostile.list(of, { namespace: twin }, planes.signal);
    const fillers = items.filter(({ metadata }) => metadata.name.startsWith('filler-')).slice(0, 5);
    for (const { metadata } of fillers)
      await hostile.delete({ kind: of, namespace: twin, name: metadata.name }, {}, planes.signal);
  };
  await makeRoom(kind.shadowPod);
  await makeRoom(kind.configMap);
  await eventually(
    'the pod is taken',
    () => planes.provider.kube.get({ kind: kind.shadowPod, namespace: twin, name: 'late' }, planes.signal),
    90_000,
  );
  await eventually(
    'nothing is said of ShadowPods any more, and of the namespace nothing at all',
    async () => {
      const found = await available();
      const reflected = await offloadingCondition('shop', 'Reflected');
      return !found?.message.includes('all 256 shadowpods') && reflected?.status === 'True';
    },
    90_000,
  );
});

test.run();
