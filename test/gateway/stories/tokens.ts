/** Issuing, listing and revoking peering tokens. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import * as assert from 'uvu/assert';
import { isProblem } from '../../../daemon/clients/gateway/index.ts';
import { kind } from '../../../shared/kube/refs.ts';
import { hashSecret } from '../../../shared/trust/digest.ts';
import { decodePeeringToken } from '../../../shared/trust/token-codec.ts';
import type { TokenResponse } from '../../../shared/wire/gateway-api.ts';
import { namespace, providerID } from '../setting.ts';
import type { Stories } from './story.ts';

const run = promisify(execFile);
const signal = () => AbortSignal.timeout(10_000);

export const tokenStories: Stories = (test, fixture) => {
  test('a token contains everything that the consumer needs, and the API only the hash of its secret', async () => {
    const issued = await fixture()
      .administrator()
      .createToken({ grant: { cpu: '2', podSecurity: 'restricted' } });
    const content = decodePeeringToken(issued.token);
    assert.is(content.gatewayURL, fixture().url);
    assert.is(content.gatewayPin, fixture().certificate.pin);
    assert.is(content.clusterID, providerID);
    assert.is(content.keyFingerprint, fixture().providerKey.fingerprint);
    assert.is(content.expiresAt, issued.expiresAt);
    const life = Date.parse(issued.expiresAt) - Date.now();
    assert.ok(life > 14 * 60_000 && life <= 15 * 60_000, `${life} ms`);
    assert.equal(issued.grant, {
      cpu: '2',
      memory: '8Gi',
      pods: 110,
      podSecurity: 'restricted',
    });
    const stored = await fixture().kube.get(
      { kind: kind.peeringToken, namespace, name: issued.name },
      signal(),
    );
    assert.is(stored?.spec.secretHash, hashSecret(content.secret));
    assert.is(stored?.spec.issuedBy, 'hawser-testbed-admin');
    const everything = JSON.stringify(stored) + fixture().log.join('\n');
    assert.not(everything.includes(content.secret));
    assert.not(everything.includes(fixture().plane.adminToken));
  });

  test('curl issues a token with a bearer token and the pin', async () => {
    const pin = Buffer.from(fixture().certificate.pin, 'hex').toString('base64');
    const { stdout } = await run('curl', [
      '--silent',
      '--show-error',
      '--insecure',
      '--pinnedpubkey',
      `sha256//${pin}`,
      '--tlsv1.3',
      '--header',
      `Authorization: Bearer ${fixture().plane.adminToken}`,
      '--header',
      'Content-Type: application/json',
      '--data',
      '{"expiresInSeconds":3600}',
      '--request',
      'POST',
      `${fixture().url}/v1/tokens`,
    ]);
    const issued = JSON.parse(stdout) as TokenResponse;
    assert.is(decodePeeringToken(issued.token).clusterID, providerID);
    // Without a body the defaults apply.
    const bare = await fixture().raw('POST', '/v1/tokens', {
      headers: { authorization: `Bearer ${fixture().plane.adminToken}` },
    });
    assert.is(bare.status, 201);
  });

  test('only users who may create PeeringTokens get one', async () => {
    const { plane } = fixture();
    const missing = await fixture().raw('POST', '/v1/tokens', { body: '{}' });
    assert.is(missing.status, 401);
    assert.match(missing.headers.get('www-authenticate') ?? '', 'Bearer');
    assert.is(missing.problem?.field, 'authorization');
    for (const authorization of ['Bearer nonsense', 'Basic YTpi', `Bearer ${'x'.repeat(20_000)}`]) {
      const wrong = await fixture().raw('POST', '/v1/tokens', { body: '{}', headers: { authorization } });
      assert.is(wrong.status, 401, authorization.slice(0, 20));
      assert.not(wrong.text.includes('nonsense'));
    }
    const nobody = (await plane.kubectl(['create', 'token', 'nobody', '-n', namespace])).trim();
    for (const call of [
      () => fixture().administrator(nobody).createToken({}),
      () => fixture().administrator(nobody).listTokens(),
      () => fixture().administrator(nobody).revokeToken('token-x'),
    ]) {
      const error = await call().then(
        () => undefined,
        (reason: unknown) => reason,
      );
      assert.ok(isProblem(error, 'forbidden'));
      assert.match(error.detail, 'system:serviceaccount:hawser-system:nobody may not');
    }
    const role = ['-n', namespace, '--verb=create', '--resource=peeringtokens.hawser.dev'];
    await plane.kubectl(['create', 'role', 'issuer', ...role]);
    await plane.kubectl([
      'create',
      'rolebinding',
      'issuer',
      '-n',
      namespace,
      '--role=issuer',
      `--serviceaccount=${namespace}:nobody`,
    ]);
    assert.match((await fixture().administrator(nobody).createToken({})).token, 'hawser1.');
    const error = await fixture()
      .administrator(nobody)
      .listTokens()
      .then(
        () => undefined,
        (reason: unknown) => reason,
      );
    assert.ok(isProblem(error, 'forbidden'), 'creating is not listing');
  });

  test('bad requests for a token name the field and its allowed values, and create nothing', async () => {
    const before = (await fixture().administrator().listTokens()).length;
    const authorization = `Bearer ${fixture().plane.adminToken}`;
    for (const [body, status, field, allowed] of [
      ['{"expiresIn":60}', 422, 'expiresIn', 'expiresInSeconds, consumer, grant'],
      ['{"grant":{"cpus":"1"}}', 422, 'grant.cpus', 'cpu, memory'],
      ['{"expiresInSeconds":59}', 422, 'expiresInSeconds', 'at least 60'],
      ['{"expiresInSeconds":86401}', 422, 'expiresInSeconds', 'at most 86400'],
      ['{"expiresInSeconds":"900"}', 422, 'expiresInSeconds', 'integer'],
      ['{"consumer":"UPPER"}', 422, 'consumer', 'matching'],
      [`{"consumer":"${providerID}"}`, 422, 'consumer', 'another cluster'],
      ['{"grant":{"cpu":"-1"}}', 422, 'grant.cpu', 'matching'],
      ['{"grant":{"cpu":"0"}}', 422, 'grant.cpu', '1m to 1M'],
      ['{"grant":{"cpu":"2000000"}}', 422, 'grant.cpu', '1m to 1M'],
      ['{"grant":{"memory":"100m"}}', 422, 'grant.memory', '1Mi to 10Pi'],
      ['{"grant":{"memory":"99Pi"}}', 422, 'grant.memory', '1Mi to 10Pi'],
      ['{"grant":{"pods":0}}', 422, 'grant.pods', 'at least 1'],
      ['{"grant":{"podSecurity":"none"}}', 422, 'grant.podSecurity', 'restricted, baseline, privileged'],
      ['[]', 422, '', 'an object'],
      ['{"grant":', 400, undefined, undefined],
      ['\u0000', 400, undefined, undefined],
    ] as const) {
      const answer = await fixture().raw('POST', '/v1/tokens', { body, headers: { authorization } });
      assert.is(answer.status, status, `${body}: ${answer.text}`);
      assert.is(answer.problem?.status, status);
      assert.is(answer.problem?.field, field, `${body}: ${answer.text}`);
      if (allowed !== undefined) assert.match(answer.problem?.errors?.[0]?.allowed ?? '', allowed);
      assert.match(answer.problem?.instance ?? '', /^urn:uuid:[0-9a-f-]{36}$/);
    }
    const form = { authorization, 'content-type': 'application/x-www-form-urlencoded' };
    const wrongType = await fixture().raw('POST', '/v1/tokens', { body: '{}', headers: form });
    assert.is(wrongType.status, 415);
    assert.is(wrongType.headers.get('accept'), 'application/json');
    assert.is((await fixture().administrator().listTokens()).length, before);
  });

  test('tokens are listed without secrets, and revoked permanently', async () => {
    const administrator = fixture().administrator();
    const issued = await administrator.createToken({ consumer: 'somebody' });
    const listed = (await administrator.listTokens()).find(({ name }) => name === issued.name);
    assert.equal(listed, {
      name: issued.name,
      expiresAt: issued.expiresAt,
      grant: issued.grant,
      consumer: 'somebody',
      state: 'Redeemable',
    });
    await administrator.revokeToken(issued.name);
    await administrator.revokeToken(issued.name);
    assert.is((await administrator.listTokens()).find(({ name }) => name === issued.name)?.state, 'Revoked');
    for (const [name, problem] of [
      ['token-0000000000000000', 'not-found'],
      ['..%2f', 'invalid-field'],
    ] as const) {
      const error = await administrator.revokeToken(name).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      assert.ok(isProblem(error, problem), String(error));
    }
  });

  test('a token’s preview requires its secret, does not redeem it, and is refused as a redemption would be', async () => {
    const { token, name, grant } = await fixture()
      .administrator()
      .createToken({ consumer: 'looker', grant: { pods: 3 } });
    const { secret } = decodePeeringToken(token);
    const consumer = fixture().consumer('looker');
    const shown = await consumer.client.preview({ secret, clusterID: 'looker' });
    assert.is(shown.clusterID, providerID);
    assert.is(shown.publicKey, fixture().providerKey.publicKey);
    assert.equal(shown.grant, grant);
    assert.is(shown.apiServerURL, fixture().plane.url);
    assert.not(JSON.stringify(shown).includes(secret));
    const stored = await fixture().kube.get({ kind: kind.peeringToken, namespace, name }, signal());
    assert.is(stored?.status?.redeemedBy, undefined);
    const refusalOf = (request: { secret: string; clusterID: string }) =>
      consumer.client.preview(request).then(
        () => undefined,
        (error: unknown) => error,
      );
    const other = await refusalOf({ secret, clusterID: 'another' });
    const unknown = await refusalOf({ secret: 'x'.repeat(43), clusterID: 'looker' });
    // The answer does not reveal whether there is such a token.
    for (const error of [other, unknown]) {
      assert.ok(isProblem(error, 'token-not-redeemable'), String(error));
      assert.is(error.status, 401);
      assert.equal(
        { ...error.document, instance: '' },
        { ...(unknown as typeof error).document, instance: '' },
      );
    }
    assert.is((await fixture().raw('POST', '/v1/previews', { body: '{}' })).status, 422);
    // The token can still be redeemed; after that it has no preview.
    await consumer.client.requestIdentity({ ...consumer.request, secret });
    assert.ok(isProblem(await refusalOf({ secret, clusterID: 'looker' }), 'token-not-redeemable'));
  });

  test('without its own address the gateway issues no tokens, and names what is missing', async () => {
    const { gatewayURL: _, ...without } = { gatewayURL: '', gatewayPin: fixture().certificate.pin };
    const found = await fixture().kube.get({ kind: kind.localCluster, name: 'self' }, signal());
    const { gatewayURL: _url, ...status } = found?.status ?? {};
    assert.ok(found);
    await fixture().kube.replace(
      { ...found, status: { ...status, ...without } },
      { subresource: 'status' },
      signal(),
    );
    try {
      let error: unknown;
      for (let attempt = 0; attempt < 40 && error === undefined; attempt++)
        error = await fixture()
          .administrator()
          .createToken({})
          .then(
            () => undefined,
            (reason: unknown) => reason,
          );
      assert.ok(isProblem(error, 'not-ready'));
      assert.match(error.detail, 'spec.gatewayURL');
    } finally {
      await fixture().writeSelf({});
    }
  });
};
