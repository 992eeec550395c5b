/** When a pair of documents is verified: once for the same texts, and again after any other change. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readDocuments } from '../../../daemon/fabric/controller/remote-documents.ts';
import type { RemoteCluster } from '../../../shared/api/clusters.ts';
import { apiVersion } from '../../../shared/api/meta.ts';
import { toBase64 } from '../../../shared/trust/encoding.ts';
import { signNetworkDocument } from '../../../shared/trust/network-documents.ts';
import type { NetworkDocument } from '../../../shared/wire/network-document.ts';
import { keyOf } from '../../shared/trust/keys.ts';

const test = suite('verified documents of a remote');
const document: NetworkDocument = {
  version: 1,
  clusterID: 'milan',
  recipient: 'rome',
  generation: 3,
  requires: [],
  podCIDRs: ['10.200.0.0/16'],
  externalCIDR: '100.64.16.0/20',
  mtu: 1420,
  tunnelEndpoints: [],
  remaps: [],
  salt: toBase64(new Uint8Array(32).fill(9)),
  acknowledges: 0,
};
const signed = signNetworkDocument(document, keyOf(1));
const own = signNetworkDocument({ ...document, clusterID: 'rome', recipient: 'milan' }, keyOf(2));

function remote(spec: object = {}, status: object = { localDocument: own }): RemoteCluster {
  return structuredClone({
    apiVersion,
    kind: 'RemoteCluster',
    metadata: { name: 'milan' },
    spec: { clusterID: 'milan', publicKey: keyOf(1).publicKey, networkDocument: signed, ...spec },
    status,
  }) as unknown as RemoteCluster;
}

test('documents - with the same texts in another object - are verified once', () => {
  const read = readDocuments(remote(), 'rome');
  assert.is(read.remote?.clusterID, 'milan');
  assert.is(read.own?.clusterID, 'rome');
  assert.is(readDocuments(remote({ gatewayURL: 'https://elsewhere' }), 'rome').remote, read.remote);
});

test('documents - with another key, signature, recipient or text - are verified again', () => {
  assert.match(readDocuments(remote({ publicKey: keyOf(3).publicKey }), 'rome').problem ?? '', /key|sign/i);
  const forged = { ...signed, signature: own.signature };
  assert.is.not(readDocuments(remote({ networkDocument: forged }), 'rome').problem, undefined);
  assert.is.not(readDocuments(remote(), 'turin').problem, undefined);
  assert.is(readDocuments(remote({}, {}), 'rome').own, undefined);
  assert.is(readDocuments(remote(), 'rome').problem, undefined);
});

test.run();
