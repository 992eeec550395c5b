/** Clients of providers' API gateways, one per remote: requests are signed by this cluster's key, and only one pin is trusted. */
import { createGatewayClient, createRequestSigner, type GatewayClient } from '../clients/gateway/index.ts';
import type { RemoteCluster, SignedDocument } from '../../shared/api/clusters.ts';
import type { LocalIdentity } from '../peers/local-identity.ts';
import type { GatewayAddress } from './control-plane.ts';

export interface Providers {
  /** The client for an address; the same one as long as the address is unchanged. */
  at(remote: string, address: GatewayAddress): GatewayClient;
  /** The client of a RemoteCluster with an address; undefined for one that connects to us. */
  of(remote: RemoteCluster): GatewayClient | undefined;
  /** Closes the connections to a remote. */
  forget(remote: string): void;
  close(): void;
}

/**
 * Creates an empty set of clients.
 *
 * @param addressOf returns the current address of a remote's API gateway
 * @param introduction returns this cluster's document for a remote, which includes the successions of its key
 */
export function createProviders(
  identity: LocalIdentity,
  addressOf: (remote: RemoteCluster) => GatewayAddress | undefined,
  introduction: (remote: string) => SignedDocument | undefined,
): Providers {
  const clients = new Map<string, { key: string; client: GatewayClient }>();
  const providers: Providers = {
    at(remote, address) {
      const key = JSON.stringify([address.url, address.pin, address.recipient]);
      const known = clients.get(remote);
      if (known?.key === key) return known.client;
      known?.client.close();
      const client = createGatewayClient({
        url: address.url,
        pin: address.pin,
        introduction: () => introduction(remote),
        // Reads the current key, which may be succeeded during the client's lifetime.
        sign: (message) =>
          createRequestSigner({
            key: identity.key,
            clusterID: identity.clusterID,
            recipient: address.recipient,
          })(message),
      });
      clients.set(remote, { key, client });
      return client;
    },
    of(remote) {
      const address = addressOf(remote);
      return address && providers.at(remote.spec.clusterID, address);
    },
    forget(remote) {
      clients.get(remote)?.client.close();
      clients.delete(remote);
    },
    close() {
      for (const remote of clients.keys()) providers.forget(remote);
    },
  };
  return providers;
}
