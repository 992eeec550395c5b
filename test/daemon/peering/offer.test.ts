/** The parts of a provider's document besides the network, and how a changed grant reaches its consumer. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { composeDocument } from '../../../daemon/peering/compose-document.ts';
import { offerTo } from '../../../daemon/peering/offer.ts';
import { statedDesire, statedGrant } from '../../../daemon/peering/outgoing-plan.ts';
import { incomingFindings } from '../../../daemon/tenant/incoming-findings.ts';
import { excess, nothing } from '../../../daemon/tenant/usage.ts';
import type { LocalCluster } from '../../../shared/api/clusters.ts';
import type { Grant } from '../../../shared/api/grant.ts';
import type { IncomingPeering } from '../../../shared/api/peerings.ts';
import { networkDocument } from '../../../shared/wire/network-document.ts';

const grant: Grant = { cpu: '2', memory: '2Gi', pods: 10, podSecurity: 'baseline' };
const pin = 'ab'.repeat(32);
const local = (spec: object = {}, status: object = {}): LocalCluster =>
  ({
    spec,
    status: {
      clusterID: 'milan',
      podCIDRs: ['10.244.0.0/16'],
      externalCIDR: '100.64.16.0/20',
      apiServerURL: 'https://198.18.0.10:6443',
      gatewayURL: 'https://198.18.0.20:7443',
      gatewayPin: pin,
      ...status,
    },
  }) as unknown as LocalCluster;
const incoming = (remoteCluster: string, peering: string, more: object = {}): IncomingPeering => ({
  apiVersion: 'hawser.dev/v1alpha1',
  kind: 'IncomingPeering',
  metadata: { name: `${remoteCluster}-${peering}`, ...more },
  spec: { remoteCluster, peering, grant, desired: 'Active' },
});

const offers = suite('offers to a remote');
const apiServer = {
  url: 'https://198.18.0.10:6443',
  caBundle: 'root',
  tlsServerName: 'kubernetes.default.svc',
};
const gateway = { url: 'https://198.18.0.20:7443', pin };
const table: [string, Parameters<typeof offerTo>, ReturnType<typeof offerTo>][] = [
  ['nothing to who does not offload here', ['rome', [incoming('paris', 'default')], local(), 'root'], {}],
  [
    'all to a consumer',
    ['rome', [incoming('rome', 'default')], local(), 'root'],
    { apiServer, gateway, grants: [{ peering: 'default', grant }] },
  ],
  [
    'a grant for each of its peerings, in order, and none for one that ends',
    [
      'rome',
      [
        incoming('rome', 'second'),
        incoming('rome', 'ending', { deletionTimestamp: '2026-01-01T00:00:00Z' }),
        incoming('rome', 'first'),
      ],
      local(),
      'root',
    ],
    {
      apiServer,
      gateway,
      grants: [
        { peering: 'first', grant },
        { peering: 'second', grant },
      ],
    },
  ],
  [
    'that pods have to leave, and nothing of it while they may come',
    [
      'rome',
      [
        { ...incoming('rome', 'first'), spec: { ...incoming('rome', 'first').spec, desired: 'Drained' } },
        incoming('rome', 'second'),
      ],
      local(),
      'root',
    ],
    {
      apiServer,
      gateway,
      grants: [
        { peering: 'first', grant, desired: 'Drained' },
        { peering: 'second', grant },
      ],
    },
  ],
  [
    'the authority that a person gives, with the name of the address',
    ['rome', [incoming('rome', 'default')], local({ apiServerCABundle: 'own' }), 'root'],
    { apiServer: { url: apiServer.url, caBundle: 'own' }, gateway, grants: [{ peering: 'default', grant }] },
  ],
  [
    'no API server while its authority is not known, no gateway without a pin',
    ['rome', [incoming('rome', 'default')], local({}, { gatewayPin: undefined }), undefined],
    { grants: [{ peering: 'default', grant }] },
  ],
];
for (const [what, input, expected] of table)
  offers(what, () => {
    assert.equal(offerTo(...input), expected);
  });

offers('a changed grant gives a new document, in which each peering finds its own', () => {
  const compose = (given: Grant, previous?: ReturnType<typeof networkDocument.parse>) => {
    const changed = { ...incoming('rome', 'default') };
    changed.spec = { ...changed.spec, grant: given };
    const result = composeDocument({
      local: { ...local().status, clusterID: 'milan' },
      publicKey: Buffer.alloc(32, 1).toString('base64'),
      recipient: 'rome',
      previous,
      remote: undefined,
      tunnel: undefined,
      offer: offerTo('rome', [changed], local(), 'root'),
      newSalt: () => Buffer.alloc(32, 7).toString('base64'),
      now: 1_000,
    });
    if (!('document' in result)) throw new Error(result.waitingFor);
    return networkDocument.parse(result.document);
  };
  const first = compose(grant);
  assert.is(compose(grant, first).generation, first.generation);
  const second = compose({ ...grant, cpu: '8' }, first);
  assert.ok(second.generation > first.generation);
  assert.is(statedGrant(second, 'default')?.cpu, '8');
  assert.is(statedGrant(second, 'another'), undefined);
  assert.is(statedGrant(undefined, 'default'), undefined);
  assert.is(statedDesire(second, 'default'), 'Active');
  assert.is(statedDesire(second, 'another'), undefined, 'nothing is said of it');
  const { grants = [] } = second;
  assert.is(
    statedDesire({ grants: grants.map((each) => ({ ...each, desired: 'Drained' as const })) }, 'default'),
    'Drained',
  );
});
offers.run();

const lowered = suite('a grant lowered below its use');
const core = 1_000_000_000n;
lowered('the message names the exceeded quantities', () => {
  assert.is(excess(grant, { ...nothing, requests: { cpu: 2n * core }, pods: 10 }), undefined);
  assert.is(
    excess(grant, { ...nothing, requests: { cpu: 3n * core }, pods: 12 }),
    '12 pods of 10, requests of 3 of cpu of 2',
  );
});
lowered('the condition states that running pods are kept', () => {
  const finding = (cpu: bigint) =>
    incomingFindings(incoming('rome', 'default'), {
      revoked: false,
      problem: undefined,
      used: { ...nothing, requests: { cpu }, pods: 1 },
    }).find(({ type }) => type === 'QuotaAvailable');
  assert.is(finding(core)?.status, 'True');
  assert.is(finding(2n * core)?.reason, 'QuotaExhausted');
  assert.is(finding(3n * core)?.reason, 'QuotaExceeded');
  assert.match(finding(3n * core)?.message ?? '', /3 of cpu of 2; running pods stay/);
});
lowered.run();
