/** Pods requested by a hostile consumer: beyond its grant, with forbidden fields, and a hundred at once. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { kind } from '../../../daemon/kube/index.ts';
import { findCondition } from '../../../shared/conditions.ts';
import { logHookFailure } from '../../support/log-hook-failure.ts';
import { eventually } from '../../support/eventually.ts';
import {
  admin,
  alice,
  startHostileConsumer,
  stopHostileConsumer,
  grantedPods,
  hostile,
  mallory,
  recordAttempt,
  refusalsCounted,
  shadowOf,
  signal,
  printAttempts,
  withinGrant,
} from './hostile-setting.ts';
import { withContainer } from '../../support/objects.ts';

const test = suite('a hostile consumer: pods');

test.before(logHookFailure(startHostileConsumer));
test.after(stopHostileConsumer);

const hostPathVolume = { volumes: [{ name: 'v', hostPath: { path: '/' } }] };
const tokenVolume = {
  volumes: [{ name: 'v', projected: { sources: [{ serviceAccountToken: { path: 'token' } }] } }],
};

test('a pod beyond the grant is not created', async () => {
  const cases: [what: string, pod: object, field: RegExp][] = [
    ['mount a host path', hostPathVolume, /hostPath/],
    ['a token of the provider’s API server', tokenVolume, /serviceAccountToken/],
    ['set a node name', { nodeName: 'node-1' }, /nodeName/],
    [
      'select provider nodes',
      { nodeSelector: { 'node-role.kubernetes.io/control-plane': '' } },
      /nodeSelector/,
    ],
    ['the node’s network', { hostNetwork: true }, /hostNetwork/],
    ['the node’s processes', { hostPID: true }, /hostPID/],
    ['a privileged container', withContainer({ securityContext: { privileged: true } }), /privileged/],
    [
      'CAP_NET_ADMIN',
      withContainer({ securityContext: { capabilities: { add: ['NET_ADMIN'] } } }),
      /capabilities/,
    ],
    ['a port of the node', withContainer({ ports: [{ containerPort: 80, hostPort: 80 }] }), /hostPort/],
    [
      'a probe of the metadata service by the node',
      withContainer({ livenessProbe: { httpGet: { port: 80, host: '169.254.169.254' } } }),
      /host/,
    ],
    ['a priority class', { priorityClassName: 'system-node-critical' }, /priorityClassName/],
    ['a runtime class', { runtimeClassName: 'any' }, /runtimeClassName/],
    ['a field that is not known', { unheardOf: true }, /unheardOf/],
  ];
  for (const [index, [what, pod, field]] of cases.entries()) {
    const name = `bad-${index}`;
    await hostile.create(shadowOf(mallory, name, pod), signal);
    const condition = await eventually(`${what} is refused`, async () => {
      const found = await admin.get({ kind: kind.shadowPod, namespace: mallory.twin, name }, signal);
      return findCondition(found?.status?.conditions, 'Admitted');
    });
    assert.is(condition.status, 'False', what);
    assert.match(condition.message, field);
    assert.is(await admin.get({ kind: kind.pod, namespace: mallory.twin, name }, signal), undefined);
    recordAttempt(`pod: ${what}`, `admit(), condition Admitted: ${condition.message.slice(0, 90)}`);
    await hostile.delete({ kind: kind.shadowPod, namespace: mallory.twin, name }, {}, signal);
  }
});

test('scheduling, accounts and labels of a pod are ignored', async () => {
  const request = {
    tolerations: [{ operator: 'Exists' }],
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [{ matchExpressions: [{ key: 'a', operator: 'Exists' }] }],
        },
      },
    },
    schedulerName: 'mine',
    priority: 2_000_000_000,
    serviceAccountName: 'hawser-controller',
    automountServiceAccountToken: true,
  };
  await hostile.create(
    shadowOf(mallory, 'meek', request, { 'hawser.dev/origin': alice.id, 'hawser.dev/peering': alice.id }),
    signal,
  );
  const pod = await eventually('the pod', () =>
    admin.get({ kind: kind.pod, namespace: mallory.twin, name: 'meek' }, signal),
  );
  // Kubernetes itself adds two tolerations for lost nodes (DefaultTolerationSeconds).
  const tolerations = (pod.spec?.['tolerations'] ?? []) as { key?: string }[];
  assert.ok(
    tolerations.every(
      ({ key }) => key === 'node.kubernetes.io/not-ready' || key === 'node.kubernetes.io/unreachable',
    ),
  );
  assert.is(pod.spec?.['affinity'], undefined);
  assert.is(pod.spec?.['schedulerName'], 'default-scheduler');
  assert.is(pod.spec?.['priority'], 0);
  assert.is(pod.spec?.serviceAccountName, 'default');
  assert.is(pod.spec?.['automountServiceAccountToken'], false);
  assert.not.ok(JSON.stringify(pod.spec?.volumes ?? []).includes('serviceAccountToken'));
  assert.is(pod.metadata.labels?.['hawser.dev/origin'], mallory.id);
  recordAttempt(
    'pod: tolerate everything, an affinity, a priority',
    'admit() drops them: scheduling is the provider’s',
  );
  recordAttempt('pod: another service account, its token', 'admit() drops them: account default, no token');
  recordAttempt('pod: labels of another tenant', 'the provider’s own labels replace them');
});

test('a hundred pods at once get exactly what is granted', async () => {
  await Promise.all(
    Array.from({ length: 100 }, (_, index) => hostile.create(shadowOf(mallory, `crowd-${index}`), signal)),
  );
  const decided = await eventually(
    'all are decided',
    async () => {
      const { items } = await admin.list(kind.shadowPod, { namespace: mallory.twin }, signal);
      const admitted = items.map(({ status }) => findCondition(status?.conditions, 'Admitted'));
      return items.length >= 100 && admitted.every((one) => one !== undefined) && admitted;
    },
    60_000,
  );
  const pods = (await admin.list(kind.pod, { namespace: mallory.twin }, signal)).items;
  assert.is(pods.length, grantedPods);
  assert.is(decided.filter((one) => one?.status === 'True').length, grantedPods);
  assert.ok(decided.filter((one) => one?.status === 'False').every((one) => one?.reason === 'QuotaExceeded'));
  recordAttempt(
    'a hundred ShadowPods at once',
    `admit() with one ledger: ${pods.length} of ${grantedPods} granted pods made, ${decided.length - pods.length} refused`,
  );
});

test('all refusals are counted, and reported in the peering', async () => {
  await eventually('WithinGrant is false', async () => (await withinGrant(mallory))?.status === 'False');
  assert.is((await withinGrant(alice))?.status, 'True');
  const [pods, room] = [await refusalsCounted('Pod'), await refusalsCounted('Room')];
  assert.is(pods, 13);
  assert.ok(room >= 95, `${room}`);
  console.log(`\n  hawser_refusals_total: Pod ${pods}, Room ${room}`);
});

test('the table of attempts is printed', () => printAttempts(17));

test.run();
