/** Where the gateway's objects are in the Kubernetes API. */
import { incomingPeering, peeringToken } from '../../shared/api/peerings.ts';
import { localCluster, remoteCluster } from '../../shared/api/clusters.ts';
import { tunnel } from '../../shared/api/network.ts';
import { group, version } from '../../shared/api/meta.ts';
import { tenantServiceAccount } from '../../shared/names.ts';
import type { ResourcePath } from './client.ts';

const hawser: ResourcePath = `/apis/${group}/${version}`;

export const resources = {
  localClusters: `${hawser}/${localCluster.plural}`,
  remoteClusters: `${hawser}/${remoteCluster.plural}`,
  incomingPeerings: `${hawser}/${incomingPeering.plural}`,
  tunnels: `${hawser}/${tunnel.plural}`,
  peeringTokens: (namespace: string) => `${hawser}/namespaces/${namespace}/${peeringToken.plural}`,
  /** TokenRequest of the consumer's service account. */
  tenantTokens: (namespace: string) =>
    `/api/v1/namespaces/${namespace}/serviceaccounts/${tenantServiceAccount}/token`,
  tokenReviews: '/apis/authentication.k8s.io/v1/tokenreviews',
  subjectAccessReviews: '/apis/authorization.k8s.io/v1/subjectaccessreviews',
} as const satisfies Record<string, ResourcePath | ((namespace: string) => ResourcePath)>;
