import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  keyHere,
  labelChanges,
  labelsHere,
  restrictedLabels,
  restrictions,
  selectorHere,
} from '../../../daemon/tenant/pod-labels.ts';
import { realPod } from '../../../daemon/tenant/real-pod.ts';
import type { ShadowPod } from '../../../shared/api/offloading.ts';
import type { ShadowPolicy } from '../../../shared/api/policies.ts';

const policy = (
  podSelector: ShadowPolicy['spec']['podSelector'],
  policyTypes: ShadowPolicy['spec']['policyTypes'],
  carried: 'True' | 'False' | 'not yet' = 'True',
) =>
  ({
    metadata: { name: 'p' },
    spec: { podSelector, policyTypes },
    status: { conditions: carried === 'not yet' ? [] : [{ type: 'Carried', status: carried }] },
  }) as unknown as ShadowPolicy;

test('annotations that could have an effect here are dropped, with or without a prefix', () => {
  const table: [key: string, kept: boolean][] = [
    ['note', true],
    ['checksum/config', true],
    ['kubectl.kubernetes.io/restartedAt', true],
    ['example.com/x', false],
    ['io.katacontainers.config.hypervisor.kernel', false],
    ['io.kubernetes.cri-o.Devices', false],
  ];
  const annotations = Object.fromEntries(table.map(([key]) => [key, 'x']));
  const shadow = {
    metadata: { name: 'a', namespace: 'b', uid: 'u' },
    spec: { podUID: 'p', annotations },
  } as unknown as ShadowPod;
  const { metadata } = realPod(shadow, {}, { containers: [] }, 0);
  for (const [key, kept] of table) assert.is(metadata.annotations?.[key] !== undefined, kept, key);
});

test('labels that could have an effect here get a prefix without meaning', () => {
  const table: [string, string][] = [
    ['app', 'app'],
    ['app.kubernetes.io/name', 'app.kubernetes.io/name'],
    ['example.com/tier', 'label.hawser.dev/example.com_tier'],
    ['hawser.dev/origin', 'label.hawser.dev/hawser.dev_origin'],
    ['policy.hawser.dev/restricted-ingress', 'label.hawser.dev/policy.hawser.dev_restricted-ingress'],
  ];
  for (const [key, here] of table) assert.is(keyHere(key), here);
  const long = keyHere(`${'a'.repeat(60)}.example.com/${'b'.repeat(60)}`);
  assert.ok(long.length <= 'label.hawser.dev/'.length + 63, long);
  assert.is.not(long, keyHere(`${'a'.repeat(60)}.example.com/${'b'.repeat(59)}c`));
});

test('selectors use the labels as they are here', () => {
  assert.equal(
    selectorHere({
      matchLabels: { app: 'web', 'example.com/tier': 'front' },
      matchExpressions: [{ key: 'example.com/tier', operator: 'Exists' }],
    }),
    {
      matchLabels: labelsHere({ app: 'web', 'example.com/tier': 'front' }),
      matchExpressions: [{ key: 'label.hawser.dev/example.com_tier', operator: 'Exists' }],
    },
  );
});

test('a pod is restricted if an effective policy selects it', () => {
  const { Ingress, Egress } = restrictedLabels;
  const web = { app: 'web' };
  const table: [string, ShadowPolicy[], string[]][] = [
    ['no policies', [], []],
    ['all pods', [policy({}, ['Ingress'])], [Ingress]],
    ['others', [policy({ matchLabels: { app: 'db' } }, ['Ingress'])], []],
    ['not in force yet', [policy({}, ['Ingress'], 'not yet')], []],
    ['refused', [policy({}, ['Ingress'], 'False')], [Ingress]],
    ['two', [policy({}, ['Egress']), policy({ matchLabels: web }, ['Ingress'])], [Ingress, Egress]],
  ];
  for (const [what, policies, keys] of table)
    assert.equal(Object.keys(restrictions(web, policies)), keys, what);
});

test('a pod’s labels are updated, and those of others stay', () => {
  const present = {
    app: 'web',
    old: 'x',
    'label.hawser.dev/example.com_old': 'x',
    [restrictedLabels.Ingress]: 'true',
    'security.example.io/mode': 'theirs',
  };
  assert.equal(labelChanges({ app: 'web', tier: 'front' }, present), {
    tier: 'front',
    old: null,
    'label.hawser.dev/example.com_old': null,
    [restrictedLabels.Ingress]: null,
  });
  assert.is(labelChanges({ app: 'web' }, { app: 'web', 'security.example.io/mode': 'theirs' }), undefined);
});

test.run();
