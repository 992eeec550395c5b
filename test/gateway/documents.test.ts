import { readFile } from 'node:fs/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { z } from 'zod';
import { readConfiguration } from '../../gateway/configuration.ts';
import { Metrics } from '../../gateway/http/metrics.ts';
import { openAPIDocument } from '../../gateway/http/openapi.ts';
import { compareDocuments, mergeFacts } from '../../gateway/peerings/remote-clusters.ts';
import { parseBody } from '../../gateway/http/validation.ts';
import { version } from '../../gateway/version.ts';
import type { RemoteCluster } from '../../shared/api/clusters.ts';
import { Problem } from '../../shared/errors.ts';
import { bytesOf, toBase64, toBase64URL } from '../../shared/trust/encoding.ts';

const signed = (generation: number, more = '') => ({
  payload: toBase64URL(
    bytesOf(
      JSON.stringify({
        version: 1,
        clusterID: 'consumer',
        recipient: 'provider',
        generation,
        requires: [],
        podCIDRs: ['10.0.0.0/8'],
        externalCIDR: '100.64.0.0/20',
        mtu: 1420,
        tunnelEndpoints: [],
        remaps: [],
        salt: toBase64(new Uint8Array(32)),
        acknowledges: 0,
        more,
      }),
    ),
  ),
  signature: 'AAAA',
});

test('the highest generation wins, whichever way it arrived', () => {
  for (const [held, offered, verdict] of [
    [undefined, signed(1), 'Newer'],
    [signed(1), signed(2), 'Newer'],
    [signed(2), signed(2), 'Same'],
    [signed(2), signed(2, 'changed'), 'Stale'],
    [signed(2), signed(1), 'Stale'],
    [{ payload: '', signature: '' }, signed(1), 'Newer'],
  ] as const)
    assert.is(compareDocuments(held, offered), verdict);
});

test('facts are stored only if they are new', () => {
  const spec: RemoteCluster['spec'] = {
    clusterID: 'consumer',
    publicKey: 'key',
    controlPlane: 'InBand',
    gatewayURL: 'https://x',
    version: '1',
    features: [],
    networkDocument: signed(2),
  };
  assert.is(mergeFacts(spec, { version: '1', features: [], networkDocument: signed(1) }), spec);
  assert.equal(mergeFacts(spec, { version: '2', features: ['a'] }), {
    ...spec,
    version: '2',
    features: ['a'],
  });
  assert.equal(mergeFacts(spec, { networkDocument: signed(3) }), { ...spec, networkDocument: signed(3) });
});

test('an invalid field is named by its path with the allowed values, and never quoted', () => {
  const schema = z.strictObject({
    list: z.array(z.strictObject({ kind: z.enum(['a', 'b']), size: z.int().min(1).max(9) })),
  });
  const problemsOf = (body: string) => {
    try {
      parseBody(schema, bytesOf(body), false);
    } catch (error) {
      if (error instanceof Problem) return error;
      throw error;
    }
    throw new Error('taken');
  };
  const problem = problemsOf(
    '{"list":[{"kind":"a","size":1},{"kind":"secret-value","size":10,"extra":1}],"more":1}',
  );
  assert.equal(
    problem.options.errors?.map(({ field, allowed }) => [field, allowed]),
    [
      ['list.1.kind', 'one of a, b'],
      ['list.1.size', 'an integer, at least 1, at most 9'],
      ['list.1.extra', 'kind, size'],
      ['more', 'list'],
    ],
  );
  assert.not(JSON.stringify(problem.toDocument('id')).includes('secret-value'));
  assert.is(problemsOf('{}').options.errors?.[0]?.field, 'list');
  assert.is(problemsOf('').problem, 'malformed-body');
  assert.is(problemsOf('{"secret-value"').problem, 'malformed-body');
  assert.not(problemsOf('{"secret-value"').message.includes('secret-value'));
  assert.is(problemsOf('{"__proto__":{"list":[]}}').problem, 'invalid-field');
});

test('the OpenAPI description contains the schemas of requests and answers, and every problem', () => {
  const document = openAPIDocument([
    {
      id: 'makeThing',
      method: 'POST',
      path: '/v1/things/{name}',
      summary: 'Make a thing',
      authentication: { by: 'Kubernetes', permission: 'create' },
      parameters: [{ name: 'name', in: 'path', description: 'Its name', schema: z.string() }],
      body: { schema: z.strictObject({ size: z.int().default(1) }) },
      responses: [
        { status: 200, description: 'One form', schema: z.object({ ok: z.boolean() }) },
        { status: 200, description: 'Another', contentType: 'text/event-stream', schema: z.string() },
      ],
      problems: ['not-found', 'no-peering'],
    },
  ]) as { paths: Record<string, Record<string, Record<string, unknown>>> };
  const operation = document.paths['/v1/things/{name}']?.['post'];
  assert.equal(operation?.['security'], [{ kubernetes: [] }]);
  const responses = operation?.['responses'] as Record<string, { description: string; content: object }>;
  assert.equal(Object.keys(responses['200']?.content ?? {}), ['application/json', 'text/event-stream']);
  assert.match(responses['404']?.description ?? '', /not-found: .*; no-peering: /);
  for (const status of ['400', '413', '415', '429', '500', '502', '503', '504'])
    assert.ok(responses[status], status);
  assert.not(JSON.stringify(document).includes('$schema'));
});

test('the version is the package’s', async () => {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
  assert.is(version, (JSON.parse(text) as { version: string }).version);
});

test('configuration errors in the environment are named', () => {
  const least = readConfiguration({ KUBERNETES_SERVICE_HOST: 'fd00::1' });
  assert.is(least.apiServer, 'https://[fd00::1]:443');
  assert.is(least.port, 7443);
  assert.is(least.certificateDirectory, undefined);
  for (const [environment, name] of [
    [{}, 'KUBERNETES_SERVICE_HOST'],
    [{ HAWSER_LISTEN_PORT: '70000' }, 'HAWSER_LISTEN_PORT'],
    [{ HAWSER_METRICS_PORT: 'x' }, 'HAWSER_METRICS_PORT'],
    [{ HAWSER_TENANT_SECONDS: '0' }, 'HAWSER_TENANT_SECONDS'],
    [{ HAWSER_TENANT_SECONDS: '26' }, 'HAWSER_TENANT_SECONDS'],
  ] as const)
    assert.throws(
      () =>
        readConfiguration({
          ...(name !== 'KUBERNETES_SERVICE_HOST' && { KUBERNETES_SERVICE_HOST: 'x' }),
          ...environment,
        }),
      new RegExp(name),
    );
});

test('metrics are valid Prometheus text', () => {
  const metrics = new Metrics();
  metrics.count('a_total', 'Counted.', { label: 'x"y\\z\n' });
  metrics.count('a_total', 'Counted.', { label: 'x"y\\z\n' }, 2);
  metrics.gauge('b', 'Read.', () => 7);
  metrics.observeSeconds('c_seconds', 'Observed.', 0.05, {});
  const text = metrics.render();
  assert.match(text, 'a_total{label="x\\"y\\\\z\\n"} 3\n');
  assert.match(text, '# TYPE b gauge\nb 7\n');
  assert.match(text, 'c_seconds_bucket{le="0.02"} 0\nc_seconds_bucket{le="0.1"} 1\n');
  assert.match(text, 'c_seconds_sum 0.05\nc_seconds_count 1\n');
});

test.run();
