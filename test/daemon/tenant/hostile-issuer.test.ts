/**
 * A hostile issuer of tokens, or a compromised API gateway, against the provider's real API server: both stay within the
 * owner's limits.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { defaultGrant, type Grant } from '../../../shared/api/grant.ts';
import { connectKube } from '../../../daemon/clients/kubernetes/index.ts';
import { kind } from '../../../daemon/kube/index.ts';
import { logHookFailure } from '../../support/log-hook-failure.ts';
import { eventually } from '../../support/eventually.ts';
import {
  admin,
  apiVersion,
  send,
  startHostileConsumer,
  stopHostileConsumer,
  group,
  hawserNamespace,
  mallory,
  merge,
  plane,
  assertRefused,
  signal,
  printAttempts,
} from './hostile-setting.ts';

const test = suite('a hostile issuer of tokens');

test.before(logHookFailure(startHostileConsumer));
test.after(stopHostileConsumer);

const tokens = group(apiVersion, hawserNamespace, 'peeringtokens');
const peerings = `/apis/${apiVersion}/incomingpeerings`;
const token = (name: string, grant: Partial<Grant>) => ({
  apiVersion,
  kind: 'PeeringToken',
  metadata: { name, namespace: hawserNamespace },
  spec: {
    secretHash: 'a'.repeat(64),
    expiresAt: '2100-01-01T00:00:00Z',
    grant: { ...defaultGrant, ...grant },
  },
});
const peering = (name: string, grant: Partial<Grant>) => ({
  apiVersion,
  kind: 'IncomingPeering',
  metadata: { name },
  spec: {
    remoteCluster: name,
    peering: 'default',
    desired: 'Active',
    grant: { ...defaultGrant, ...grant },
  },
});
// The same bound applies to an administrator: only the owner writes LocalCluster.
const issue = (grant: Partial<Grant>) => send('POST', tokens, token('t', grant), {}, admin);
const write = (grant: Partial<Grant>) => send('POST', peerings, peering('p', grant), {}, admin);

test('no nodes, no forged packets and no names that the owner did not list', async () => {
  for (const [what, grant, pattern] of [
    ['privileged pods', { podSecurity: 'privileged' }, /podSecurity/],
    ['raw networks', { rawNetwork: true }, /rawNetwork/],
    ['the namespace com', { twinNamespaces: ['com'] }, /twinNamespaces/],
    ['what is not counted', { enforcement: 'None' }, /enforcement/],
  ] as const) {
    await assertRefused(`a token that grants ${what}`, pattern, issue(grant as Partial<Grant>));
    await assertRefused(`a peering that grants ${what}`, pattern, write(grant as Partial<Grant>));
    const path = `${peerings}/${mallory.id}`;
    await assertRefused(
      `a peering that grants ${what} later`,
      pattern,
      send('PATCH', path, { spec: { grant } }, merge, admin),
    );
  }
});

test('the maximum limits all later changes, and no existing grant', async () => {
  const gpus = (quantity: string) => [{ name: 'a.example/gpu', quantity }];
  const maximumGrant = {
    cpu: '3',
    memory: '4Gi',
    pods: 3,
    ephemeralStorage: '1Gi',
    extendedResources: gpus('2'),
  };
  await admin.patch(
    { kind: kind.localCluster, name: 'self' },
    { spec: { maximumGrant } },
    { type: 'merge' },
    signal,
  );
  const within = maximumGrant;
  // Dry runs: what is made before the maximum is known would be in the way of what follows.
  const tried = (grant: Partial<Grant>) => send('POST', `${tokens}?dryRun=All`, token('t', grant), {}, admin);
  await eventually('the maximum is known', async () => (await tried({ ...within, pods: 4 })).status === 403);
  for (const [field, more] of [
    ['cpu', '3001m'],
    ['memory', '5Gi'],
    ['pods', 4],
    ['ephemeralStorage', '1025Mi'],
    ['extendedResources', gpus('3')],
    ['extendedResources', [{ name: 'b.example/gpu', quantity: '1' }]],
  ] as const) {
    const grant = { ...within, [field]: more };
    await assertRefused(
      `a token beyond the maximum of ${field}`,
      new RegExp(`grant.${field} is more`),
      issue(grant),
    );
    await assertRefused(
      `a peering beyond the maximum of ${field}`,
      new RegExp(`grant.${field} is more`),
      write(grant),
    );
  }
  assert.is((await issue(within)).status, 201);
  // Its grant of five pods is older.
  const { status } = await send(
    'PATCH',
    `${peerings}/${mallory.id}`,
    { spec: { desired: 'Cordoned' } },
    merge,
    admin,
  );
  assert.is(status, 200);
});

test('the gateway raises no grant, and issues tokens only of consumers', async () => {
  const raw = await plane.kubectl(['create', 'token', 'hawser-gateway', '-n', hawserNamespace]);
  const gateway = connectKube({ url: plane.url, ca: plane.ca, token: () => raw.trim() });
  const grant = { pods: 2 };
  await assertRefused(
    'the gateway changes the grant of a token',
    /changes no grant/,
    send('PATCH', `${tokens}/t`, { spec: { grant } }, merge, gateway),
  );
  await assertRefused(
    'the gateway changes the grant of a peering',
    /changes no grant/,
    send('PATCH', `${peerings}/${mallory.id}`, { spec: { grant } }, merge, gateway),
  );
  const other = { spec: { grant: { cpu: '2', pods: 3 }, tokenName: 'another' } };
  assert.is((await send('PATCH', `${peerings}/${mallory.id}`, other, merge, gateway)).status, 200);
  const mint = (namespace: string) =>
    send(
      'POST',
      `/api/v1/namespaces/${namespace}/serviceaccounts/consumer/token`,
      { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 3600 } },
      {},
      gateway,
    );
  await plane.kubectl(['create', 'serviceaccount', 'consumer', '-n', 'default']);
  await assertRefused('the gateway makes a token elsewhere', /cannot create resource/, mint('default'));
  assert.is((await mint(mallory.tenant)).status, 201);
  gateway.close();
});

test('the table of attempts is printed', () => printAttempts(18));

test.run();
