import * as assert from 'uvu/assert';
import { createRequestSigner, pinnedTransport } from '../../../daemon/clients/gateway/index.ts';
import { ClusterKey } from '../../../shared/trust/cluster-key.ts';
import { bytesOf } from '../../../shared/trust/encoding.ts';
import type { Attack } from '../attack.ts';
import { metricOf } from '../bed.ts';
import type { Party } from '../party.ts';

const asked = 3000;
const atOnce = 16;

const refusals = /^hawser_api_requests_total\{[^}]*status="(?:4\d\d|503)"[^}]*\} (\d+)$/gm;

const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));

/** The request that a consumer sends every hour. */
async function renew(party: Party, signal: AbortSignal): Promise<void> {
  const renewed = await party.gateway.requestIdentity(
    {
      clusterID: party.id,
      publicKey: party.key.publicKey,
      peering: 'default',
      version: '0.1.0',
      features: [],
    },
    { signal },
  );
  assert.is(renewed.tenantNamespace, party.tenant);
}

export const madeUpKeys: Attack = {
  name: `${asked} keys made for one request each at /v1/identities`,
  async play(bed) {
    const { hostile, neighbour, signal } = bed;
    const before = await metricOf(bed, 'hawser-gateway', refusals);
    const transport = pinnedTransport(hostile.gatewayPin);
    const url = `${hostile.gatewayURL}/v1/identities`;
    const statuses = new Map<number, number>();
    let next = 0;
    const worker = async () => {
      while (next < asked) {
        const index = next++;
        const key = ClusterKey.generate(random);
        const clusterID = `made-up-${index
          .toString(36)
          .padStart(6, 'a')
          .replaceAll(/[0189]/g, 'b')}`;
        const body = JSON.stringify({
          secret: 'A'.repeat(43),
          clusterID,
          publicKey: key.publicKey,
          peering: 'default',
          version: '0.1.0',
          features: [],
        });
        const sign = createRequestSigner({ key, clusterID, recipient: hostile.recipient });
        const headers = {
          'content-type': 'application/json',
          ...sign({ method: 'POST', url, body: bytesOf(body) }),
        };
        const response = await transport.fetch(url, { method: 'POST', headers, body, signal });
        await response.text();
        statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
        if (index === asked / 2) await renew(neighbour, signal);
      }
    };
    try {
      await Promise.all(Array.from({ length: atOnce }, worker));
      await renew(neighbour, signal);
    } finally {
      transport.close();
    }
    const known = [401, 403, 404, 408, 409, 429, 503];
    for (const [status, count] of statuses) assert.ok(known.includes(status), `${count} times ${status}`);
    const text = [...statuses]
      .sort(([one], [other]) => one - other)
      .map(([status, count]) => `${status} × ${count}`);
    const counted = (await metricOf(bed, 'hawser-gateway', refusals)) - before;
    assert.ok(counted >= asked, `${counted} of ${asked} are counted`);
    return {
      stopped: `none was let in (${text.join(', ')}), and the neighbour’s identity was renewed meanwhile`,
      seenAt: `metric hawser_api_requests_total by status (${counted})`,
    };
  },
};
