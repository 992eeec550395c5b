/** The caches that peering/ reads. */
import type { RemoteCluster } from '../../shared/api/clusters.ts';
import { gatewayService, labels, secrets, endpointService } from '../../shared/names.ts';
import type { ControllerContext } from '../kube/context.ts';
import { kind } from '../../shared/kube/refs.ts';
import { gatewayOf } from './control-plane.ts';

/** Requesting a cache starts its watch. */
export function createCaches(context: ControllerContext) {
  const { informer, namespace } = context;
  const services = informer(kind.service, { namespace });
  // All of Hawser's own Secrets: vnode/ follows identities in the same cache.
  const ownSecrets = informer(kind.secret, { namespace });
  const named = (name: string) => `metadata.name=${name}`;
  /** Kubernetes publishes its root CA in every namespace. */
  const authorities = informer(kind.configMap, { namespace, fieldSelector: named('kube-root-ca.crt') });
  const tunnels = informer(kind.tunnel);
  return {
    local: informer(kind.localCluster),
    remotes: informer(kind.remoteCluster),
    outgoing: informer(kind.outgoingPeering),
    incoming: informer(kind.incomingPeering),
    tunnels,
    nodes: informer(kind.node),
    fabricNodes: informer(kind.fabricNode),
    serviceCIDRs: informer(kind.serviceCIDR),
    services,
    ownSecrets,
    authorities,
    rootAuthority: () => authorities.list()[0]?.data?.['ca.crt'],
    /** The objects that name the API server's address; their changes are sources. */
    apiServerSources: [
      informer(kind.endpointSlice, { namespace: 'default', fieldSelector: named('kubernetes') }),
      informer(kind.configMap, { namespace: 'kube-public', fieldSelector: named('cluster-info') }),
    ] as const,
    gatewayCertificate: () => ownSecrets.get(namespace, secrets.gatewayCertificate),
    gatewayServiceObject: () => services.get(namespace, gatewayService),
    endpointServices: () =>
      services.list().filter((service) => service.metadata.name.startsWith(endpointService(''))),
    /** Current address of a remote's API gateway. */
    gatewayOf: (remote: RemoteCluster) => gatewayOf(remote, tunnels.byKey(remote.metadata.name)),
    identitySecret: (peering: string) => ownSecrets.get(namespace, secrets.identity(peering)),
    isOurs: (labelled: Record<string, string> | undefined) => labelled?.[labels.managedBy] === 'hawser',
  };
}

export type Caches = ReturnType<typeof createCaches>;
