/** Identities are renewed at two thirds of their lifetime, and after a week without contact. The clock is a parameter. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createLog, silentLog } from '../../../daemon/kube/index.ts';
import { systemClock, type Clock } from '../../../shared/time.ts';
import { runPeering } from '../../../daemon/peering/index.ts';
import { runControllerWith } from '../../../daemon/roles/controller.ts';
import { runTenant } from '../../../daemon/tenant/index.ts';
import { createGatewayClient } from '../../../daemon/clients/gateway/index.ts';
import type { OutgoingPeering } from '../../../shared/api/peerings.ts';
import { findCondition } from '../../../shared/conditions.ts';
import { decodePeeringToken } from '../../../shared/trust/token-codec.ts';
import { logHookFailure } from '../../support/log-hook-failure.ts';
import { Cluster, namespace } from '../clusters.ts';
import { eventually } from '../../support/eventually.ts';
import { isTrueOf, kind } from './helpers.ts';
import { connectKube } from '../../../daemon/clients/kubernetes/index.ts';

const test = suite('renewal of identities');
let consumer: Cluster;
let provider: Cluster;
let name: string;
const ending = new AbortController();
let controller: Promise<void> = Promise.resolve();

const minutes = 60_000;
const week = 7 * 24 * 60 * minutes;
/** How far the clock of the consumer's controller is ahead of the machine's. */
let ahead = 0;
const clock: Clock = {
  now: () => Date.now() + ahead,
  monotonic: () => performance.now() + ahead,
  after: (...call) => systemClock.after(...call),
};

interface Identity {
  token: string;
  expiresAt: string;
  renewAfter: string;
}

async function identity(): Promise<Identity | undefined> {
  const ref = { kind: kind.secret, namespace, name: `hawser-identity-${name}` };
  const text = (await consumer.kube.get(ref, consumer.signal))?.data?.['identity.json'];
  return text === undefined ? undefined : (JSON.parse(Buffer.from(text, 'base64').toString()) as Identity);
}

const peering = () =>
  consumer.kube.get<OutgoingPeering>({ kind: kind.outgoingPeering, name }, consumer.signal);

/** A jump of the clock triggers no reconciliation; any event does. */
async function moveClock(milliseconds: number): Promise<void> {
  ahead = milliseconds;
  await consumer.kube.patch(
    { kind: kind.outgoingPeering, name },
    { metadata: { annotations: { 'example.com/clock': String(milliseconds) } } },
    { type: 'merge' },
    consumer.signal,
  );
}

/** Whether the provider's API server accepts the token. */
async function isTaken(token: string): Promise<boolean> {
  const client = connectKube({ url: provider.plane.url, ca: provider.plane.ca, token: () => token });
  try {
    const tenant = (await peering())?.status?.tenantNamespace ?? '';
    await client.list(kind.twinNamespace, { namespace: tenant }, provider.signal);
    return true;
  } catch {
    return false;
  } finally {
    client.close();
  }
}

test.before(
  logHookFailure(async () => {
    [consumer, provider] = await Promise.all([
      Cluster.start({ name: 'patient' }),
      Cluster.start({ name: 'faithful' }),
    ]);
    await provider.startController({ peering: runPeering, tenant: runTenant });
    await provider.startGateway();
    const rights = await consumer.plane.kubectl(['create', 'token', 'hawser-controller', '-n', namespace]);
    const kube = connectKube({
      url: consumer.plane.url,
      ca: consumer.plane.ca,
      token: () => rights.trim(),
    });
    controller = runControllerWith(
      {
        kube,
        log: process.env['TEST_LOG'] === undefined ? silentLog : createLog('debug'),
        environment: { HAWSER_NAMESPACE: namespace, POD_NAME: 'controller' },
        features: { peering: runPeering },
        probePort: 0,
        clock,
      },
      ending.signal,
    );
    controller.catch(() => undefined);
    for (const cluster of [consumer, provider]) {
      await eventually('LocalCluster is ready', async () =>
        isTrueOf(await cluster.kube.get({ kind: kind.localCluster, name: 'self' }, cluster.signal), 'Ready'),
      );
    }
    const local = await provider.kube.get({ kind: kind.localCluster, name: 'self' }, provider.signal);
    const gateway = createGatewayClient({
      url: `https://127.0.0.1:${provider.gatewayPort}`,
      pin: local?.status?.gatewayPin ?? '',
      bearer: provider.plane.adminToken,
    });
    const { token } = await gateway.createToken({});
    gateway.close();
    name = decodePeeringToken(token).clusterID;
    await consumer.apply([
      {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 'token', namespace },
        data: { token: Buffer.from(token).toString('base64') },
      } as never,
      {
        apiVersion: 'hawser.dev/v1alpha1',
        kind: 'OutgoingPeering',
        metadata: { name },
        spec: {
          remoteCluster: name,
          peering: 'default',
          tokenSecretName: 'token',
          nodeName: `hawser-${name}`,
          desired: 'Active',
        },
      },
    ]);
    await eventually('an identity', async () => isTrueOf(await peering(), 'IdentityValid'));
  }),
);
test.after(async () => {
  ending.abort(new Error('the test has ended'));
  await controller.catch(() => undefined);
  await Promise.all([consumer?.stop(), provider?.stop()]);
});

