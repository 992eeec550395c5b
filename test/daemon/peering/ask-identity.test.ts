/** Which answers of a provider are accepted as an identity. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { GatewayProblem } from '../../../daemon/clients/gateway/index.ts';
import { askIdentity, PeeringProblem } from '../../../daemon/peering/ask-identity.ts';
import { isUnknownThere } from '../../../daemon/peering/removal.ts';
import type { RemoteCluster } from '../../../shared/api/clusters.ts';
import { apiVersion } from '../../../shared/api/meta.ts';
import type { OutgoingPeering } from '../../../shared/api/peerings.ts';
import { defaultGrant } from '../../../shared/api/grant.ts';
import { keyOf } from '../../shared/trust/keys.ts';

const [provider, consumer] = [keyOf(1), keyOf(2)];

function ask(apiServerURL: string, remote: Partial<RemoteCluster['spec']> = {}): Promise<string> {
  const peering: OutgoingPeering = {
    apiVersion,
    kind: 'OutgoingPeering',
    metadata: { name: 'milan' },
    spec: { remoteCluster: 'milan', peering: 'default', nodeName: 'milan', desired: 'Active' },
  };
  return askIdentity(
    {
      requestIdentity: () =>
        Promise.resolve({
          clusterID: 'milan',
          publicKey: provider.publicKey,
          tenantNamespace: 'hawser-tenant-here',
          grant: defaultGrant,
          identity: { apiServerURL, caBundle: 'CA', token: 'token', expiresAt: '2026-01-01T00:00:00Z' },
          version: '0.1.0',
          features: [],
        }),
    },
    peering,
    {
      apiVersion,
      kind: 'RemoteCluster',
      metadata: { name: 'milan' },
      spec: {
        clusterID: 'milan',
        publicKey: provider.publicKey,
        controlPlane: 'OutOfBand',
        gatewayURL: 'https://198.51.100.7:7443',
        ...remote,
      },
    },
    undefined,
    { clusterID: 'here', key: consumer, successions: [], generation: 1 },
    '0.1.0',
    new AbortController().signal,
  ).then(
    ({ identity }) => identity.apiServerURL,
    (error: unknown) => (error instanceof PeeringProblem ? error.reason : String(error)),
  );
}

test('an API server on this machine or at a metadata address is refused', async () => {
  assert.is(await ask('https://203.0.113.5:6443'), 'https://203.0.113.5:6443');
  for (const url of ['https://169.254.169.254', 'https://127.0.0.1:6443', 'https://[fe80::1]:6443'])
    assert.is(await ask(url), 'ProviderRefuses', url);
  // In-band, the dialled address comes from the tunnel, not from the answer.
  assert.is(await ask('https://169.254.1.3:6443', { controlPlane: 'InBand' }), 'https://169.254.1.3:6443');
});

test('only the answer to an unknown cluster counts as the end of a peering', () => {
  const refused = (name: 'signature-refused' | 'token-not-redeemable', detail: string) =>
    new GatewayProblem(
      {
        type: `https://hawser.dev/problems/${name}`,
        title: '',
        status: 401,
        detail: '',
        errors: [{ field: 'signature', detail }],
      },
      undefined,
    );
  assert.ok(isUnknownThere(refused('signature-refused', 'BadSignature')));
  // The provider knows the sender, or might: these faults can be corrected here, and the request repeated.
  for (const detail of ['ClockSkew', 'Replayed', 'OtherRecipient', 'DigestMismatch'])
    assert.not.ok(isUnknownThere(refused('signature-refused', detail)), detail);
  assert.not.ok(isUnknownThere(refused('token-not-redeemable', 'BadSignature')));
  assert.not.ok(isUnknownThere(new Error('no answer')));
});

test.run();
