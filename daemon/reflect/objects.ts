/** The form of the consumer's objects in a twin namespace. Pure. */
import { leadsOutside } from '../../shared/external-names.ts';
import { labels } from '../../shared/names.ts';
import type { ConfigMap, EndpointSlice, ObjectMeta, Secret, Service } from '../../shared/kube/types.ts';
import type { Translate } from './addresses.ts';

/** The target of reflected objects, and their owner. */
export interface Target {
  /** Name of the twin namespace. */
  namespace: string;
  /** ID of this cluster. */
  consumer: string;
  /** The consumer's namespace. */
  source: string;
}

const serviceName = 'kubernetes.io/service-name';
/** Its credentials are for this cluster's API server and must not reach a provider. */
const accountToken = 'kubernetes.io/service-account-token';

/** The labels that mark an object in a twin namespace as reflected by this cluster. */
export const reflectedMetadata = (name: string, { namespace, consumer, source }: Target): ObjectMeta => ({
  name,
  namespace,
  labels: {
    [labels.reflected]: 'true',
    [labels.origin]: consumer,
    [labels.originNamespace]: source,
  },
});

export function reflectedConfigMap(source: ConfigMap, target: Target): ConfigMap {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: reflectedMetadata(source.metadata.name, target),
    ...(source.data !== undefined && { data: source.data }),
    ...(source.binaryData !== undefined && { binaryData: source.binaryData }),
  };
}

/** Undefined if it is not reflected. */
export function reflectedSecret(source: Secret, target: Target): Secret | undefined {
  if (source.type === accountToken) return undefined;
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: reflectedMetadata(source.metadata.name, target),
    type: source.type ?? 'Opaque',
    ...(source.data !== undefined && { data: source.data }),
  };
}

/**
 * A Service without selector, whose EndpointSlices are reflected separately; reachable only inside the provider's cluster.
 * Undefined for Services that cannot be reflected: ExternalName inside a cluster, and the API server's own.
 */
export function reflectedService(source: Service, target: Target): Service | undefined {
  const spec = source.spec ?? {};
  if (spec.type === 'ExternalName') return reflectedAlias(source, target);
  if (target.source === 'default' && source.metadata.name === 'kubernetes') return undefined;
  const headless = spec.clusterIP === 'None';
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: reflectedMetadata(source.metadata.name, target),
    spec: {
      type: 'ClusterIP',
      ...(headless && { clusterIP: 'None' }),
      // A headless Service may have no ports.
      ...(spec.ports !== undefined && {
        ports: spec.ports.map(({ name, protocol, port, appProtocol }) => ({
          ...(name !== undefined && { name }),
          protocol: protocol ?? 'TCP',
          port,
          ...(appProtocol !== undefined && { appProtocol }),
        })),
      }),
      ...(spec['sessionAffinity'] === 'ClientIP' && !headless && { sessionAffinity: 'ClientIP' }),
      ...(spec['publishNotReadyAddresses'] === true && { publishNotReadyAddresses: true }),
    },
  };
}

/** An alias leads where it leads at home: the provider's DNS looks the name up. */
function reflectedAlias(source: Service, target: Target): Service | undefined {
  const externalName = source.spec?.['externalName'];
  if (typeof externalName !== 'string' || !leadsOutside(externalName)) return undefined;
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: reflectedMetadata(source.metadata.name, target),
    spec: { type: 'ExternalName', externalName },
  };
}

/** The Service that a slice belongs to. */
export const serviceOf = (slice: EndpointSlice): string | undefined => slice.metadata.labels?.[serviceName];

/** Undefined for slices of type FQDN. Endpoints that the provider cannot reach are left out. */
export function reflectedSlice(
  source: EndpointSlice,
  target: Target,
  translate: Translate,
): EndpointSlice | undefined {
  const service = serviceOf(source);
  if (service === undefined || (source.addressType !== 'IPv4' && source.addressType !== 'IPv6'))
    return undefined;
  const meta = reflectedMetadata(source.metadata.name, target);
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      ...meta,
      // A record, of which the provider serves what it admits: a consumer may write no slices of Services.
      labels: { ...meta.labels, [labels.recordedService]: service },
    },
    addressType: source.addressType,
    endpoints: (source.endpoints ?? []).flatMap((endpoint) => {
      const addresses = endpoint.addresses.map(translate).filter((address) => address !== undefined);
      if (addresses.length === 0) return [];
      const { ready = true, serving = ready, terminating = false } = endpoint.conditions ?? {};
      const hostname = endpoint['hostname'];
      return [
        {
          addresses,
          conditions: { ready: ready ?? true, serving: serving ?? true, terminating: terminating ?? false },
          // The DNS name of a StatefulSet's pod.
          ...(typeof hostname === 'string' && { hostname }),
        },
      ];
    }),
    ports: (source.ports ?? []).map(({ name, protocol, port, appProtocol }) => ({
      name: name ?? '',
      protocol: protocol ?? 'TCP',
      ...(typeof port === 'number' && { port }),
      ...(typeof appProtocol === 'string' && { appProtocol }),
    })),
  };
}
