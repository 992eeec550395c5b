/**
 * A small certificate authority: X.509 v3 certificates (RFC 5280) with ECDSA P-256 keys, one CA for each cluster of the
 * testbed. Kubernetes accepts ECDSA everywhere, and generating such a key takes a millisecond.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  sign,
} from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { isIPv4, isIPv6 } from 'node:net';

export interface Certificate {
  /** PEM. */
  certificate: string;
  /** PEM, PKCS #8. */
  key: string;
}

export interface Subject {
  commonName: string;
  organizations?: readonly string[];
}

export interface LeafRequest extends Subject {
  usages: readonly ('client' | 'server')[];
  dnsNames?: readonly string[];
  addresses?: readonly string[];
}

/** Testbeds are short-lived; a year is longer than any of them. */
const lifeMilliseconds = 365 * 24 * 3600 * 1000;
/** All nodes share one clock; a few minutes allow for a test that moves it. */
const backdateMilliseconds = 5 * 60 * 1000;

function der(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  const length = content.length;
  let head: number[];
  if (length < 0x80) head = [tag, length];
  else if (length < 0x100) head = [tag, 0x81, length];
  else head = [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), content]);
}
const sequence = (...contents: readonly Uint8Array[]) => der(0x30, ...contents);
const octets = (content: Uint8Array) => der(0x04, content);
const bits = (content: Uint8Array, unused = 0) => der(0x03, Buffer.from([unused]), content);
const yes = der(0x01, Buffer.from([0xff]));
const text = (value: string) => der(0x0c, Buffer.from(value, 'utf8'));

function objectIdentifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes = [first * 40 + second];
  for (const arc of rest) {
    const groups = [arc & 0x7f];
    for (let left = arc >>> 7; left > 0; left >>>= 7) groups.unshift((left & 0x7f) | 0x80);
    bytes.push(...groups);
  }
  return der(0x06, Buffer.from(bytes));
}

const ecdsaWithSha256 = sequence(objectIdentifier('1.2.840.10045.4.3.2'));

/** UTCTime until 2049, as RFC 5280 section 4.1.2.5 requires. */
function time(date: Date): Buffer {
  const digits = date.toISOString().replace(/[-:T]/g, '').slice(2, 14);
  return der(0x17, Buffer.from(`${digits}Z`));
}

function name(subject: Subject): Buffer {
  const attribute = (type: string, value: string) => der(0x31, sequence(objectIdentifier(type), text(value)));
  return sequence(
    ...(subject.organizations ?? []).map((organization) => attribute('2.5.4.10', organization)),
    attribute('2.5.4.3', subject.commonName),
  );
}

function addressBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number));
  if (!isIPv6(address)) throw new TypeError(`${address} is not an IP address`);
  const [head = '', tail = ''] = address.split('::');
  const groups = (part: string) => (part === '' ? [] : part.split(':').map((group) => parseInt(group, 16)));
  const before = groups(head);
  const after = groups(tail);
  const zeros = Array<number>(8 - before.length - after.length).fill(0);
  return Buffer.from([...before, ...zeros, ...after].flatMap((group) => [group >> 8, group & 0xff]));
}

function extension(id: string, critical: boolean, value: Uint8Array): Buffer {
  return sequence(objectIdentifier(id), ...(critical ? [yes] : []), octets(value));
}

function subjectKeyIdentifier(publicKey: KeyObject): Buffer {
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(spki).digest().subarray(0, 20);
}

function pem(label: string, content: Uint8Array): string {
  const lines =
    Buffer.from(content)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

function issue(
  subject: Buffer,
  publicKey: KeyObject,
  issuer: Buffer,
  issuerKey: KeyObject,
  now: number,
  extensions: readonly Buffer[],
): string {
  const serial = randomBytes(16);
  // Positive and without leading zeros: the sign bit is cleared, the next one set.
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  const toBeSigned = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, serial),
    ecdsaWithSha256,
    issuer,
    sequence(time(new Date(now - backdateMilliseconds)), time(new Date(now + lifeMilliseconds))),
    subject,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...extensions)),
  );
  const signature = sign('sha256', toBeSigned, { key: issuerKey, dsaEncoding: 'der' });
  return pem('CERTIFICATE', sequence(toBeSigned, ecdsaWithSha256, bits(signature)));
}

/** A fresh P-256 key pair, the private part as PEM. Also used to sign service-account tokens (ES256). */
export function newKeyPair(): { publicKey: string; privateKey: string } {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    publicKey: pair.publicKey.export({ type: 'spki', format: 'pem' }),
    privateKey: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }),
  };
}

/** Creates a self-signed certificate authority. `now` is in milliseconds since the epoch. */
export function newAuthority(commonName: string, now: number): Certificate {
  const { privateKey } = newKeyPair();
  const key = createPrivateKey(privateKey);
  const publicKey = createPublicKey(key);
  const subject = name({ commonName });
  const certificate = issue(subject, publicKey, subject, key, now, [
    extension('2.5.29.19', true, sequence(yes)),
    // digitalSignature, keyCertSign, cRLSign
    extension('2.5.29.15', true, bits(Buffer.from([0x86]), 1)),
    extension('2.5.29.14', false, octets(subjectKeyIdentifier(publicKey))),
  ]);
  return { certificate, key: privateKey };
}

/** Issues a leaf certificate from an authority of `newAuthority(authorityName, …)`. */
export function newLeaf(
  authority: Certificate,
  authorityName: string,
  request: LeafRequest,
  now: number,
): Certificate {
  const { privateKey, publicKey: publicPem } = newKeyPair();
  const publicKey = createPublicKey(publicPem);
  const authorityKey = createPrivateKey(authority.key);
  const usages = request.usages.map((usage) =>
    objectIdentifier(usage === 'server' ? '1.3.6.1.5.5.7.3.1' : '1.3.6.1.5.5.7.3.2'),
  );
  const names = [
    ...(request.dnsNames ?? []).map((dnsName) => der(0x82, Buffer.from(dnsName, 'ascii'))),
    ...(request.addresses ?? []).map((address) => der(0x87, addressBytes(address))),
  ];
  const certificate = issue(
    name(request),
    publicKey,
    name({ commonName: authorityName }),
    authorityKey,
    now,
    [
      extension('2.5.29.19', true, sequence()),
      // digitalSignature
      extension('2.5.29.15', true, bits(Buffer.from([0x80]), 7)),
      extension('2.5.29.37', false, sequence(...usages)),
      extension('2.5.29.14', false, octets(subjectKeyIdentifier(publicKey))),
      extension('2.5.29.35', false, sequence(der(0x80, subjectKeyIdentifier(createPublicKey(authorityKey))))),
      ...(names.length > 0 ? [extension('2.5.29.17', false, sequence(...names))] : []),
    ],
  );
  return { certificate, key: privateKey };
}
