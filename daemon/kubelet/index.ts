/** The kubelet API of the virtual nodes, which serves `kubectl logs`, `exec`, `attach` and `port-forward`. */
import type { Server } from 'node:https';
import { ports } from '../../shared/ports.ts';
import { kind, messageOf, type ControllerContext } from '../kube/index.ts';
import { sleep } from '../../shared/time.ts';
import { createAccess } from './access.ts';
import { selfSigned, signedByCluster, type ServingCertificate } from './certificate.ts';
import { createPlaces } from './place.ts';
import { createKubeletServer, tlsOptions } from './server.ts';

export interface KubeletOptions {
  /** Default `ports.kubelet`. */
  port?: number;
  /** Address to listen on. Default: all. */
  host?: string;
}

/** The ConfigMap in which every cluster publishes the CA of its client certificates for extension servers. */
const authorityConfigMap = { namespace: 'kube-system', name: 'extension-apiserver-authentication' };
const authorityKey = 'client-ca-file';
const retryMilliseconds = 300_000;
const listenRetryMilliseconds = 2_000;

/** Serves from the first OutgoingPeering until the signal is aborted. */
export async function runKubelet(
  context: ControllerContext,
  signal: AbortSignal,
  options: KubeletOptions = {},
): Promise<void> {
  const { kube, clock, log, podIP } = context;
  const places = createPlaces(context, signal);
  const authorities = context.informer(kind.configMap, {
    namespace: authorityConfigMap.namespace,
    fieldSelector: `metadata.name=${authorityConfigMap.name}`,
  });
  try {
    await Promise.all([
      places.pods.synced(signal),
      places.namespaces.synced(signal),
      authorities.synced(signal),
    ]);
    await firstPeering(places.peerings, signal);
  } catch (error) {
    if (signal.aborted) return;
    throw error;
  }
  const clientAuthority = () =>
    authorities.get(authorityConfigMap.namespace, authorityConfigMap.name)?.data?.[authorityKey];
  let serving: ServingCertificate = await selfSigned(podIP, clock.now());
  const material = () => ({
    certificate: serving.certificate,
    key: serving.key,
    clientAuthority: clientAuthority(),
  });
  const server = createKubeletServer(context, places, createAccess(kube, clock), material(), signal);
  const renew = () => server.setSecureContext(tlsOptions(material()));
  const stop = authorities.onChange(renew);
  try {
    while (!signal.aborted && !(await listens(server, options))) {
      log.warn('the kubelet API cannot listen; retrying', { port: options.port ?? ports.kubelet });
      await sleep(listenRetryMilliseconds, signal, clock);
    }
    while (!signal.aborted) {
      let pause = retryMilliseconds;
      try {
        const nodeName = places.peerings.list()[0]?.spec.nodeName ?? 'hawser';
        serving = await signedByCluster(kube, nodeName, podIP, () => clock.now(), signal);
        renew();
        pause = serving.renewAt - clock.now();
        log.info('the cluster issued the certificate of the kubelet API');
      } catch (error) {
        if (signal.aborted) break;
        log.warn('failed to renew the certificate of the kubelet API; keeping the current one', {
          error: messageOf(error),
        });
        if (serving.renewAt <= clock.now()) {
          serving = await selfSigned(podIP, clock.now());
          renew();
        }
      }
      await sleep(Math.max(pause, 1000), signal, clock);
    }
  } finally {
    stop();
    server.close();
    server.closeAllConnections();
  }
}

function firstPeering(
  peerings: { list(): readonly unknown[]; onChange(handler: () => void): () => void },
  signal: AbortSignal,
): Promise<void> {
  if (peerings.list().length > 0) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const finish = () => {
      stop();
      signal.removeEventListener('abort', onAbort);
    };
    const onAbort = () => {
      finish();
      reject(signal.reason as Error);
    };
    const stop = peerings.onChange(() => {
      if (peerings.list().length === 0) return;
      finish();
      resolve();
    });
    signal.addEventListener('abort', onAbort, { once: true });
  });
}

function listens(server: Server, options: KubeletOptions): Promise<boolean> {
  return new Promise((resolve) => {
    const onError = () => {
      server.off('listening', onListening);
      resolve(false);
    };
    const onListening = () => {
      server.off('error', onError);
      resolve(true);
    };
    server.once('error', onError);
    server.once('listening', onListening);
    server.listen({
      port: options.port ?? ports.kubelet,
      ...(options.host !== undefined && { host: options.host }),
    });
  });
}
