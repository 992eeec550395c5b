/** Configuration of the API gateway from environment variables. Pure. */
import { defaultNamespace } from '../shared/names.ts';
import { ports } from '../shared/ports.ts';
import { defaultLimits } from './http/limits.ts';
import { levelOf, type LogLevel } from '../shared/log.ts';

export interface Configuration {
  namespace: string;
  logLevel: LogLevel;
  /** HTTPS for peers, on all addresses. */
  port: number;
  /** Plain HTTP for probes and metrics. */
  metricsPort: number;
  /** How long a redemption waits until its tenant is ready. */
  tenantMilliseconds: number;
  /** Directory with `tls.crt` and `tls.key`; if undefined the Secret is read through the API. */
  certificateDirectory: string | undefined;
  /** Directory with `token` and `ca.crt`, as mounted by Kubernetes. */
  serviceAccountDirectory: string;
  /** `https://host:port` of the API server. */
  apiServer: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Throws RangeError that names the variable. */
export function readConfiguration(environment: Environment): Configuration {
  const host = environment['KUBERNETES_SERVICE_HOST'];
  if (host === undefined || host === '')
    throw new RangeError(
      'KUBERNETES_SERVICE_HOST is not set: the gateway runs as a pod of a Kubernetes cluster',
    );
  const apiServerPort = readPort(environment, 'KUBERNETES_SERVICE_PORT', 443);
  return {
    namespace: environment['HAWSER_NAMESPACE'] ?? defaultNamespace,
    logLevel: levelOf(environment['LOG_LEVEL']),
    // Not HAWSER_GATEWAY_PORT: Kubernetes sets that in pods, for the Service of that name.
    port: readPort(environment, 'HAWSER_LISTEN_PORT', ports.gateway),
    metricsPort: readPort(environment, 'HAWSER_METRICS_PORT', ports.gatewayMetrics),
    tenantMilliseconds: readSeconds(environment, 'HAWSER_TENANT_SECONDS', defaultLimits.tenantMilliseconds),
    certificateDirectory: environment['HAWSER_TLS_DIRECTORY'] || undefined,
    serviceAccountDirectory:
      environment['HAWSER_SERVICE_ACCOUNT_DIRECTORY'] ?? '/var/run/secrets/kubernetes.io/serviceaccount',
    apiServer: `https://${host.includes(':') ? `[${host}]` : host}:${apiServerPort}`,
  };
}

function readPort(environment: Environment, name: string, otherwise: number): number {
  const text = environment[name];
  if (text === undefined || text === '') return otherwise;
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535) throw new RangeError(`${name} is not a valid port number`);
  return port;
}

/** Milliseconds; at most what a request may take altogether. */
function readSeconds(environment: Environment, name: string, otherwise: number): number {
  const text = environment[name];
  if (text === undefined || text === '') return otherwise;
  const milliseconds = Number(text) * 1000;
  if (!/^\d{1,3}$/.test(text) || milliseconds === 0 || milliseconds > defaultLimits.requestMilliseconds)
    throw new RangeError(
      `${name} is not a number of seconds up to ${defaultLimits.requestMilliseconds / 1000}`,
    );
  return milliseconds;
}
