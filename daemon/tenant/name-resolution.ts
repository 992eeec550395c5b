/** Whether pods in twin namespaces can resolve names, by the cluster DNS as all pods here. Pure. */
import type { Finding } from '../../shared/conditions.ts';
import type { EndpointSlice } from '../../shared/kube/types.ts';

/** The Service of the cluster DNS always has this name (Kubernetes, DNS-Based Service Discovery). */
export const dnsNamespace = 'kube-system';
export const dnsService = 'kube-dns';

export const dnsReasons = {
  DNSReady: 'DNSReady',
  /** The Service exists, but has no ready endpoint. */
  NoReadyEndpoint: 'NoReadyEndpoint',
  /** The Service does not exist. */
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
