/**
 * The API gateway's serving certificate: self-signed, ECDSA P-256, trusted by its pin instead of its issuer. A renewal keeps
 * the key, and with it the pin.
 */
import 'reflect-metadata';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { certificatePin } from './certificate-pin.ts';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MILLISECONDS = 24 * 3600 * 1000;
/** A peer whose clock is behind must accept a new certificate. */
const BACKDATE_MILLISECONDS = 60 * 60 * 1000;

export interface CertificateRequest {
  /** DNS names and IP addresses. */
  hosts: readonly string[];
  /** Validity in days. */
  days: number;
  /** Milliseconds since 1970. */
  now: number;
  /** PEM, PKCS #8: reuses the key of an earlier certificate. Absent: a new one. */
  privateKey?: string;
}

export interface IssuedCertificate {
  /** PEM: `tls.crt`. */
  certificate: string;
  /** PEM, PKCS #8: `tls.key`. */
  privateKey: string;
  /** `certificatePin` of the certificate. */
  pin: string;
  /** RFC 3339. */
  expiresAt: string;
}

/** Issues a certificate for TLS servers, signed by its own key. Serial number and key come from WebCrypto. */
export async function issueSelfSignedCertificate(request: CertificateRequest): Promise<IssuedCertificate> {
  const keys = await keyPair(request.privateKey);
  const notAfter = new Date(request.now + request.days * DAY_MILLISECONDS);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=hawser-gateway',
    keys,
    signingAlgorithm: ALGORITHM,
    notBefore: new Date(request.now - BACKDATE_MILLISECONDS),
    notAfter,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension(
        request.hosts.map((value) => ({
          type: isAddress(value) ? ('ip' as const) : ('dns' as const),
          value,
        })),
      ),
    ],
  });
  const pem = certificate.toString('pem');
  return {
    certificate: `${pem}\n`,
    privateKey:
      request.privateKey ??
      `${PemConverter.encode(await crypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY')}\n`,
    pin: certificatePin(pem),
    expiresAt: notAfter.toISOString(),
  };
}

async function keyPair(pem: string | undefined): Promise<CryptoKeyPair> {
  if (pem === undefined) return crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const privateKey = await crypto.subtle.importKey('pkcs8', PemConverter.decodeFirst(pem), ALGORITHM, true, [
    'sign',
  ]);
  const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', privateKey);
  if (kty === undefined || crv === undefined || x === undefined || y === undefined)
    throw new RangeError('the private key is not a P-256 key');
  const publicKey = await crypto.subtle.importKey('jwk', { kty, crv, x, y }, ALGORITHM, true, ['verify']);
  return { privateKey, publicKey };
}

function isAddress(host: string): boolean {
  return host.includes(':') || /^\d{1,3}(\.\d{1,3}){3}$/.test(host);
}
