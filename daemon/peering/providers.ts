/** Clients of providers' gateways, one a remote: signed by this cluster's key, trusting one pin alone. */
import { createGatewayClient, createRequestSigner, type GatewayClient } from '../../gateway/client/index.ts';
import type { RemoteCluster } from '../../shared/api/clusters.ts';
import { keyFingerprint } from '../../shared/trust/cluster-key.ts';
import type { LocalIdentity } from './cluster-key.ts';

export interface Address {
  url: string;
  pin: string;
  /** Fingerprint of the provider's cluster key: whom requests are signed for. */
  recipient: string;
}

export interface Providers {
  /** The client for an address; the same one while the address stays the same. */
  at(remote: string, address: Address): GatewayClient;
  /** For a RemoteCluster that has an address; undefined for one that dials us. */
  of(remote: RemoteCluster): GatewayClient | undefined;
  /** Closes the connections to a remote. */
  forget(remote: string): void;
  close(): void;
}

/** No clients yet. */
export function createProviders(identity: LocalIdentity): Providers {
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
        sign: createRequestSigner({
          key: identity.key,
          clusterID: identity.clusterID,
          recipient: address.recipient,
        }),
      });
      clients.set(remote, { key, client });
      return client;
    },
    of(remote) {
      const { clusterID, gatewayURL, gatewayPin, publicKey } = remote.spec;
      if (gatewayURL === undefined || gatewayPin === undefined) return undefined;
      return providers.at(clusterID, {
        url: gatewayURL,
        pin: gatewayPin,
        recipient: keyFingerprint(publicKey),
      });
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
