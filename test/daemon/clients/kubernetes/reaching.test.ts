/** Kubeconfigs and identities reach an API server wherever kubectl does: real TLS servers, a real proxy. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { connectKube, fromIdentity } from '../../../../daemon/clients/kubernetes/index.ts';
import { loadKubeconfig } from '../../../../daemon/clients/kubernetes/kubeconfig.ts';
import { kind } from '../../../../shared/kube/refs.ts';
import { connectProxy, issue, standIn, type Issued, type Seen, type Standing } from './servers.ts';

const test = suite('reaching an API server');
const { signal } = new AbortController();
let directory = '';
let root: Issued;
let intermediate: Issued;
let server: Standing;

test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hawser-reaching-'));
  root = await issue('root', undefined, { authority: true });
  intermediate = await issue('cluster', root, { authority: true });
  const leaf = await issue('apiserver', intermediate, {
    names: ['kubernetes.default.svc', 'api.far.test'],
    addresses: ['127.0.0.1'],
  });
  server = await standIn(leaf, [intermediate], intermediate);
});
test.after(async () => {
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

interface Fields {
  cluster?: Record<string, unknown>;
  user?: Record<string, unknown>;
}

async function write(name: string, { cluster = {}, user = {} }: Fields = {}): Promise<string> {
  const path = join(directory, name);
  const text = JSON.stringify({
    'current-context': 'it',
    contexts: [{ name: 'it', context: { cluster: 'it', user: 'it' } }],
    clusters: [
      {
        name: 'it',
        cluster: {
          server: `https://127.0.0.1:${server.port}`,
          'certificate-authority-data': Buffer.from(intermediate.text).toString('base64'),
          ...cluster,
        },
      },
    ],
    users: [{ name: 'it', user: { token: 'secret', ...user } }],
  });
  await writeFile(path, text);
  return path;
}

/** Sends one request; returns what the API server received. */
async function ask(files: string, environment: Record<string, string> = {}): Promise<Seen> {
  const from = server.seen.length;
  const client = connectKube(
    await loadKubeconfig({
      environment: { PATH: process.env['PATH'], KUBECONFIG: files, ...environment },
    }),
  );
  try {
    await client.list(kind.pod, {}, signal);
  } finally {
    client.close();
  }
  const seen = server.seen[from];
  assert.ok(seen, 'the API server saw the request');
  return seen;
}

test('a cluster’s intermediate CA is a trust anchor', async () => {
  const seen = await ask(await write('intermediate'));
  assert.is(seen.headers.authorization, 'Bearer secret');
});

test('a provider’s intermediate CA is a trust anchor', async () => {
  const client = connectKube(
    fromIdentity(
      { apiServerURL: `https://127.0.0.1:${server.port}`, caBundle: intermediate.text, token: 'theirs' },
      {},
    ),
  );
  await client.list(kind.pod, {}, signal);
  client.close();
  assert.is(server.seen.at(-1)?.headers.authorization, 'Bearer theirs');
});

test('a certificate of another CA is refused', async () => {
  const stranger = await issue('stranger', undefined, { authority: true });
  const data = Buffer.from(stranger.text).toString('base64');
  try {
    await ask(await write('stranger', { cluster: { 'certificate-authority-data': data } }));
  } catch (error) {
    assert.match((error as Error).message, /unable to (verify|get)|self.signed|issuer/i);
    return;
  }
  assert.unreachable();
});

for (const [name, path] of [
  ['a path', '/k8s/clusters/c-1'],
  ['a path and a slash at its end', '/k8s/clusters/c-1/'],
  ['a bare slash', '/'],
] as const)
  test(`an API server behind ${name}`, async () => {
    const { url } = await ask(
      await write('path', { cluster: { server: `https://127.0.0.1:${server.port}${path}` } }),
    );
    assert.is(url, `${path.replace(/\/$/, '')}/api/v1/pods?limit=500`);
  });

