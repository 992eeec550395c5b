/** The shared Kubernetes client over `node:https`. Loads no npm package; `kubeconfig.ts` reads kubeconfigs. */
import { createKubeClient, type ClientOptions, type KubeClient } from '../../../shared/kube/client.ts';
import type { KubeConnection } from './connection.ts';
import { createTransport, type NodeResponse, type NodeTransport } from './transport.ts';

export { fromIdentity, inCluster, tokenFromFile, type Identity, type KubeConnection } from './connection.ts';
export { createTransport, type NodeResponse, type NodeTransport } from './transport.ts';

/** A client that can also upgrade connections to other protocols. */
export interface NodeKubeClient extends KubeClient<NodeResponse> {
  upgrade: NodeTransport['upgrade'];
}

/** Creates a client. It connects at the first request. */
export function connectKube(connection: KubeConnection, options?: ClientOptions): NodeKubeClient {
  const transport = createTransport(connection);
  return {
    ...createKubeClient(transport, options),
    upgrade: (...request) => transport.upgrade(...request),
  };
}
