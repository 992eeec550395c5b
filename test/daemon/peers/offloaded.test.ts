import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { isOffloaded } from '../../../daemon/peers/offloaded.ts';
import type { NamespaceOffloading } from '../../../shared/api/offloading.ts';

const namespace = (name: string, labels: Record<string, string> = {}) => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels },
});
const offloading = (
  spec: Partial<NamespaceOffloading['spec']> = {},
  metadata: object = {},
): NamespaceOffloading => ({
  apiVersion: 'hawser.dev/v1alpha1',
  kind: 'NamespaceOffloading',
  metadata: { name: 'offloading', namespace: 'shop', ...metadata },
  spec: { podPlacement: 'Remote', ...spec },
});

test('only this cluster’s NamespaceOffloading determines what is sent to a provider', () => {
  const shop = namespace('shop');
  const east = { region: 'east' };
  const inWest = offloading({ clusterSelector: { matchLabels: { region: 'west' } } });
  const ending = offloading({}, { deletionTimestamp: '2026-01-01T00:00:00Z' });
  const table: [what: string, ...Parameters<typeof isOffloaded>, is: boolean][] = [
    ['offloaded', shop, offloading(), east, 'hawser-system', true],
    [
      'never offloaded, though the provider lists a twin namespace',
      shop,
      undefined,
      east,
      'hawser-system',
      false,
    ],
    ['being brought home', shop, ending, east, 'hawser-system', false],
    ['to others only', shop, inWest, east, 'hawser-system', false],
    ['no such virtual node', shop, offloading(), undefined, 'hawser-system', false],
    ['a namespace that is gone', undefined, offloading(), east, 'hawser-system', false],
    [
      'kube-system, whose UID is known to many',
      namespace('kube-system'),
      offloading(),
      east,
      'hawser-system',
      false,
    ],
    ['Hawser’s own', namespace('hawser-system'), offloading(), east, 'hawser-system', false],
    [
      'another consumer’s',
      namespace('shop', { 'hawser.dev/origin': 'elm' }),
      offloading(),
      east,
      'hawser-system',
      false,
    ],
  ];
  for (const [what, of, by, node, own, is] of table) assert.is(isOffloaded(of, by, node, own), is, what);
});

test.run();