test('a user with impersonation sends user, groups, UID and extra', async () => {
  const seen = await ask(
    await write('impersonation', {
      user: {
        as: 'deploy-bot',
        'as-uid': '42',
        'as-groups': ['builders', 'readers'],
        'as-user-extra': { 'example.com/reason': ['an audit'] },
      },
    }),
  );
  const named = (name: string) =>
    seen.raw.filter(([each]) => each.toLowerCase() === name).map(([, value]) => value);
  assert.equal(named('impersonate-user'), ['deploy-bot']);
  assert.equal(named('impersonate-uid'), ['42']);
  assert.equal(named('impersonate-group'), ['builders', 'readers']);
  assert.equal(named('impersonate-extra-example.com%2freason'), ['an audit']);
});

test('impersonated groups without a user are refused before any request', async () => {
  const before = server.seen.length;
  try {
    await ask(await write('half', { user: { 'as-groups': ['system:masters'] } }));
  } catch (error) {
    assert.match((error as Error).message, /as-groups is set and `as` is not/);
    assert.is(server.seen.length, before);
    return;
  }
  assert.unreachable();
});

const plugin = (status: object, more: object = {}) => ({
  token: undefined,
  exec: {
    apiVersion: 'client.authentication.k8s.io/v1',
    interactiveMode: 'Never',
    command: '/bin/sh',
    args: ['-c', `printf %s '${JSON.stringify({ kind: 'ExecCredential', status })}'`],
    ...more,
  },
});

test('a credential plugin’s user can impersonate too', async () => {
  const seen = await ask(await write('plugin', { user: { ...plugin({ token: 'made' }), as: 'deploy-bot' } }));
  assert.is(seen.headers.authorization, 'Bearer made');
  assert.is(seen.headers['impersonate-user'], 'deploy-bot');
});

test('a credential plugin can return a client certificate', async () => {
  const { text, key } = await issue('by-plugin', intermediate);
  const seen = await ask(
    await write('plugin-certificate', {
      user: plugin({ clientCertificateData: text, clientKeyData: key }),
    }),
  );
  assert.is(seen.client, 'by-plugin');
});

test('a credential plugin’s relative path is resolved, and it receives its cluster’s information', async () => {
  await writeFile(
    join(directory, 'helper'),
    `#!/bin/sh
server=$(echo "$KUBERNETES_EXEC_INFO" | sed 's/.*"server":"\\([^"]*\\)".*/\\1/')
echo '{"kind":"ExecCredential","status":{"token":"for '"$server"'"}}'
`,
    { mode: 0o755 },
  );
  const seen = await ask(
    await write('plugin-beside', {
      user: plugin({}, { command: './helper', args: [], provideClusterInfo: true }),
    }),
  );
  assert.is(seen.headers.authorization, `Bearer for https://127.0.0.1:${server.port}`);
});

test('a failing credential plugin is named with its error output', async () => {
  const failing = plugin({}, { args: ['-c', 'echo log in first >&2; exit 3'] });
  try {
    await ask(await write('plugin-failing', { user: failing }));
  } catch (error) {
    assert.match((error as Error).message, /user "it" in .*plugin "\/bin\/sh" failed: log in first/);
    return;
  }
  assert.unreachable();
});

test('an OIDC token that has not expired is sent', async () => {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const token = `${part({ alg: 'none' })}.${part({ exp: Math.floor(Date.now() / 1000) + 3600 })}.x`;
  const user = {
    token: undefined,
    'auth-provider': {
      name: 'oidc',
      config: { 'id-token': token, 'client-id': 'c', 'refresh-token': 'r', 'idp-issuer-url': 'https://idp' },
    },
  };
  assert.is((await ask(await write('oidc', { user }))).headers.authorization, `Bearer ${token}`);
});

