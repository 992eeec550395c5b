import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { AddressMapping, Tunnel } from '../../../shared/api/network.ts';
import type { EndpointSlice, Pod, Service } from '../../../daemon/kube/index.ts';
import { translatorFor } from '../../../daemon/reflect/addresses.ts';
import {
  reflectedConfigMap,
  reflectedSecret,
  reflectedService,
  reflectedSlice,
} from '../../../daemon/reflect/objects.ts';
import { planReflection } from '../../../daemon/reflect/plan.ts';
import { usedBy } from '../../../daemon/reflect/used.ts';

const test = suite('reflection');
const target = { namespace: 'shop-home', consumer: 'home', source: 'shop' };
const configMap = (data: Record<string, string> = { a: '1' }) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'settings', namespace: 'shop', labels: { theirs: 'x' } },
  data,
  immutable: true,
});

test('pods use the objects named by volumes, environments and image pull secrets', () => {
  const pod = (spec: Record<string, unknown>, phase = 'Pending'): Pod => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p' },
    spec: { containers: [], ...spec },
    status: { phase },
  });
  const used = usedBy([
    pod({
      imagePullSecrets: [{ name: 'pull' }],
      volumes: [
        { name: '1', configMap: { name: 'c-volume' } },
        { name: '2', secret: { secretName: 's-volume' } },
        {
          name: '3',
          projected: {
            sources: [{ configMap: { name: 'c-projected' } }, { secret: { name: 's-projected' } }],
          },
        },
        { name: '4', projected: { sources: [{ configMap: { name: 'kube-root-ca.crt' } }] } },
      ],
      initContainers: [{ name: 'i', envFrom: [{ configMapRef: { name: 'c-init' } }] }],
      containers: [
        {
          name: 'c',
          envFrom: [{ secretRef: { name: 's-from' } }],
          env: [
            { name: 'A', valueFrom: { configMapKeyRef: { name: 'c-key', key: 'k' } } },
            { name: 'B', valueFrom: { secretKeyRef: { name: 's-key', key: 'k' } } },
          ],
        },
      ],
    }),
    pod({ volumes: [{ name: '1', secret: { secretName: 'of-the-past' } }] }, 'Succeeded'),
  ]);
  assert.equal([...used.configMaps].toSorted(), ['c-init', 'c-key', 'c-projected', 'c-volume']);
  assert.equal([...used.secrets].toSorted(), ['pull', 's-from', 's-key', 's-projected', 's-volume']);
});

test('service account tokens are not reflected', () => {
  const secret = (type: string) => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 's' },
    type,
    data: { a: 'YQ==' },
  });
  assert.is(reflectedSecret(secret('kubernetes.io/service-account-token'), target), undefined);
  assert.is(reflectedSecret(secret('kubernetes.io/tls'), target)?.type, 'kubernetes.io/tls');
});

test('Services lose fields that would expose the provider', () => {
  const source: Service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web' },
    spec: {
      type: 'LoadBalancer',
      clusterIP: '10.96.0.9',
      externalIPs: ['1.2.3.4'],
      selector: { app: 'web' },
      ports: [{ name: 'http', port: 80, targetPort: 8080, nodePort: 30080, protocol: 'TCP' }],
      externalTrafficPolicy: 'Local',
      sessionAffinity: 'ClientIP',
    },
  };
  assert.equal(reflectedService(source, target)?.spec, {
    type: 'ClusterIP',
    ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
    sessionAffinity: 'ClientIP',
  });
  assert.is(reflectedService({ ...source, spec: { clusterIP: 'None' } }, target)?.spec?.clusterIP, 'None');
  const alias = (externalName?: string) =>
    reflectedService(
      { ...source, spec: { type: 'ExternalName', ...(externalName && { externalName }) } },
      target,
    )?.spec;
  assert.equal(alias('db.example.com'), { type: 'ExternalName', externalName: 'db.example.com' });
  for (const name of [
    undefined,
    'vault.kube-system.svc.cluster.local',
    'kubernetes.default.svc',
    'a.b.pod.k8s',
    'x.SVC',
  ])
    assert.is(alias(name), undefined, name ?? 'no name');
  const own = { ...source, metadata: { name: 'kubernetes' } };
  assert.is(reflectedService(own, { ...target, source: 'default' }), undefined);
});

const tunnel = (remoteCluster: string, remaps: [string, string][], remoteRemaps: [string, string][] = []) =>
  ({
    spec: {
      remoteCluster,
      remaps: remaps.map(([real, mapped]) => ({ real, mapped, state: 'InUse' })),
      remoteRemaps: remoteRemaps.map(([real, mapped]) => ({ real, mapped })),
    },
  }) as unknown as Tunnel;
const farm = tunnel(
  'farm',
  [['10.244.0.0/16', '10.128.0.0/16']],
  [
    ['10.244.0.0/16', '10.200.0.0/16'],
    ['100.64.16.0/20', '100.70.16.0/20'],
  ],
);
const barn = tunnel('barn', [['10.244.0.0/16', '10.129.0.0/16']]);
test('addresses are translated to the provider’s', () => {
  const translate = translatorFor(farm, [barn], []);
  assert.is(translate('10.128.3.4'), '10.244.3.4', 'a pod that runs there');
  assert.is(translate('10.244.1.2'), '10.200.1.2', 'a pod of this cluster');
  assert.is(translate('10.129.1.2'), undefined, 'a pod at a third cluster');
  assert.is(translate('192.168.0.1'), undefined, 'a host');
});

