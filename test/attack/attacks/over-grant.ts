import * as assert from 'uvu/assert';
import { findCondition } from '../../../shared/conditions.ts';
import { kind } from '../../../daemon/kube/index.ts';
import { namespace } from '../../support/installation.ts';
import { curl, tokenAdministrator } from '../../support/peered.ts';
import { eventually } from '../../support/workload.ts';
import type { Attack } from '../attack.ts';
import { apiVersion, ask, core, group, mergePatch, peeringCondition, reflected } from '../bed.ts';

const container = { name: 'm', image: 'x' };
const pods: [what: string, pod: object][] = [
  ['privileged', { containers: [{ ...container, securityContext: { privileged: true } }] }],
  ['hostpath', { containers: [container], volumes: [{ name: 'v', hostPath: { path: '/' } }] }],
  ['hostnetwork', { containers: [container], hostNetwork: true }],
  ['netraw', { containers: [{ ...container, securityContext: { capabilities: { add: ['NET_RAW'] } } }] }],
  ['huge', { containers: [{ ...container, resources: { requests: { cpu: '3' } } }] }],
];

export const overGrant: Attack = {
  name: 'more than the grant: pods, rights, and tokens issued for more than the owner lets',
  async play(bed) {
    const { provider, hostile, signal } = bed;
    let refused = 0;
    for (const [name, pod] of pods) {
      const path = group(apiVersion, hostile.twin, 'shadowpods');
      const made = await ask(hostile, signal, 'POST', path, {
        apiVersion,
        kind: 'ShadowPod',
        metadata: { name, labels: reflected },
        spec: { podUID: 'u', pod },
      });
      assert.is(made.status, 201, made.message);
      const ref = { kind: kind.shadowPod, namespace: hostile.twin, name };
      const condition = await eventually(`${name} to be judged`, 30, async () =>
        findCondition((await hostile.kube.get(ref, signal))?.status?.conditions, 'Admitted'),
      );
      assert.is(condition.status, 'False', `${name}: ${condition.message}`);
      const real = await provider.kubectl(['get', 'pods', '-n', hostile.twin, '-o', 'name']);
      assert.not.ok(real.split('\n').includes(`pod/${name}`), `${name} runs`);
      await ask(hostile, signal, 'DELETE', `${path}/${name}`);
      refused += 1;
    }

    await eventually('the peering to say so', 30, async () => {
      return (await peeringCondition(bed, hostile, 'WithinGrant'))?.status === 'False';
    });

    const tokenRequest = {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { expirationSeconds: 3600 },
    };
    const rights: [method: string, path: string, body: object, type?: string][] = [
      ['POST', group(apiVersion, namespace, 'peeringtokens'), { apiVersion, kind: 'PeeringToken' }],
      [
        'PATCH',
        `/apis/${apiVersion}/incomingpeerings/${hostile.id}`,
        { spec: { grant: { pods: 999 } } },
        mergePatch,
      ],
      ['PATCH', `/apis/${apiVersion}/localclusters/self`, { spec: { maximumGrant: null } }, mergePatch],
      ['POST', core(namespace, 'serviceaccounts/hawser-controller/token'), tokenRequest],
      ['POST', core(hostile.tenant, 'serviceaccounts/consumer/token'), tokenRequest],
      ['GET', core(namespace, 'secrets'), {}],
    ];
    for (const [method, path, body, type] of rights) {
      const { status, message } = await ask(
        hostile,
        signal,
        method,
        path,
        method === 'GET' ? undefined : body,
        type,
      );
      assert.is(status, 403, `${method} ${path}: ${message}`);
      refused += 1;
    }

    const administrator = await tokenAdministrator(provider);
    for (const [bearer, grant, expected] of [
      [hostile.identity.token, {}, [401, 403]],
      [administrator, { podSecurity: 'privileged' }, [400, 403, 422]],
      [administrator, { rawNetwork: true }, [400, 403, 422]],
      [administrator, { twinNamespaces: ['com'] }, [400, 403, 422]],
    ] as const) {
      const answer = await curl(`${hostile.gatewayURL}/v1/tokens`, bearer, {
        method: 'POST',
        body: JSON.stringify({ grant }),
      });
      assert.ok(
        (expected as readonly number[]).includes(answer.status),
        `${JSON.stringify(grant)}: ${answer.status} ${answer.body.slice(0, 200)}`,
      );
      refused += 1;
    }
    return {
      stopped: `admit(), RBAC and the grant policies: ${refused} of ${refused} refused`,
      seenAt: 'ShadowPod Admitted=False, IncomingPeering WithinGrant=False; the answer',
    };
  },
};
