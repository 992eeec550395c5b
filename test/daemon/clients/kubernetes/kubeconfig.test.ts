import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadKubeconfig } from '../../../../daemon/clients/kubernetes/kubeconfig.ts';

const kubeconfig = suite('kubeconfig');
let directory = '';
const file = (name: string) => join(directory, name);

kubeconfig.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hawser-kubeconfig-'));
  await writeFile(file('ca.pem'), 'authority in a file');
  await writeFile(file('token'), 'token in a file\n');
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  await writeFile(
    file('one'),
    `
current-context: elm
contexts:
- {name: elm, context: {cluster: elm, user: by-certificate}}
- {name: oak, context: {cluster: oak, user: by-token-file}}
- {name: fir, context: {cluster: fir, user: by-plugin}}
- {name: lost, context: {cluster: nowhere, user: by-certificate}}
clusters:
- {name: elm, cluster: {server: 'https://elm:6443', certificate-authority-data: ${base64('authority of elm')}}}
- {name: oak, cluster: {server: 'https://oak:6443', certificate-authority: ca.pem, tls-server-name: kubernetes}}
- {name: fir, cluster: {server: 'https://fir:6443', insecure-skip-tls-verify: true}}
users:
- {name: by-certificate, user: {client-certificate-data: ${base64('certificate')}, client-key-data: ${base64('key')}}}
- {name: by-token-file, user: {tokenFile: token}}
- name: by-plugin
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      interactiveMode: Never
      command: /bin/sh
      args: [-c, 'echo ''{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"from the plugin"}}''']
`,
  );
  await writeFile(
    file('two'),
    `
current-context: oak
contexts:
- {name: ash, context: {cluster: ash, user: ash}}
- {name: elm, context: {cluster: ash, user: ash}}
clusters:
- {name: ash, cluster: {server: 'https://ash:6443'}}
users:
- {name: ash, user: {token: bearer}}
`,
  );
});
kubeconfig.after(() => rm(directory, { recursive: true, force: true }));

const find = (environment: Record<string, string>, context?: string) =>
  loadKubeconfig({ environment: { PATH: process.env['PATH'], ...environment }, context });

kubeconfig('the current context is used, with certificates from its data fields', async () => {
  const connection = await find({ KUBECONFIG: file('one') });
  assert.is(connection.url, 'https://elm:6443');
  assert.is(String(connection.ca), 'authority of elm');
  assert.equal(connection.clientCertificate?.(), { certificate: 'certificate', key: 'key' });
  assert.is(await connection.token?.(), undefined);
  assert.is(connection.skipTLSVerify, undefined);
});

kubeconfig('file names are relative to the kubeconfig', async () => {
  const connection = await find({ KUBECONFIG: file('one') }, 'oak');
  assert.is(String(connection.ca), 'authority in a file');
  assert.is(await connection.token?.(), 'token in a file');
  assert.is(connection.tlsServerName, 'kubernetes');
});

kubeconfig('among several files the first to define an entry wins', async () => {
  const both = { KUBECONFIG: `${file('one')}:${file('two')}` };
  assert.is((await find(both)).context, 'elm');
  assert.is((await find(both, 'elm')).url, 'https://elm:6443');
  assert.is(await (await find(both, 'ash')).token?.(), 'bearer');
});

kubeconfig('a missing file among several is ignored', async () => {
  assert.is((await find({ KUBECONFIG: `${file('none')}:${file('two')}` }, 'ash')).url, 'https://ash:6443');
});

kubeconfig('credential plugins are passed to the library', async () => {
  const connection = await find({ KUBECONFIG: file('one') }, 'fir');
  assert.is(await connection.token?.(), 'from the plugin');
  assert.is(connection.skipTLSVerify, true);
});

const refusals: [context: string | undefined, kubeconfig: string, said: RegExp][] = [
  ['birch', 'one', /no context "birch".*there are: elm, oak, fir, lost/],
  ['lost', 'one', /names a cluster without a server/],
  [undefined, 'none', /does not exist/],
  [undefined, 'two', /no context "oak"/],
];
for (const [context, name, said] of refusals) {
  kubeconfig(`an incomplete kubeconfig is refused with the missing part: ${said.source}`, async () => {
    try {
      await find({ KUBECONFIG: file(name) }, context);
    } catch (error) {
      assert.match((error as Error).message, said);
      return;
    }
    assert.unreachable();
  });
}

kubeconfig.run();