test('client certificates and basic authentication are sent', async () => {
  const { text, key } = await issue('by-file', intermediate);
  await writeFile(join(directory, 'client.pem'), text);
  await writeFile(join(directory, 'client.key'), key);
  const user = { token: undefined, 'client-certificate': 'client.pem', 'client-key': 'client.key' };
  assert.is((await ask(await write('certificate', { user }))).client, 'by-file');
  const basic = { token: undefined, username: 'u', password: 'p' };
  const { headers } = await ask(await write('basic', { user: basic }));
  assert.is(headers.authorization, `Basic ${Buffer.from('u:p').toString('base64')}`);
});

test('among several files the first to define an entry wins, also for plugins', async () => {
  const first = await write('first', { user: plugin({ token: 'of the first' }) });
  const second = await write('second', { user: { token: 'of the second' } });
  assert.is((await ask(`${first}:${second}`)).headers.authorization, 'Bearer of the first');
  assert.is((await ask(`${second}:${first}`)).headers.authorization, 'Bearer of the second');
});

test('tls-server-name overrides the host name in certificate checks', async () => {
  const server1 = `https://localhost:${server.port}`;
  const cluster = { server: server1, 'tls-server-name': 'kubernetes.default.svc' };
  await ask(await write('server-name', { cluster }));
  await ask(await write('insecure', { cluster: { server: server1, 'insecure-skip-tls-verify': true } }));
  try {
    await ask(await write('other-name', { cluster: { server: server1 } }));
  } catch (error) {
    assert.match((error as Error).message, /altnames|Hostname/);
    return;
  }
  assert.unreachable();
});

test('a proxy comes from the kubeconfig, or from HTTPS_PROXY unless NO_PROXY matches the host', async () => {
  const proxy = await connectProxy();
  try {
    // Only the proxy knows this name.
    const far = { server: `https://api.far.test:${server.port}` };
    const url = `http://u:p@127.0.0.1:${proxy.port}`;
    await ask(await write('proxy-url', { cluster: { ...far, 'proxy-url': url } }));
    assert.equal(proxy.asked, [`api.far.test:${server.port}`]);
    assert.equal(proxy.credentials, [`Basic ${Buffer.from('u:p').toString('base64')}`]);
    await ask(await write('by-environment', { cluster: far }), { HTTPS_PROXY: url });
    await ask(await write('by-environment', { cluster: far }), { https_proxy: url });
    assert.is(proxy.asked.length, 3);
    try {
      await ask(await write('excepted', { cluster: far }), { HTTPS_PROXY: url, NO_PROXY: '.far.test' });
      assert.unreachable();
    } catch (error) {
      assert.match((error as Error).message, /ENOTFOUND|EAI_AGAIN/);
    }
    assert.is(proxy.asked.length, 3, 'and the proxy was not asked');
  } finally {
    await proxy.stop();
  }
});

test('a provider’s API server is reached through HTTPS_PROXY', async () => {
  const proxy = await connectProxy();
  const client = connectKube(
    fromIdentity(
      {
        apiServerURL: `https://api.far.test:${server.port}`,
        caBundle: intermediate.text,
        token: 'theirs',
      },
      { HTTPS_PROXY: `127.0.0.1:${proxy.port}` },
    ),
  );
  try {
    await client.list(kind.pod, {}, signal);
    assert.equal(proxy.asked, [`api.far.test:${server.port}`]);
  } finally {
    client.close();
    await proxy.stop();
  }
});

test('an error of a proxy names it', async () => {
  const file = await write('refusing', {
    cluster: { 'proxy-url': `http://127.0.0.1:${server.port}` },
  });
  try {
    await ask(file);
  } catch (error) {
    assert.match((error as Error).message, /the proxy 127\.0\.0\.1:\d+ cannot be reached/);
    return;
  }
  assert.unreachable();
});

test('the next address of a host name is tried when the first does not answer', async () => {
  const client = connectKube({
    url: `https://api.far.test:${server.port}`,
    ca: intermediate.text,
    lookup: (_name, _options, callback) =>
      callback(null, [
        { address: '::1', family: 6 },
        { address: '127.0.0.1', family: 4 },
      ]),
  });
  await client.list(kind.pod, {}, signal);
  client.close();
});

test.run();
