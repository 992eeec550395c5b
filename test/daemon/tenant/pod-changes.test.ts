import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ShadowPod } from '../../../shared/api/offloading.ts';
import type { Pod, PodSpec } from '../../../shared/kube/types.ts';
import { asksForChange, newEphemeralContainers, podChanges } from '../../../daemon/tenant/pod-changes.ts';
import { pod as podWith } from '../../support/objects.ts';

const test = suite('changes of a real pod');

const main = { name: 'main', image: 'app:1' };
const pod = (spec: Partial<PodSpec> = {}, annotations: Record<string, string> = {}) =>
  podWith({ metadata: { labels: { app: 'web' }, annotations }, spec: { containers: [main], ...spec } });
const shadow = (annotations: Record<string, string> = {}, spec: Record<string, unknown> = {}): ShadowPod => ({
  apiVersion: 'hawser.dev/v1alpha1',
  kind: 'ShadowPod',
  metadata: { name: 'web' },
  spec: { podUID: 'u', annotations, pod: { containers: [main], ...spec } },
});
const changes = (record: ShadowPod, wanted: PodSpec | undefined, present: Pod) =>
  podChanges(record, wanted, { app: 'web' }, present);

test('nothing changes: no patch', () => {
  assert.is(changes(shadow({ note: 'a' }), { containers: [main] }, pod({}, { note: 'a' })), undefined);
});
test('annotations of the consumer are set and removed, and those of others stay', () => {
  const present = pod({}, { note: 'old', gone: 'x', 'cni.example.org/address': '10.0.0.1' });
  assert.equal(changes(shadow({ note: 'new', 'cni.example.org/address': 'forged' }), undefined, present), {
    metadata: { annotations: { note: 'new', gone: null } },
  });
});
test('an image changes by container name', () => {
  const wanted = { containers: [{ ...main, image: 'app:2' }] };
  assert.equal(changes(shadow(), wanted, pod()), {
    spec: { containers: [{ name: 'main', image: 'app:2' }] },
  });
});
for (const [name, asked, present, expected] of [
  ['set', 60, undefined, 60],
  ['shortened', 30, 60, 30],
  ['made longer, which the API server refuses', 90, 60, undefined],
  ['the same', 60, 60, undefined],
  ['taken away, which the API server refuses', undefined, 60, undefined],
] as const) {
  test(`activeDeadlineSeconds is ${name}`, () => {
    const wanted = { containers: [main], ...(asked !== undefined && { activeDeadlineSeconds: asked }) };
    const now = pod(present === undefined ? {} : { activeDeadlineSeconds: present });
    assert.is(changes(shadow(), wanted, now)?.spec?.activeDeadlineSeconds, expected);
  });
}
test('a spec that is not admitted changes only labels and annotations', () => {
  const record = shadow({ note: 'a' }, { containers: [{ ...main, image: 'app:2' }] });
  assert.equal(changes(record, undefined, pod()), { metadata: { annotations: { note: 'a' } } });
  assert.ok(asksForChange(record, pod()), 'and that is said');
  assert.not.ok(asksForChange(shadow(), pod()));
});
test('ephemeral containers are added once', () => {
  const debug = { name: 'debug', image: 'busybox' };
  const wanted = { containers: [main], ephemeralContainers: [debug] };
  assert.equal(newEphemeralContainers(wanted, pod()), [debug]);
  assert.equal(newEphemeralContainers(wanted, pod({ ephemeralContainers: [debug] })), []);
});
for (const value of [null, 7, 'text', [null], [7], {}]) {
  test(`a record whose containers are ${JSON.stringify(value)} causes no change and no crash`, () => {
    const record = shadow({}, { containers: value, ephemeralContainers: value === null ? null : undefined });
    assert.is(asksForChange(record, pod()), false);
  });
}

test.run();
