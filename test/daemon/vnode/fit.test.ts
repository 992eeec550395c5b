import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Pod } from '../../../daemon/kube/index.ts';
import { admit } from '../../../daemon/tenant/admit.ts';
import { nothing } from '../../../daemon/tenant/usage.ts';
import { reviewPod } from '../../../daemon/vnode/admission-reviews.ts';
import { misfitOf } from '../../../daemon/vnode/fit.ts';
import { offeredPodSpec } from '../../../daemon/vnode/shadow-pod.ts';
import { pod as podWith, withContainer as specWith } from '../../support/objects.ts';

const test = suite('pods that no provider runs');

const pod = (spec: object = {}): Pod => podWith({ spec });
const withContainer = (more: object): Pod => pod(specWith(more));
const withVolume = (more: Record<string, unknown>) => pod({ volumes: [{ name: 'v', ...more }] });
/** The maximal grant: every provider refuses what it refuses. */
const everything = {
  cpu: '1000',
  memory: '1Ti',
  pods: 1000,
  podSecurity: 'privileged' as const,
};

const misfits: [field: string, pod: Pod][] = [
  ['hostNetwork', pod({ hostNetwork: true })],
  ['hostPID', pod({ hostPID: true })],
  ['hostIPC', pod({ hostIPC: true })],
  ['runtimeClassName', pod({ runtimeClassName: 'gvisor' })],
  ['resourceClaims', pod({ resourceClaims: [{ name: 'gpu' }] })],
  ['resources', pod({ resources: { requests: { cpu: '1' } } })],
  ['hostnameOverride', pod({ hostnameOverride: 'other' })],
  ['dnsPolicy', pod({ dnsPolicy: 'ClusterFirstWithHostNet' })],
  ['volumes[0].hostPath', withVolume({ hostPath: { path: '/' } })],
  ['volumes[0].persistentVolumeClaim', withVolume({ persistentVolumeClaim: { claimName: 'data' } })],
  ['volumes[0].ephemeral', withVolume({ ephemeral: { volumeClaimTemplate: { spec: {} } } })],
  ['volumes[0].csi', withVolume({ csi: { driver: 'd' } })],
  ['volumes[0].nfs', withVolume({ nfs: { server: 's', path: '/' } })],
  ['volumes[0].iscsi', withVolume({ iscsi: { iqn: 'i' } })],
  [
    'volumes[0].projected.sources[0].serviceAccountToken',
    withVolume({ projected: { sources: [{ serviceAccountToken: { path: 'token', audience: 'vault' } }] } }),
  ],
  ['containers[0].ports[0].hostPort', withContainer({ ports: [{ containerPort: 80, hostPort: 80 }] })],
  ['containers[0].volumeDevices', withContainer({ volumeDevices: [{ name: 'd', devicePath: '/dev/x' }] })],
  [
    'containers[0].volumeMounts[0].mountPropagation',
    withContainer({ volumeMounts: [{ name: 'v', mountPath: '/v', mountPropagation: 'Bidirectional' }] }),
  ],
  ['containers[0].resources.claims', withContainer({ resources: { claims: [{ name: 'gpu' }] } })],
  ['containers[0].securityContext.procMount', withContainer({ securityContext: { procMount: 'Unmasked' } })],
];
for (const [field, given] of misfits) {
  test(`${field}: refused where pods run at providers only, kept at home where they may run there`, () => {
    assert.is(misfitOf(given)?.field, field);
    const remote = reviewPod('u', 'shop', given, { podPlacement: 'Remote' });
    assert.is(remote.allowed, false);
    assert.match(remote.status?.message ?? '', `spec.${field}: `);
    assert.match(remote.status?.message ?? '', '--placement LocalAndRemote');
    const either = reviewPod('u', 'shop', given, { podPlacement: 'LocalAndRemote' });
    assert.ok(either.allowed);
    assert.is(either.patch, undefined, 'it gets no toleration of virtual nodes');
    assert.match(either.warnings?.join() ?? '', 'runs in this cluster');
  });
  test(`${field}: a provider refuses it for any grant`, () => {
    assert.not.ok(admit(offeredPodSpec(given), everything, nothing).admitted);
  });
}

const fitting: [string, Pod][] = [
  ['an ordinary pod', pod()],
  [
    'fields that say nothing',
    pod({ hostNetwork: false, runtimeClassName: '', resources: {}, resourceClaims: [] }),
  ],
  [
    'the token volume that admission adds',
    pod({
      volumes: [
        {
          name: 'kube-api-access-x1y2z',
          projected: { sources: [{ serviceAccountToken: { path: 'token' } }] },
        },
        { name: 'c', configMap: { name: 'c' } },
        { name: 'e', emptyDir: {} },
      ],
    }),
  ],
  ['a port without a host port', withContainer({ ports: [{ containerPort: 80 }] })],
];
for (const [name, given] of fitting)
  test(`may be offloaded: ${name}`, () => {
    assert.is(misfitOf(given), undefined);
    assert.ok(reviewPod('u', 'shop', given, { podPlacement: 'Remote' }).patch);
  });

test('a pod that tolerates every taint and fits no provider is kept away from virtual nodes', () => {
  const given = pod({ hostNetwork: true, tolerations: [{ operator: 'Exists' }] });
  const { patch = '' } = reviewPod('u', 'shop', given, { podPlacement: 'LocalAndRemote' });
  assert.match(Buffer.from(patch, 'base64').toString(), '"operator":"DoesNotExist"');
});

test('a DaemonSet’s pod is not changed', () => {
  const given = pod({ hostNetwork: true });
  given.metadata.ownerReferences = [
    { apiVersion: 'apps/v1', kind: 'DaemonSet', name: 'd', uid: 'd', controller: true },
  ];
  assert.equal(reviewPod('u', 'shop', given, { podPlacement: 'Remote' }), { uid: 'u', allowed: true });
});

test.run();
