/** API servers from Node: the shared client over `node:https`. Loads no package; kubeconfigs are read by `kubeconfig.ts`. */
import { createKubeClient, type ClientOptions, type KubeClient } from '../../../shared/kube/client.ts';
import type { KubeConnection } from './connection.ts';
import { createTransport, type NodeResponse, type NodeTransport } from './transport.ts';

export { fromIdentity, inCluster, tokenFromFile, type Identity, type KubeConnection } from './connection.ts';
export { createTransport, type NodeResponse, type NodeTransport } from './transport.ts';

/** A client that can switch protocols too. */
export interface NodeKubeClient extends KubeClient<NodeResponse> {
  upgrade: NodeTransport['upgrade'];
}

/** Makes a client. Nothing is dialled before the first request. */
export function connectKube(connection: KubeConnection, options?: ClientOptions): NodeKubeClient {
  const transport = createTransport(connection);
  return {
    ...createKubeClient(transport, options),
    upgrade: (...request) => transport.upgrade(...request),
  };
}
