/**
 * The served EndpointSlice. A consumer writes a record, an EndpointSlice without Service, which kube-proxy and DNS ignore
 * (Kubernetes, EndpointSlices: ownership is the label `kubernetes.io/service-name`). Only this cluster's controller writes the
 * slices of Services, with admitted addresses. A foreign address is thus never served: Kubernetes lets anyone who may write
 * EndpointSlices point a Service at any address (CVE-2021-25740). Pure.
 */
import type { IncomingPeering } from '../../shared/api/peerings.ts';
import { labels } from '../../shared/names.ts';
import { stableText } from '../kube/status.ts';
import type { EndpointSlice } from '../../shared/kube/types.ts';
import { peeringLabels } from './names.ts';

export const serviceLabel = 'kubernetes.io/service-name';
/** The cluster's endpoint controllers ignore slices with another manager (discovery.k8s.io/v1). */
const managerLabel = 'endpointslice.kubernetes.io/managed-by';

/** The slice to serve for a record; undefined if the record names no Service. */
export function servedSlice(
  record: EndpointSlice,
  peering: IncomingPeering,
  endpoints: NonNullable<EndpointSlice['endpoints']>,
): EndpointSlice | undefined {
  const { name, namespace = '', uid = '' } = record.metadata;
  const service = record.metadata.labels?.[labels.recordedService];
  if (service === undefined || service === '') return undefined;
  return {
    apiVersion: record.apiVersion,
    kind: record.kind,
    metadata: {
      name: `hawser-${uid}`,
      namespace,
      labels: {
        ...peeringLabels(peering),
        [serviceLabel]: service,
        [managerLabel]: 'hawser.dev',
        [labels.served]: 'true',
      },
      ownerReferences: [{ apiVersion: record.apiVersion, kind: record.kind, name, uid, controller: true }],
    },
    addressType: record.addressType,
    endpoints: endpoints.map(({ addresses, conditions, hostname }) => ({
      addresses,
      ...(conditions !== undefined && { conditions }),
      ...(hostname !== undefined && { hostname }),
    })),
    ports: (record.ports ?? []).map(({ name: portName, protocol, port, appProtocol }) => ({
      ...(portName !== undefined && { name: portName }),
      ...(protocol !== undefined && { protocol }),
      ...(port !== undefined && { port }),
      ...(appProtocol !== undefined && { appProtocol }),
    })),
  };
}

/** Whether the existing slice differs from the desired one in what it serves. */
export function servesOther(present: EndpointSlice, wanted: EndpointSlice): boolean {
  const text = ({ metadata, endpoints, ports }: EndpointSlice) =>
    stableText([
      Object.keys(wanted.metadata.labels ?? {}).map((key) => metadata.labels?.[key]),
      endpoints ?? [],
      ports ?? [],
    ]);
  return text(present) !== text(wanted);
}

/** Name of the record of a served slice. */
export const recordOf = (served: EndpointSlice): string | undefined =>
  served.metadata.ownerReferences?.find(({ controller }) => controller === true)?.name;