test('a pod at a third cluster has its mapped address while that is programmed', () => {
  const mappings = (changes: Partial<AddressMapping['spec']> = {}, programmed: 'True' | 'False' = 'True') =>
    ({
      metadata: { name: 'mapping-100-64-24-0' },
      spec: {
        address: '100.64.24.0',
        target: '10.129.1.2',
        remoteClusters: ['farm'],
        pod: { namespace: 'shop', name: 'p', uid: 'u' },
        ...changes,
      },
      status: { conditions: [{ type: 'Programmed', status: programmed }] },
    }) as unknown as AddressMapping;
  const cases: [string, AddressMapping[], string | undefined][] = [
    ['in the provider’s terms', [mappings()], '100.70.24.0'],
    ['not before it works', [mappings({}, 'False')], undefined],
    ['not what is lent to another', [mappings({ remoteClusters: ['mill'] })], undefined],
    ['not what drains', [mappings({ drainingSince: '2026-01-01T00:00:00Z' })], undefined],
    ['not another pod’s', [mappings({ target: '10.129.1.3' })], undefined],
    ['not what the provider has no name for', [mappings({ address: '100.65.0.1' })], undefined],
  ];
  for (const [what, list, expected] of cases) {
    assert.is(translatorFor(farm, [barn], list)('10.129.1.2'), expected, what);
    assert.is(translatorFor(farm, [barn], list)('10.128.3.4'), '10.244.3.4', 'others as ever');
  }
});

const slice: EndpointSlice = {
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: 'web-x', labels: { 'kubernetes.io/service-name': 'web' } },
  addressType: 'IPv4',
  endpoints: [
    {
      addresses: ['10.128.3.4'],
      conditions: { ready: true, serving: true, terminating: false },
      nodeName: 'hawser-farm',
      hostname: 'db-0',
      targetRef: { kind: 'Pod', name: 'db-0' },
    },
    { addresses: ['10.244.1.2'], conditions: { ready: false } },
    { addresses: ['192.168.0.1'] },
  ],
  ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
};
test('slices keep reachable endpoints, without node names', () => {
  const made = reflectedSlice(slice, target, translatorFor(farm, [barn], []));
  assert.equal(made?.endpoints, [
    {
      addresses: ['10.244.3.4'],
      conditions: { ready: true, serving: true, terminating: false },
      hostname: 'db-0',
    },
    { addresses: ['10.200.1.2'], conditions: { ready: false, serving: false, terminating: false } },
  ]);
  assert.is(made?.metadata.labels?.['hawser.dev/service-name'], 'web');
  assert.is(made?.metadata.labels?.['kubernetes.io/service-name'], undefined);
  assert.is(
    reflectedSlice({ ...slice, addressType: 'FQDN' }, target, () => 'x'),
    undefined,
  );
});

test('matching objects are unchanged, and defaults of the API server are no difference', () => {
  const wanted = reflectedConfigMap(configMap(), target);
  const present = { ...wanted, metadata: { ...wanted.metadata, uid: 'u', resourceVersion: '7' } };
  assert.equal(planReflection([wanted], [present]), { create: [], replace: [], remove: [] });
  const service = reflectedService(
    { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web' }, spec: { ports: [{ port: 80 }] } },
    target,
  )!;
  const there: Service = {
    ...service,
    spec: {
      ...service.spec,
      clusterIP: '10.96.3.3',
      clusterIPs: ['10.96.3.3'],
      sessionAffinity: 'None',
      internalTrafficPolicy: 'Cluster',
      ports: [{ port: 80, protocol: 'TCP', targetPort: 80 }],
    },
  };
  assert.equal(planReflection([service], [there]), { create: [], replace: [], remove: [] });
});

test('updates use the version that was read, and keep fields that the provider assigned', () => {
  const wanted = reflectedConfigMap(configMap({ a: '2' }), target);
  const old = reflectedConfigMap(configMap(), target);
  const present = { ...old, metadata: { ...old.metadata, uid: 'u', resourceVersion: '7' } };
  const plan = planReflection([wanted], [present]);
  assert.is(plan.replace[0]?.metadata.resourceVersion, '7');
  assert.is(plan.replace[0]?.metadata.uid, 'u');
});

test('immutable changes recreate the object, surplus objects are deleted, and deletions are awaited', () => {
  const secret = (type: string) =>
    reflectedSecret({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' }, type }, target)!;
  assert.is(planReflection([secret('kubernetes.io/tls')], [secret('Opaque')]).remove.length, 1);
  const old = reflectedConfigMap(configMap(), target);
  assert.equal(planReflection([], [old]).remove, [old]);
  const leaving = { ...old, metadata: { ...old.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } };
  assert.equal(planReflection([old], [leaving]), { create: [], replace: [], remove: [] });
  assert.equal(planReflection([], [leaving]).remove, []);
});

test.run();
