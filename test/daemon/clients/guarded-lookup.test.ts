/** Names chosen by remotes, and the addresses that they resolve to. */
import { lookup } from 'node:dns';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { hostname } from 'node:os';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { dialableAddresses, guardedLookup } from '../../../daemon/clients/guarded-lookup.ts';
import { pinnedTransport } from '../../../daemon/clients/gateway/index.ts';
import { fromIdentity } from '../../../daemon/clients/kubernetes/index.ts';
import { issueSelfSignedCertificate } from '../../../shared/trust/self-signed-certificate.ts';

const v4 = (address: string) => ({ address, family: 4 });
const v6 = (address: string) => ({ address, family: 6 });

test('a guarded lookup returns only addresses that a remote may name', () => {
  const good = [v4('198.51.100.7'), v6('2001:db8::7')];
  assert.equal(dialableAddresses('far.example', good), good);
  assert.equal(
    dialableAddresses('far.example', [v4('169.254.169.254'), v6('fe80::1'), v4('127.0.0.1'), ...good]),
    good,
  );
  for (const address of ['169.254.169.254', '127.0.0.1', '::1', 'fd00:ec2::254', '::ffff:127.0.0.1'])
    assert.throws(
      () => dialableAddresses('far.example', [address.includes(':') ? v6(address) : v4(address)]),
      /far\.example leads to/,
    );
  assert.throws(() => dialableAddresses('far.example', []), /no address/);
  // A local user may dial localhost; for remotes the check of the URL refuses it.
  assert.equal(dialableAddresses('localhost', [v4('127.0.0.1')]), [v4('127.0.0.1')]);
});

test('a connection to a name uses the remaining addresses', async () => {
  const found = await new Promise<unknown>((resolve) => {
    guardedLookup('localhost', { all: false }, (error, address, family) => resolve([error, address, family]));
  });
  assert.is((found as unknown[])[0], null);
  assert.match(String((found as unknown[])[1]), /^(127\.0\.0\.1|::1)$/);
  assert.is(
    fromIdentity({ apiServerURL: 'https://far.example', caBundle: '', token: '' }, {}).lookup,
    guardedLookup,
  );
});

test('a name that resolves to this machine is not dialled', async () => {
  // On most machines the own name resolves to loopback; where it does not, the table above covers the case.
  const own = hostname();
  const leads = await new Promise<string[]>((resolve) =>
    lookup(own, { all: true }, (error, found) => resolve(error ? [] : found.map(({ address }) => address))),
  );
  const certificate = await issueSelfSignedCertificate({ hosts: ['localhost'], days: 1, now: Date.now() });
  let asked = 0;
  const server = createServer(
    { cert: certificate.certificate, key: certificate.privateKey, minVersion: 'TLSv1.3' },
    (_request, response) => {
      asked++;
      response.end('{}');
    },
  );
  await new Promise<void>((resolve) => server.listen(0, () => resolve()));
  const { port } = server.address() as AddressInfo;
  const transport = pinnedTransport(certificate.pin);
  try {
    assert.is((await transport.fetch(`https://localhost:${port}/`, {})).status, 200);
    if (leads.length > 0 && leads.every((address) => /^127\.|^::1$/.test(address))) {
      const error = await transport.fetch(`https://${own}:${port}/`, {}).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      assert.match(String(error), /leads to/);
      assert.is(asked, 1);
    }
  } finally {
    transport.close();
    server.close();
    server.closeAllConnections();
  }
});

test.run();
