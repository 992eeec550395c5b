/**
 * The webhooks: new pods of offloaded namespaces may run on virtual nodes, and a NamespaceOffloading holds for the pod that is
 * created right after it. When they do not answer, pods of
 * `LocalAndRemote` namespaces are let through as they are (they run at home, which the placement allows), and pods of
 * `Remote` namespaces are refused until it does (they must not run at home; their controllers try again by themselves).
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import { X509Certificate } from 'node:crypto';
import type { KubernetesObject } from '../../shared/api/meta.ts';
import { labels } from '../../shared/names.ts';
import { ports } from '../../shared/ports.ts';
import { issueSelfSignedCertificate } from '../../shared/trust/self-signed-certificate.ts';
import { isAlreadyExists, kind, messageOf, type ControllerContext } from '../kube/index.ts';
import { sleep } from '../../shared/time.ts';
import type { Secret } from '../../shared/kube/types.ts';
import { virtualPods } from '../peers/virtual-pods.ts';
import { createReviews, type AdmissionReview, type Reviews } from './admission-reviews.ts';
import { offloadingsPath, podPaths, registration, webhookService } from './webhook-registration.ts';

/** Secret in Hawser's namespace with the webhook's certificate and key. */
export const webhookSecret = 'hawser-webhook-tls';
const fieldManager = 'hawser-webhook';
const certificateDays = 3650;
/** Renewed long before its expiry. */
const renewBeforeMilliseconds = 90 * 24 * 3600 * 1000;
const checkMilliseconds = 3600 * 1000;
const retryMilliseconds = 2000;
/** An AdmissionReview contains one pod; etcd's limit is 1.5 MiB. */
const longestBody = 4 << 20;

export interface WebhookOptions {
  /** Port to listen on. Default `ports.webhook`. */
  port?: number;
  /** URL that the API server calls instead of the Service, for a controller outside the cluster. */
  url?: string;
}

/** Serves the webhook and maintains its registration until the signal is aborted. */
export async function runPodWebhook(
  context: ControllerContext,
  signal: AbortSignal,
  options: WebhookOptions = {},
): Promise<void> {
  const offloadings = context.informer(kind.namespaceOffloading);
  const namespaces = context.informer(kind.namespace);
  await Promise.all([offloadings.synced(signal), namespaces.synced(signal)]);
  const reviews = createReviews(context, offloadings, namespaces, virtualPods(context));
  let server: Server | undefined;
  try {
    while (!signal.aborted) {
      let pause = checkMilliseconds;
      try {
        const { certificate, privateKey } = await ensureCertificate(context, options, signal);
        if (server === undefined) {
          server = createServer(
            { cert: certificate, key: privateKey, minVersion: 'TLSv1.2' },
            (request, response) => {
              answer(request, response, reviews, signal).catch((error: unknown) => {
                context.log.warn('failed to answer an admission request', { error: messageOf(error) });
                if (!response.headersSent) response.writeHead(400).end();
              });
            },
          );
          server.requestTimeout = 10_000;
          server.headersTimeout = 5_000;
          server.maxHeadersCount = 100;
          await listen(server, options.port ?? ports.webhook);
        } else {
          server.setSecureContext({ cert: certificate, key: privateKey });
        }
        const desired = registration(context.namespace, certificate, options.url);
        const self = await context.kube.get({ kind: kind.localCluster, name: 'self' }, signal);
        // Owned by LocalCluster, which the chart deletes: a webhook without a server must not stay.
        const ownerReferences = self === undefined ? [] : [ownerReference(self)];
        await context.kube.apply(
          { ...desired, metadata: { ...desired.metadata, ownerReferences } },
          { fieldManager },
          signal,
        );
      } catch (error) {
        if (signal.aborted) break;
        context.log.warn('the pod webhook is not ready; retrying', { error: messageOf(error) });
        pause = retryMilliseconds;
      }
      await sleep(pause, signal, context.clock);
    }
  } finally {
    server?.close();
    server?.closeAllConnections();
  }
}

function ownerReference({ apiVersion, kind: ownerKind, metadata: { name, uid = '' } }: KubernetesObject) {
  return { apiVersion, kind: ownerKind, name, uid };
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

async function ensureCertificate(
  context: ControllerContext,
  options: WebhookOptions,
  signal: AbortSignal,
): Promise<{ certificate: string; privateKey: string }> {
  const { kube, namespace, clock } = context;
  const ref = { kind: kind.secret, name: webhookSecret, namespace };
  const host =
    options.url === undefined ? `${webhookService}.${namespace}.svc` : new URL(options.url).hostname;
  const present = await kube.get<Secret>(ref, signal);
  const held = usable(present, host, clock.now());
  if (held !== undefined) return held;
  const issued = await issueSelfSignedCertificate({ hosts: [host], days: certificateDays, now: clock.now() });
  const secret: Secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name: webhookSecret,
      namespace,
      labels: { [labels.managedBy]: 'hawser' },
      ...(present?.metadata.resourceVersion !== undefined && {
        resourceVersion: present.metadata.resourceVersion,
      }),
    },
    type: 'kubernetes.io/tls',
    stringData: { 'tls.crt': issued.certificate, 'tls.key': issued.privateKey },
  };
  try {
    // All processes use the first writer's certificate.
    if (present === undefined) await kube.create(secret, signal, { fieldManager });
    else await kube.replace(secret, { fieldManager }, signal);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    const theirs = usable(await kube.get<Secret>(ref, signal), host, clock.now());
    if (theirs !== undefined) return theirs;
    throw error;
  }
  return issued;
}

function usable(
  secret: Secret | undefined,
  host: string,
  now: number,
): { certificate: string; privateKey: string } | undefined {
  const certificate = decode(secret, 'tls.crt');
  const privateKey = decode(secret, 'tls.key');
  if (certificate === undefined || privateKey === undefined) return undefined;
  try {
    const parsed = new X509Certificate(certificate);
    const matches = parsed.checkHost(host) !== undefined || parsed.checkIP(host) !== undefined;
    return matches && parsed.validToDate.getTime() - now > renewBeforeMilliseconds
      ? { certificate, privateKey }
      : undefined;
  } catch {
    return undefined;
  }
}

function decode(secret: Secret | undefined, key: string): string | undefined {
  const encoded = secret?.data?.[key];
  return encoded === undefined ? undefined : Buffer.from(encoded, 'base64').toString('utf8');
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  reviews: Reviews,
  signal: AbortSignal,
): Promise<void> {
  const path = request.url?.split('?')[0];
  const placement = Object.entries(podPaths).find(([each]) => each === path)?.[1];
  if (request.method !== 'POST' || (placement === undefined && path !== offloadingsPath)) {
    response.writeHead(404).end();
    return;
  }
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > longestBody) {
      response.writeHead(413).end();
      return;
    }
    chunks.push(chunk);
  }
  const review = JSON.parse(Buffer.concat(chunks).toString('utf8')) as AdmissionReview;
  const reviewed =
    placement === undefined ? await reviews.offloading(review, signal) : reviews.pod(review, placement);
  if (reviewed === undefined) {
    response.writeHead(400).end();
    return;
  }
  const body = { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: reviewed };
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
