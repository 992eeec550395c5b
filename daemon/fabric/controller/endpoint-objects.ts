/** The objects of a tunnel endpoint: its key, and the Service by which remotes reach whichever node holds it. Pure. */
import { endpointService, labels, publicKeyAnnotation, secrets } from '../../../shared/names.ts';
import { ports } from '../../../shared/ports.ts';
import { addressFamily } from '../../../shared/net/cidr.ts';
import type { EndpointSlice, Secret, Service } from '../../kube/index.ts';
import { generateTunnelKey } from '../tunnel-keys.ts';

const managedBy = 'hawser-fabric';

/** The Secret with a new tunnel endpoint's key. It is created once; replacing it rotates the key. */
export function newEndpointSecret(namespace: string, tunnelEndpoint: string): Secret {
  const { privateKey, publicKey } = generateTunnelKey();
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name: secrets.tunnelEndpoint(tunnelEndpoint),
      namespace,
      labels: { [labels.managedBy]: managedBy },
      annotations: { [publicKeyAnnotation]: publicKey },
    },
    type: 'Opaque',
    stringData: { privateKey: Buffer.from(privateKey).toString('base64') },
  };
}

/**
 * @param present the existing Service, whose type and port are kept: a person may have chosen NodePort where there is no load
 *   balancer, or port 443 where firewalls pass nothing else
 */
export function endpointServiceObject(
  namespace: string,
  tunnelEndpoint: string,
  publicKey: string,
  present: Service | undefined,
): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: endpointService(tunnelEndpoint),
      namespace,
      labels: { [labels.managedBy]: managedBy },
      annotations: { [publicKeyAnnotation]: publicKey },
    },
    spec: {
      type: present?.spec?.type ?? 'LoadBalancer',
      ports: [{ name: 'tunnel', port: tunnelPort(present), targetPort: ports.tunnel, protocol: 'UDP' }],
    },
  };
}

/** Server-side apply identifies a port by its number: another number would add a second port of the same name. */
function tunnelPort(present: Service | undefined): number {
  const named = present?.spec?.ports?.find(({ name, protocol }) => name === 'tunnel' && protocol === 'UDP');
  return named?.port ?? ports.tunnel;
}

/** A Service without a selector: its EndpointSlice is written here, and names the node that holds the tunnel endpoint. */
export function endpointSliceObject(
  namespace: string,
  tunnelEndpoint: string,
  holder: { node: string; address: string } | undefined,
  family: 4 | 6 = holder === undefined ? 4 : (addressFamily(holder.address) ?? 4),
): EndpointSlice {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: endpointService(tunnelEndpoint),
      namespace,
      labels: {
        [labels.managedBy]: managedBy,
        'kubernetes.io/service-name': endpointService(tunnelEndpoint),
        'endpointslice.kubernetes.io/managed-by': managedBy,
      },
    },
    addressType: `IPv${family}`,
    endpoints:
      holder === undefined
        ? []
        : [{ addresses: [holder.address], conditions: { ready: true }, nodeName: holder.node }],
    ports: [{ name: 'tunnel', port: ports.tunnel, protocol: 'UDP' }],
  };
}