test('an identity is renewed at two thirds of its lifetime, not before', async () => {
  const first = await eventually('an identity', identity);
  const life = Date.parse(first.expiresAt) - Date.now();
  const due = Date.parse(first.renewAfter) - Date.now();
  assert.ok(Math.abs(due / life - 2 / 3) < 0.05, `${due} of ${life} ms`);
  await moveClock(due - 2 * minutes);
  // The renewal's code has run once the status reports this change as observed.
  await new Promise((resolve) => setTimeout(resolve, 1500));
  assert.is((await identity())?.token, first.token);
  await moveClock(due + minutes);
  const begun = performance.now();
  const second = await eventually('another token', async () => {
    const held = await identity();
    return held !== undefined && held.token !== first.token && held;
  });
  console.log(
    `\n  life ${Math.round(life / minutes)} min, due after ${Math.round(due / minutes)} min, renewed ${Math.round(performance.now() - begun)} ms after that`,
  );
  assert.ok(await isTaken(second.token));
});

test('after a week without contact an identity is renewed by signature', async () => {
  const before = await eventually('an identity', identity);
  await provider.stopGateway();
  await moveClock(week);
  const expired = await eventually('it is said', async () => {
    const condition = findCondition((await peering())?.status?.conditions, 'IdentityValid');
    return condition?.status === 'False' && condition;
  });
  assert.is(expired.reason, 'IdentityExpired');
  assert.match(expired.message, /^the identity expired at .* and is not renewed: /);
  // The only token is spent: the following renewal depends on the cluster key alone.
  assert.is((await peering())?.spec.tokenSecretName, 'token');
  const token = await consumer.kube.get({ kind: kind.secret, namespace, name: 'token' }, consumer.signal);
  assert.is(token, undefined);
  await provider.startGateway();
  const begun = performance.now();
  const renewed = await eventually(
    'another token',
    async () => {
      const held = await identity();
      return held !== undefined && held.token !== before.token && held;
    },
    45_000,
  );
  console.log(`\n  renewed ${Math.round(performance.now() - begun)} ms after the provider was back`);
  assert.ok(await isTaken(renewed.token));
  // After the return to the machine's time everything is healthy again.
  await moveClock(0);
  await eventually('it is valid', async () => isTrueOf(await peering(), 'IdentityValid'));
});

test('a consumer that was revoked in the meantime is not admitted again', async () => {
  const [incoming] = (await provider.kube.list(kind.incomingPeering, {}, provider.signal)).items;
  const tenant = incoming?.status?.tenantNamespace ?? '';
  const held = await eventually('an identity', identity);
  await provider.kube.delete(
    { kind: kind.secret, namespace: tenant, name: 'hawser-identity' },
    {},
    provider.signal,
  );
  await eventually('Revoked', async () => {
    const found = await provider.kube.get(
      { kind: kind.incomingPeering, name: incoming?.metadata.name ?? '' },
      provider.signal,
    );
    return isTrueOf(found, 'Revoked');
  });
  await moveClock(week);
  await new Promise((resolve) => setTimeout(resolve, 3000));
  assert.is((await identity())?.token, held.token);
  await eventually('the old one is refused', async () => !(await isTaken(held.token)), 20_000);
  // The gateway waits for the tenant before it refuses.
  const condition = await eventually(
    'it is said',
    async () => {
      const found = findCondition((await peering())?.status?.conditions, 'IdentityValid');
      return found?.status === 'False' && found;
    },
    60_000,
  );
  console.log(`\n  ${condition.message}`);
  assert.is((await identity())?.token, held.token);
});

test.run();
