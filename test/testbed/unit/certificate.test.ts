import { X509Certificate } from 'node:crypto';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { newAuthority, newLeaf } from '../certificate.ts';

const now = Date.now();

test('a leaf certificate chains to its CA and contains its names', () => {
  const authority = newAuthority('bed-ca', now);
  const leaf = newLeaf(
    authority,
    'bed-ca',
    {
      commonName: 'system:node:n1',
      organizations: ['system:nodes'],
      usages: ['client', 'server'],
      dnsNames: ['n1', 'kubernetes.default.svc'],
      addresses: ['172.18.0.11', 'fd00::1:2'],
    },
    now,
  );
  const ca = new X509Certificate(authority.certificate);
  const parsed = new X509Certificate(leaf.certificate);
  assert.ok(ca.ca);
  assert.ok(ca.verify(ca.publicKey));
  assert.not.ok(parsed.ca);
  assert.ok(parsed.verify(ca.publicKey));
  assert.ok(parsed.checkIssued(ca));
  assert.is(parsed.subject, 'O=system:nodes\nCN=system:node:n1');
  assert.is(
    parsed.subjectAltName,
    'DNS:n1, DNS:kubernetes.default.svc, IP Address:172.18.0.11, IP Address:FD00:0:0:0:0:0:1:2',
  );
  assert.equal(parsed.keyUsage, ['1.3.6.1.5.5.7.3.2', '1.3.6.1.5.5.7.3.1']);
});

test('two CAs do not trust each other', () => {
  const mine = newAuthority('bed-ca', now);
  const other = newAuthority('bed-ca', now);
  const leaf = newLeaf(mine, 'bed-ca', { commonName: 'x', usages: ['client'] }, now);
  assert.not.ok(
    new X509Certificate(leaf.certificate).verify(new X509Certificate(other.certificate).publicKey),
  );
});

test.run();
