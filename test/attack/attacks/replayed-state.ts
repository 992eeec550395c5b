import { keyFingerprint } from '../../../shared/trust/cluster-key.ts';
import { bytesOf } from '../../../shared/trust/encoding.ts';
import * as assert from 'uvu/assert';
import { createRequestSigner, isProblem, pinnedTransport } from '../../../daemon/clients/gateway/index.ts';
import { listed } from '../../support/api-objects.ts';
import type { Attack } from '../attack.ts';
import { ask, core, reflected, type AttackBed } from '../bed.ts';
import { declare, nextGeneration } from '../declare.ts';
import { ownDocument, signedBy, type Party } from '../party.ts';

const held = async ({ provider }: AttackBed, party: Party) =>
  (await listed(provider, 'remoteclusters')).find(({ spec }) => spec.clusterID === party.id)?.spec
    .networkDocument?.payload;

/** Status codes of one signed request that is sent twice. */
async function sentTwice(party: Party, recipient: string): Promise<number[]> {
  const transport = pinnedTransport(party.gatewayPin);
  const sign = createRequestSigner({ key: party.key, clusterID: party.id, recipient });
  const url = `${party.gatewayURL}/v1/peering?peering=default`;
  const headers = sign({ method: 'GET', url, body: bytesOf('') });
  try {
    const statuses: number[] = [];
    for (let time = 0; time < 2; time++) {
      const response = await transport.fetch(url, { headers });
      await response.text();
      statuses.push(response.status);
    }
    return statuses;
  } finally {
    transport.close();
  }
}

export const replayedState: Attack = {
  name: 'old state again: documents, signed requests, resourceVersions; and those of others',
  async play(bed) {
    const { hostile, neighbour, signal } = bed;
    const { signed: old } = await ownDocument(hostile);
    const latest = await declare(bed, hostile, nextGeneration(), []);
    const refused = async (document: typeof old, problem: Parameters<typeof isProblem>[1]) => {
      const error: unknown = await hostile.gateway.putParameters(document, { signal }).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      assert.ok(isProblem(error, problem), `${problem}, not ${String(error)}`);
    };
    await refused(old, 'stale-generation');
    const { document: theirs, signed: theirSigned } = await ownDocument(neighbour);
    const before = await held(bed, neighbour);
    await refused(theirSigned, 'invalid-document');
    await refused(signedBy(hostile, { ...theirs, generation: nextGeneration() }), 'invalid-document');
    assert.is(await held(bed, hostile), latest.payload);
    assert.is(await held(bed, neighbour), before);

    assert.equal(await sentTwice(hostile, hostile.recipient), [200, 401], 'a request that was sent before');
    const elsewhere = keyFingerprint(neighbour.key.publicKey);
    assert.equal(await sentTwice(hostile, elsewhere), [401, 401], 'a request for another provider');

    const path = core(hostile.twin, 'configmaps');
    const object = (data: string, resourceVersion?: string) => ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'replayed', labels: reflected, ...(resourceVersion && { resourceVersion }) },
      data: { data },
    });
    const made = await ask(hostile, signal, 'POST', path, object('one'));
    assert.is(made.status, 201, made.message);
    const first = (JSON.parse(made.text) as { metadata: { resourceVersion: string } }).metadata
      .resourceVersion;
    const put = (data: string) => ask(hostile, signal, 'PUT', `${path}/replayed`, object(data, first));
    assert.is((await put('two')).status, 200);
    assert.is((await put('three')).status, 409, 'an older resourceVersion');
    await ask(hostile, signal, 'DELETE', `${path}/replayed`);
    return {
      stopped: 'generations, nonces, recipients and resourceVersions: 6 of 6 refused, what was held stays',
      seenAt: 'the answer (409 stale-generation, 400 invalid-document, 401)',
    };
  },
};
