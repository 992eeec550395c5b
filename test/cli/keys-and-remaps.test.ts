/** What `hawser key rotate` waits for, and what `hawser remap approve` writes. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { knowsKey } from '../../cli/commands/key-rotate.ts';
import { approvalsWith } from '../../cli/commands/remap-approve.ts';
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

test.run();
