/** Whether pods in twins can look names up: they ask the cluster's DNS, as every pod here does. Pure. */
import type { Finding } from '../../shared/conditions.ts';
import type { EndpointSlice } from '../../shared/kube/types.ts';

/** The Service of the cluster's DNS has this name whatever answers (Kubernetes, DNS-Based Service Discovery). */
export const dnsNamespace = 'kube-system';
export const dnsService = 'kube-dns';

export const dnsReasons = {
  DNSReady: 'DNSReady',
  /** The Service is there, and no endpoint of it is ready. */
  NoReadyEndpoint: 'NoReadyEndpoint',
  /** There is no such Service. */
  NoClusterDNS: 'NoClusterDNS',
} as const;

/** The condition NamesResolvable. */
export function dnsFinding(slices: readonly EndpointSlice[]): Finding {
  const type = 'NamesResolvable';
  const service = `Service ${dnsService} in ${dnsNamespace}`;
  if (slices.length === 0) {
    return {
      type,
      status: 'Unknown',
      reason: dnsReasons.NoClusterDNS,
      message: `the provider has no ${service}; it is unknown whether pods in twin namespaces can resolve names`,
    };
  }
  const ready = slices.some(({ endpoints }) =>
    // Absent means ready (EndpointSlice API, conditions).
    (endpoints ?? []).some(({ conditions }) => conditions?.ready !== false),
  );
  return ready
    ? {
        type,
        status: 'True',
        reason: dnsReasons.DNSReady,
        message: 'pods in twin namespaces can resolve names',
      }
    : {
        type,
        status: 'False',
        reason: dnsReasons.NoReadyEndpoint,
        message: `no endpoint of the provider’s ${service} is ready: pods in twin namespaces cannot resolve names; check its pods: kubectl get pods -n ${dnsNamespace} -l k8s-app=${dnsService}`,
      };
}
