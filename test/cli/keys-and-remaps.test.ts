/** The conditions that `hawser key rotate` waits for, and the objects that `hawser remap approve` writes. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { knowsKey } from '../../cli/commands/key-rotate.ts';
import { acceptedWith, approvalOf, approvalsWith, type Approval } from '../../cli/commands/remap-approve.ts';
import type { Tunnel } from '../../shared/api/network.ts';
import type { RemoteCluster } from '../../shared/api/clusters.ts';
import { signNetworkDocument } from '../../shared/trust/network-documents.ts';
import { keyOf } from '../shared/trust/keys.ts';

const remote = (acknowledgedGeneration: number | undefined): RemoteCluster => ({
  apiVersion: 'hawser.dev/v1alpha1',
  kind: 'RemoteCluster',
  metadata: { name: 'milan' },
  spec: { clusterID: 'milan', publicKey: keyOf(2).publicKey, controlPlane: 'OutOfBand' },
  status: {
    ...(acknowledgedGeneration !== undefined && { acknowledgedGeneration }),
    localDocument: signNetworkDocument(
      {
        version: 1,
        clusterID: 'rome',
        publicKey: keyOf(1).publicKey,
        recipient: 'milan',
        generation: 9,
        contentGeneration: 7,
        requires: [],
        podCIDRs: ['10.1.0.0/16'],
        externalCIDR: '100.64.0.0/20',
        mtu: 1420,
        tunnelEndpoints: [],
        remaps: [],
        salt: Buffer.alloc(32, 1).toString('base64'),
        acknowledges: 0,
      },
      keyOf(1),
    ),
  },
});

test('a remote knows a key once it has acknowledged a document that the key signed', () => {
  const table: [RemoteCluster, number, boolean][] = [
    [remote(7), 1, true],
    [remote(9), 1, true],
    [remote(6), 1, false],
    [remote(undefined), 1, false],
    [remote(9), 3, false],
    [{ ...remote(9), status: {} }, 1, false],
    [{ ...remote(9), status: { localDocument: { payload: '?', signature: '?' } } }, 1, false],
  ];
  for (const [object, key, known] of table) assert.is(knowsKey(object, keyOf(key).publicKey), known);
});

test('an approval is added to the existing ones, without duplicates', () => {
  assert.is(approvalsWith(undefined, ['10.1.0.0/16']), '10.1.0.0/16');
  assert.is(approvalsWith('10.1.0.0/16', ['10.2.0.0/16', '10.1.0.0/16']), '10.1.0.0/16,10.2.0.0/16');
  assert.is(approvalsWith(' 10.1.0.0/16 ,', []), '10.1.0.0/16');
});

const tunnel = {
  spec: {
    remoteCluster: 'oak',
    remotePodCIDRs: ['10.42.0.0/16', '10.43.0.0/16', '172.16.0.0/12'],
    remoteExternalCIDR: '100.70.0.0/20',
    remaps: [
      { real: '10.42.0.0/16', mapped: '100.65.0.0/16', state: 'InUse' },
      { real: '10.43.0.0/16', mapped: '10.43.0.0/16', state: 'InUse' },
      { real: '100.70.0.0/20', mapped: '100.64.0.0/20', state: 'InUse' },
    ],
  },
  status: {
    collisions: [{ mapped: '100.64.0.0/20', own: '100.64.1.0/24' }],
    waitingRanges: [
      { real: '172.16.0.0/12', reason: 'NeedsApproval' },
      { real: '10.42.0.0/16', reason: 'InUseOtherwise', mapped: '100.65.0.0/16' },
    ],
  },
} as unknown as Tunnel;

test('approvalOf returns the ranges to approve, and refuses ranges that need no approval', () => {
  const external = { real: '100.70.0.0/20', from: '100.64.0.0/20' };
  const pods = { real: '10.42.0.0/16', from: '100.65.0.0/16' };
  const cases: [range: string | undefined, asItIs: boolean, Approval][] = [
    [undefined, false, { annotated: ['100.64.0.0/20'], moving: [external] }],
    ['100.64.0.0/20', false, { annotated: ['100.64.0.0/20'], moving: [external] }],
    [
      '172.16.0.0/12',
      false,
      { annotated: ['172.16.0.0/12'], moving: [{ real: '172.16.0.0/12', from: undefined }] },
    ],
    ['10.42.0.0/16', false, { annotated: ['100.65.0.0/16'], moving: [pods] }],
    ['10.42.0.0/16', true, { annotated: ['100.65.0.0/16'], accepted: '10.42.0.0/16', moving: [pods] }],
    ['10.43.0.0/16', true, { annotated: [], accepted: '10.43.0.0/16', moving: [] }],
  ];
  for (const [range, asItIs, approval] of cases)
    assert.equal(approvalOf(tunnel, range, asItIs), approval, `${range} ${asItIs}`);
  const refused: [range: string | undefined, asItIs: boolean, why: RegExp][] = [
    [
      '10.99.0.0/16',
      false,
      /does not wait for approval; those that do: 100\.64\.0\.0\/20, 172\.16\.0\.0\/12, 10\.42/,
    ],
    [undefined, true, /--as-is requires RANGE/],
    ['192.168.50.0/24', true, /oak does not declare 192\.168\.50\.0\/24/],
  ];
  for (const [range, asItIs, why] of refused) assert.throws(() => approvalOf(tunnel, range, asItIs), why);
});

test('an accepted range is added only to its own remote', () => {
  const one = acceptedWith(undefined, 'oak', '10.42.0.0/16');
  assert.equal(one, [{ remoteCluster: 'oak', cidrs: ['10.42.0.0/16'] }]);
  const two = acceptedWith(acceptedWith(one, 'fir', '10.42.0.0/16'), 'oak', '10.43.0.0/16');
  assert.equal(two, [
    { remoteCluster: 'fir', cidrs: ['10.42.0.0/16'] },
    { remoteCluster: 'oak', cidrs: ['10.42.0.0/16', '10.43.0.0/16'] },
  ]);
  assert.is(acceptedWith(two, 'oak', '10.42.0.0/16'), two);
});

test.run();
