/** Clients of providers' gateways, one a remote: signed by this cluster's key, trusting one pin alone. */
import { createGatewayClient, createRequestSigner, type GatewayClient } from '../clients/gateway/index.ts';
import type { RemoteCluster, SignedDocument } from '../../shared/api/clusters.ts';
import type { LocalIdentity } from '../peers/local-identity.ts';
import type { GatewayAddress } from './control-plane.ts';

export interface Providers {
  /** The client for an address; the same one while the address stays the same. */
  at(remote: string, address: GatewayAddress): GatewayClient;
  /** For a RemoteCluster that has an address now; undefined for one that dials us. */
  of(remote: RemoteCluster): GatewayClient | undefined;
  /** Closes the connections to a remote. */
  forget(remote: string): void;
  close(): void;
}

/**
 * No clients yet.
 *
 * @param addressOf where a remote's gateway is dialled now
 * @param introduction this cluster's document for a remote, which brings the successions of its key with it
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
        // The key of the moment: it may be succeeded while a client lives.
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
