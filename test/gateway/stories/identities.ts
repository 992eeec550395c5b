/** Redeeming tokens and renewing identities. */
import { Agent } from 'node:https';
import * as assert from 'uvu/assert';
import { GatewayProblem, isProblem } from '../../../daemon/clients/gateway/index.ts';
import { httpsFetch } from '../../../daemon/clients/gateway/https-fetch.ts';
import type { RemoteCluster } from '../../../shared/api/clusters.ts';
import { apiVersion } from '../../../shared/api/meta.ts';
import type { IncomingPeering, PeeringToken } from '../../../shared/api/peerings.ts';
import { defaultGrant } from '../../../shared/api/grant.ts';
import { kind } from '../../../shared/kube/refs.ts';
import { hashSecret } from '../../../shared/trust/digest.ts';
import { toBase64URL } from '../../../shared/trust/encoding.ts';
import { tokenName } from '../../../shared/token-issue.ts';
import type { IdentityResponse } from '../../../shared/wire/gateway-api.ts';
import { namespace, newKey, type Consumer, type Fixture } from '../setting.ts';
import { eventually } from '../../support/eventually.ts';
import type { Stories } from './story.ts';

const signal = () => AbortSignal.timeout(10_000);

export const identityStories: Stories = (test, fixture) => {
  test('a hundred concurrent requests create one identity', async () => {
    const secret = await fixture().newSecret();
    const consumers = Array.from({ length: 100 }, (_, index) => fixture().consumer(`racer-${index}`));
    const outcomes = await Promise.all(consumers.map((consumer) => redeem(consumer, secret)));
    const winners = outcomes.flatMap((outcome, index) => (outcome instanceof GatewayProblem ? [] : [index]));
    assert.is(winners.length, 1);
    const refusals = outcomes.filter((outcome) => outcome instanceof GatewayProblem);
    assert.equal(
      [...new Set(refusals.map(({ type, status }) => `${status} ${type}`))],
      ['401 https://hawser.dev/problems/token-not-redeemable'],
    );
    const { items } = await fixture().kube.list(kind.incomingPeering, {}, signal());
    assert.equal(
      items.map(({ spec }) => spec.remoteCluster).filter((id) => id.startsWith('racer-')),
      [`racer-${winners[0]}`],
    );
    assert.is((await remotes(fixture(), 'racer-')).length, 1);
  });

  test('repeated requests with the same key, also twenty at once, get the same answer', async () => {
    const secret = await fixture().newSecret();
    const consumer = fixture().consumer('patient');
    const first = await redeem(consumer, secret);
    assert.not(first instanceof GatewayProblem);
    const again = await Promise.all(Array.from({ length: 20 }, () => redeem(consumer, secret)));
    for (const answer of again) {
      assert.not(answer instanceof GatewayProblem);
      assert.is((answer as IdentityResponse).tenantNamespace, (first as IdentityResponse).tenantNamespace);
    }
    assert.is((await remotes(fixture(), 'patient')).length, 1);
  });

  test('the identity has access to the API server until its Secret is deleted', async () => {
    const identity = await identityOf(fixture().consumer('opener'), await fixture().newSecret());
    const { apiServerURL, caBundle, tlsServerName, token } = identity.identity;
    const agent = new Agent({
      ca: caBundle,
      ...(tlsServerName !== undefined && { servername: tlsServerName }),
    });
    const ask = async () => {
      const response = await httpsFetch(agent)(
        `${apiServerURL}/apis/authentication.k8s.io/v1/selfsubjectreviews`,
        {
          method: 'POST',
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
          body: JSON.stringify({ apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' }),
        },
      );
      return { status: response.status, text: await response.text() };
    };
    const answer = await ask();
    assert.is(answer.status, 201);
    assert.match(answer.text, `system:serviceaccount:${identity.tenantNamespace}:consumer`);
    const life = Date.parse(identity.identity.expiresAt) - Date.now();
    assert.ok(life > 3500_000 && life < 3700_000);
    await fixture().kube.delete(
      { kind: kind.secret, namespace: identity.tenantNamespace, name: 'identity' },
      {},
      signal(),
    );
    // The API server caches a valid token for ten seconds.
    await eventually('the token to be revoked', async () => (await ask()).status === 401, 20_000);
    agent.destroy();
  });

  test('every fault of a token gets the same answer, at times that reveal nothing', async () => {
    const spent = await fixture().newSecret();
    await identityOf(fixture().consumer('spender'), spent);
    const revoked = await fixture().administrator().createToken({});
    await fixture().administrator().revokeToken(revoked.name);
    const { decodePeeringToken } = await import('../../../shared/trust/token-codec.ts');
    const cases: [string, string, string][] = [
      ['never issued', 'stranger-1', toBase64URL(crypto.getRandomValues(new Uint8Array(32)))],
      ['spent by another', 'stranger-2', spent],
      ['revoked', 'stranger-3', decodePeeringToken(revoked.token).secret],
      ['for another cluster', 'stranger-4', await fixture().newSecret({ consumer: 'somebody-else' })],
      ['expired', 'stranger-5', await expiredSecret(fixture())],
      ['ID taken with another key', 'spender', await fixture().newSecret()],
    ];
    const answers = new Set<string>();
    for (const [what, clusterID, secret] of cases) {
      const consumer = fixture().consumer(clusterID);
      const started = performance.now();
      const problem = await redeem(consumer, secret);
      const took = performance.now() - started;
      assert.ok(problem instanceof GatewayProblem, what);
      const { instance: _, ...rest } = problem.document;
      answers.add(JSON.stringify(rest));
      // Not before 250 ms; a pure function decides the exact time (redemption.test.ts).
      assert.ok(took >= 240, `${what}: ${Math.round(took)} ms`);
    }
    assert.is(answers.size, 1);
    assert.equal(await remotes(fixture(), 'stranger-'), []);
    for (const [, , secret] of cases) assert.not(fixture().log.join('\n').includes(secret));
  });

  test('bad requests differ from bad tokens, name the field, and create nothing', async () => {
    const secret = await fixture().newSecret();
    const consumer = fixture().consumer('clumsy');
    const body = JSON.stringify({ ...consumer.request, secret });
    const post = (options: Parameters<Fixture['raw']>[2]) => fixture().raw('POST', '/v1/identities', options);
    const sign = (who: Consumer, what = body) =>
      who.sign({
        method: 'POST',
        url: `${fixture().url}/v1/identities`,
        body: new TextEncoder().encode(what),
      });
    const expect = (
      answer: Awaited<ReturnType<typeof post>>,
      status: number,
      field: string,
      detail: RegExp | string,
    ) => {
      assert.is(answer.status, status, answer.text);
      assert.is(answer.problem?.field, field, answer.text);
      assert.match(answer.problem?.detail ?? '', detail);
      assert.not(answer.text.includes(secret));
    };
    expect(await post({ body }), 401, 'signature-input', /must be signed/);
    expect(
      await post({ body, headers: { ...sign(consumer), signature: 'hawser=:AAAA:' } }),
      401,
      'signature',
      /not made by/,
    );
    expect(
      await post({ body: `${body} `, headers: sign(consumer) }),
      401,
      'content-digest',
      /not the one that was signed/,
    );
    const other = fixture().consumer('clumsy');
    expect(await post({ body, headers: sign(other) }), 401, 'signature', /not made by/);
    const named = fixture().consumer('other-name', consumer.key);
    expect(await post({ body, headers: sign(named) }), 401, 'signature-input', /keyid is not the clusterID/);
    for (const skew of [-301_000, 301_000]) {
      const skewed = fixture().consumer('clumsy', consumer.key, () => Date.now() + skew);
      expect(
        await post({ body, signedBy: skewed }),
        401,
        'signature-input',
        /synchronize the clocks; they may differ by at most 5 minutes/,
      );
    }
    const headers = sign(consumer);
    const toOther = { ...headers, 'hawser-recipient': newKey().fingerprint };
    expect(await post({ body, headers: toOther }), 401, 'hawser-recipient', /signed for another cluster/);
    const unknown = JSON.stringify({ ...consumer.request, secret, admin: true });
    expect(await post({ body: unknown, signedBy: consumer }), 422, 'admin', /is unknown/);
    const weak = JSON.stringify({ ...consumer.request, secret, publicKey: `${'A'.repeat(43)}=` });
    expect(await post({ body: weak, signedBy: consumer }), 422, 'publicKey', /not a valid Ed25519 key/);
    const short = JSON.stringify({ ...consumer.request, secret: 'short' });
    expect(await post({ body: short, signedBy: consumer }), 422, 'secret', /matching/);
    const self = fixture().consumer('provider-a1b2', consumer.key);
    const asSelf = JSON.stringify({ ...self.request, secret });
    expect(await post({ body: asSelf, signedBy: self }), 422, 'clusterID', /own ID/);
    const foreign = JSON.stringify({
      ...consumer.request,
      secret,
      networkDocument: { payload: 'e30', signature: 'AAAA' },
    });
    expect(
      await post({ body: foreign, signedBy: consumer }),
      422,
      'networkDocument',
      /not signed by the cluster key/,
    );
    assert.is((await post({ body: '{', signedBy: consumer })).status, 400);
    assert.is((await post({ body: `"${'x'.repeat(70_000)}"`, signedBy: consumer })).status, 413);
    assert.equal(await remotes(fixture(), 'clumsy'), []);
    // After all of this the token is still valid, and an accepted request is not accepted again.
    const taken = { body, headers: sign(consumer) };
    assert.is((await post(taken)).status, 201);
    expect(await post(taken), 401, 'signature-input', /received before/);
  });

  test('senders without an existing token or a known key use no memory', async () => {
    const known = fixture().consumer('remembered');
    await identityOf(known, await fixture().newSecret());
    const remembered = async () =>
      Number(/^hawser_api_nonces (\d+)$/m.exec((await fixture().management('/metrics')).text)?.[1]);
    const before = await remembered();
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, index) => {
        const stranger = fixture().consumer(`keyholder-${index}`);
        const madeUp = toBase64URL(crypto.getRandomValues(new Uint8Array(32)));
        const impostor = fixture().consumer('remembered');
        const [who, secret] = [
          [stranger, madeUp],
          [stranger, undefined],
          [impostor, undefined],
        ][index % 3] as [Consumer, string | undefined];
        return who.client
          .requestIdentity({ ...who.request, ...(secret !== undefined && { secret }) })
          .catch((error: unknown) => error);
      }),
    );
    for (const answer of answers) assert.ok(isProblem(answer, 'token-not-redeemable'), String(answer));
    assert.is(await remembered(), before);
    await known.client.requestIdentity(known.request);
    assert.is(await remembered(), before + 1);
  });

  test('while the tenant is not ready the answer names the reason, and the token stays', async () => {
    const secret = await fixture().newSecret();
    const consumer = fixture().consumer('early');
    fixture().tenants = false;
    try {
      await fixture().withTenantSeconds(1, async () => {
        const problem = await redeem(consumer, secret);
        assert.ok(isProblem(problem, 'not-ready'));
        assert.match(problem.detail, 'tenant of early is not ready yet');
        assert.ok((problem.retryAfterMilliseconds ?? 0) > 0);
        assert.ok(isProblem(await redeem(fixture().consumer('late'), secret), 'token-not-redeemable'));
      });
    } finally {
      fixture().tenants = true;
    }
    assert.not((await redeem(consumer, secret)) instanceof GatewayProblem);
  });

  test('after a crash at any point the next gateway completes the work', async () => {
    const secret = await fixture().newSecret();
    const consumer = fixture().consumer('halfway');
    fixture().tenants = false;
    const asked = redeem(consumer, secret).catch((error: unknown) => error);
    await eventually('the peering', async () => (await peering(fixture(), 'halfway')) !== undefined);
    await fixture().stopGateway('SIGKILL');
    assert.ok((await asked) instanceof Error);
    fixture().tenants = true;
    await fixture().startGateway();
    assert.not((await redeem(consumer, secret)) instanceof GatewayProblem);
  });

  test('an identity is renewed with its key alone, and with no other key', async () => {
    const secret = await fixture().newSecret();
    const consumer = fixture().consumer('renewer');
    const first = await identityOf(consumer, secret);
    await fixture().kube.delete(
      { kind: kind.peeringToken, namespace, name: tokenName(hashSecret(secret)) },
      {},
      signal(),
    );
    const renewed = await consumer.client.requestIdentity(consumer.request);
    assert.is(renewed.tenantNamespace, first.tenantNamespace);
    assert.ok(Date.parse(renewed.identity.expiresAt) >= Date.parse(first.identity.expiresAt));
    const impostor = fixture().consumer('renewer');
    const refused = await impostor.client.requestIdentity(impostor.request).catch((error: unknown) => error);
    assert.ok(isProblem(refused, 'token-not-redeemable'), String(refused));
    const unknown = await consumer.client
      .requestIdentity({ ...consumer.request, peering: 'second' })
      .catch((error: unknown) => error);
    assert.ok(isProblem(unknown, 'no-peering'), String(unknown));
    const stranger = fixture().consumer('never-seen');
    const none = await stranger.client.requestIdentity(stranger.request).catch((error: unknown) => error);
    assert.ok(isProblem(none, 'token-not-redeemable'), String(none));
  });

  test('a second token changes the grant of an existing peering', async () => {
    const consumer = fixture().consumer('grower');
    const first = await identityOf(consumer, await fixture().newSecret({ grant: { cpu: '1' } }));
    const second = await identityOf(consumer, await fixture().newSecret({ grant: { cpu: '2' } }));
    assert.is(first.grant.cpu, '1');
    assert.is(second.grant.cpu, '2');
    assert.is(second.tenantNamespace, first.tenantNamespace);
  });
};

