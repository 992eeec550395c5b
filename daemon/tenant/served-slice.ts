/**
 * The EndpointSlice that serves. A consumer writes a record, an EndpointSlice of no Service, which kube-proxy and DNS pass
 * over (Kubernetes, EndpointSlices: ownership is the label `kubernetes.io/service-name`); this cluster's controller alone
 * writes the slices of the Services, with the addresses that it admits. So a foreign address never serves, not for a moment:
 * Kubernetes lets whoever may write EndpointSlices point a Service at any address (CVE-2021-25740). Pure.
 */
import type { IncomingPeering } from '../../shared/api/peerings.ts';
import { labels } from '../../shared/names.ts';
import { stableText } from '../kube/status.ts';
import type { EndpointSlice } from '../../shared/kube/types.ts';
import { peeringLabels } from './names.ts';

export const serviceLabel = 'kubernetes.io/service-name';
/** Discovery API: slices with another manager than the cluster's own controllers are left alone by them. */
const managerLabel = 'endpointslice.kubernetes.io/managed-by';

/** The slice to serve for a record; undefined: the record names no Service. */
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

/** Does the slice that is there serve something else than the wanted one? */
export function servesOther(present: EndpointSlice, wanted: EndpointSlice): boolean {
  const text = ({ metadata, endpoints, ports }: EndpointSlice) =>
    stableText([
      Object.keys(wanted.metadata.labels ?? {}).map((key) => metadata.labels?.[key]),
      endpoints ?? [],
      ports ?? [],
    ]);
  return text(present) !== text(wanted);
}

/** Name of the record that a served slice stands for. */
export const recordOf = (served: EndpointSlice): string | undefined =>
  served.metadata.ownerReferences?.find(({ controller }) => controller === true)?.name;
