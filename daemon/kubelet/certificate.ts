/**
 * The serving certificate of the virtual nodes' kubelet API. The cluster signs it like those of kubelets
 * (`kubernetes.io/kubelet-serving`, Kubernetes, "Certificate Signing Requests"), so that an API server that verifies kubelet
 * certificates accepts it. Until then, and where no signer responds, a self-signed certificate is used.
 */
import 'reflect-metadata';
import { X509Certificate, randomBytes } from 'node:crypto';
import {
  Pkcs10CertificateRequestGenerator,
  PemConverter,
  SubjectAlternativeNameExtension,
} from '@peculiar/x509';
import { issueSelfSignedCertificate } from '../../shared/trust/self-signed-certificate.ts';
import { toSeconds } from '../../shared/conditions.ts';
import { kind, type AnyObject, type KubeClient } from '../kube/index.ts';
import { sleep } from '../../shared/time.ts';

export interface ServingCertificate {
  /** PEM */
  certificate: string;
  /** PEM, PKCS #8 */
  key: string;
  /** When to request the next one; milliseconds since 1970. */
  renewAt: number;
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const signerName = 'kubernetes.io/kubelet-serving';
/** Exactly these two: the signer refuses other usages for a key that is not RSA. */
const usages = ['digital signature', 'server auth'];
const wantedSeconds = 7 * 24 * 3600;
const signTimeoutMilliseconds = 30_000;
const lookMilliseconds = 250;
const selfSignedDays = 365;

interface SigningRequest extends AnyObject {
  status?: {
    certificate?: string;
    conditions?: {
      type: string;
      status: string;
      reason?: string;
      message?: string;
      lastUpdateTime?: string;
    }[];
  };
}

/** A self-signed certificate for the address. */
export async function selfSigned(address: string, now: number): Promise<ServingCertificate> {
  const issued = await issueSelfSignedCertificate({ hosts: [address], days: selfSignedDays, now });
  return {
    certificate: issued.certificate,
    key: issued.privateKey,
    renewAt: now + (selfSignedDays / 2) * 24 * 3600 * 1000,
  };
}

/**
 * Requests a certificate from the cluster, approves the request, and waits for the signer. The request is deleted
 * afterwards. Throws when no certificate is issued within 30 s.
 */
export async function signedByCluster(
  kube: KubeClient,
  nodeName: string,
  address: string,
  now: () => number,
  signal: AbortSignal,
): Promise<ServingCertificate> {
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: [{ O: ['system:nodes'] }, { CN: [`system:node:${nodeName}`] }],
    keys,
    signingAlgorithm: algorithm,
    extensions: [new SubjectAlternativeNameExtension([{ type: 'ip', value: address }])],
  });
  const made = (await kube.create(
    {
      apiVersion: 'certificates.k8s.io/v1',
      kind: 'CertificateSigningRequest',
      metadata: { name: `hawser-kubelet-${randomBytes(8).toString('hex')}` },
      spec: {
        request: Buffer.from(request.toString('pem')).toString('base64'),
        signerName,
        usages,
        expirationSeconds: wantedSeconds,
      },
    },
    signal,
  )) as SigningRequest;
  const ref = { kind: kind.certificateSigningRequest, name: made.metadata.name };
  const startedAt = now();
  try {
    await kube.replace(
      {
        ...made,
        status: {
          ...made.status,
          conditions: [
            {
              type: 'Approved',
              status: 'True',
              reason: 'HawserVirtualNode',
              message: "Requested by Hawser's controller for its own address.",
              lastUpdateTime: toSeconds(now()),
            },
          ],
        },
      },
      { subresource: 'approval' },
      signal,
    );
    while (now() - startedAt < signTimeoutMilliseconds) {
      signal.throwIfAborted();
      const seen = (await kube.get(ref, signal)) as SigningRequest | undefined;
      const certificate = seen?.status?.certificate;
      if (certificate !== undefined && certificate !== '') {
        const text = Buffer.from(certificate, 'base64').toString('utf8');
        const key = PemConverter.encode(
          await crypto.subtle.exportKey('pkcs8', keys.privateKey),
          'PRIVATE KEY',
        );
        return { certificate: text, key: `${key}\n`, renewAt: renewal(text, now()) };
      }
      const failed = seen?.status?.conditions?.find(
        (each) => each.type === 'Failed' || each.type === 'Denied',
      );
      if (failed !== undefined) {
        throw new Error(
          `the signer ${signerName} does not sign certificates of virtual nodes: ${failed.message ?? failed.type}`,
        );
      }
      await sleep(lookMilliseconds, signal);
    }
    throw new Error(
      `no certificate was issued by ${signerName} within ${signTimeoutMilliseconds / 1000} s; logs and exec work only if the API server does not verify kubelet certificates`,
    );
  } finally {
    // The certificate has been read, so the object is no longer needed.
    await kube.delete(ref, {}, signal).catch(() => undefined);
  }
}

/** At two thirds of its lifetime. */
function renewal(certificate: string, now: number): number {
  const { validFromDate, validToDate } = new X509Certificate(certificate);
  const life = validToDate.getTime() - validFromDate.getTime();
  return Math.max(now + 60_000, validFromDate.getTime() + (life * 2) / 3);
}
