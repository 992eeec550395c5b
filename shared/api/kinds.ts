import { localCluster, remoteCluster } from './clusters.ts';
import type { Kind } from './meta.ts';
import { fabricNode, addressMapping, tunnel } from './network.ts';
import { namespaceOffloading, shadowPod, twinNamespace } from './offloading.ts';
import { incomingPeering, outgoingPeering, peeringToken } from './peerings.ts';
import { shadowPolicy } from './policies.ts';

/** Every kind of the API, in the order of the reference. */
export const kinds: readonly Kind[] = [
  localCluster,
  remoteCluster,
  peeringToken,
  outgoingPeering,
  incomingPeering,
  tunnel,
  fabricNode,
  addressMapping,
  namespaceOffloading,
  twinNamespace,
  shadowPod,
  shadowPolicy,
];
