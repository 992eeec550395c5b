/** The common part of both entries: starts the gateway from configuration and files, with injected sockets. */
import type { RandomBytes } from '../shared/trust/cluster-key.ts';
import type { KubeTransport } from '../shared/kube/port.ts';
import { createLog } from '../shared/log.ts';
import { secrets } from '../shared/names.ts';
import {
  followCertificate,
  readCertificateFiles,
  readCertificateSecret,
  type CertificatePair,
} from './certificates.ts';
import { readConfiguration } from './configuration.ts';
import type { Dependencies } from './http/context.ts';
import { createGatewayKubeClient } from './kube/client.ts';
import { readServiceAccount, type InClusterConnection } from './kube/in-cluster.ts';
import { createGatewayService } from './service.ts';

/** Answers a request; `bindings` are the runtime's additional data. */
export type Handler = (request: Request, bindings?: Record<string, unknown>) => Response | Promise<Response>;

/** A listening server. */
export interface Listener {
  /** Uses another certificate for new connections. */
  renew: (pair: CertificatePair) => void | Promise<void>;
  /** Accepts no more connections, and ends after pending requests. */
  close: () => Promise<void>;
}

/** The functions of a runtime. */
export interface Runtime {
  readText: (path: string) => Promise<string>;
  writeLine: (line: string) => void;
  random: RandomBytes;
  /** The transport to the API server. */
  kubeTransport: (connection: InClusterConnection) => KubeTransport;
  /** Throws unless the two belong together. */
  checkPair: (pair: CertificatePair) => void;
  sourceOf: Dependencies['sourceOf'];
  /** `onRefused` is called for each connection that is closed because there are too many, where the runtime can say it. */
  listenHTTPS: (
    handler: Handler,
    port: number,
    pair: CertificatePair,
    onRefused: () => void,
  ) => Promise<Listener>;
  listenHTTP: (handler: Handler, port: number) => Promise<Listener>;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Runs the gateway until `signal` is aborted. Rejects when it can't begin. */
export async function runOn(runtime: Runtime, environment: Environment, signal: AbortSignal): Promise<void> {
  const configuration = readConfiguration(environment);
  const { namespace, serviceAccountDirectory, certificateDirectory } = configuration;
  const { readText, random, checkPair } = runtime;
  const log = createLog(configuration.logLevel, {
    write: runtime.writeLine,
    now: Date.now,
    fields: { role: 'gateway' },
  });
  const connection = await readServiceAccount({
    url: configuration.apiServer,
    directory: serviceAccountDirectory,
    readText,
    now: () => performance.now(),
  });
  const kube = createGatewayKubeClient(runtime.kubeTransport(connection));
  let serving: Listener | undefined;
  const service = createGatewayService({
    kube,
    namespace,
    clock: Date.now,
    random,
    log,
    sourceOf: runtime.sourceOf,
    rootAuthority: () => readText(`${serviceAccountDirectory}/ca.crt`),
    limits: { tenantMilliseconds: configuration.tenantMilliseconds },
    stopping: signal,
    waitingFor: () =>
      serving === undefined
        ? `waiting for the controller to create the Secret ${secrets.gatewayCertificate}`
        : undefined,
  });
  const management = await runtime.listenHTTP(service.management.fetch, configuration.metricsPort);
  log.info('serving probes and metrics', { port: configuration.metricsPort });
  const use = async (pair: CertificatePair) => {
    if (serving === undefined) {
      serving = await runtime.listenHTTPS(
        service.app.fetch,
        configuration.port,
        pair,
        service.onConnectionRefused,
      );
      log.info('serving remote clusters', { port: configuration.port });
    } else {
      await serving.renew(pair);
      log.info('renewed the certificate');
    }
  };
  const certificate =
    certificateDirectory === undefined
      ? {
          place: `Secret ${namespace}/${secrets.gatewayCertificate}`,
          read: () => readCertificateSecret(kube, namespace, signal),
        }
      : { place: certificateDirectory, read: () => readCertificateFiles(certificateDirectory, readText) };
  await Promise.all([
    service.run(),
    followCertificate({ ...certificate, check: checkPair, log }, use, signal),
  ]);
  await Promise.all([serving?.close(), management.close()]);
}