async function redeem(consumer: Consumer, secret: string): Promise<IdentityResponse | GatewayProblem> {
  try {
    return await consumer.client.requestIdentity({ ...consumer.request, secret });
  } catch (error) {
    if (error instanceof GatewayProblem) return error;
    throw error;
  }
}

async function identityOf(consumer: Consumer, secret: string): Promise<IdentityResponse> {
  return consumer.client.requestIdentity({ ...consumer.request, secret });
}

async function remotes(fixture: Fixture, prefix: string): Promise<RemoteCluster[]> {
  const { items } = await fixture.kube.list(kind.remoteCluster, {}, signal());
  return items.filter(({ metadata }) => metadata.name.startsWith(prefix));
}

function peering(fixture: Fixture, name: string): Promise<IncomingPeering | undefined> {
  return fixture.kube.get({ kind: kind.incomingPeering, name }, signal());
}

async function expiredSecret(fixture: Fixture): Promise<string> {
  const secret = toBase64URL(crypto.getRandomValues(new Uint8Array(32)));
  const object: PeeringToken = {
    apiVersion,
    kind: 'PeeringToken',
    metadata: { name: tokenName(hashSecret(secret)), namespace },
    spec: {
      secretHash: hashSecret(secret),
      expiresAt: new Date(Date.now() - 1000).toISOString(),
      grant: defaultGrant,
    },
  };
  await fixture.kube.create(object, signal());
  return secret;
}
