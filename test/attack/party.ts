/** A cluster as a consumer of the provider, with everything that its owner controls: its keys and its identity. */
import { keyFingerprint, type ClusterKey } from '../../shared/trust/cluster-key.ts';
import { openDocument } from '../../shared/trust/documents-cache.ts';
import { signNetworkDocument } from '../../shared/trust/network-documents.ts';
import { secrets, tenantNamespace, twinName } from '../../shared/names.ts';
import type { SignedDocument } from '../../shared/api/clusters.ts';
import type { NetworkDocument } from '../../shared/wire/network-document.ts';
import { connectKube, type NodeKubeClient } from '../../daemon/clients/kubernetes/index.ts';
import {
  createGatewayClient,
  createRequestSigner,
  type GatewayClient,
} from '../../daemon/clients/gateway/index.ts';
import { parseIdentity, type StoredIdentity } from '../../daemon/peers/stored-identity.ts';
import { readIdentity } from '../../daemon/peers/local-identity.ts';
import type { Secret } from '../../shared/kube/types.ts';
import { only } from '../support/api-objects.ts';
import { namespace } from '../support/installation.ts';
import type { BedCluster } from '../testbed/index.ts';

/** The namespace that each consumer offloads. */
export const story = 'shop';

export interface Party {
  cluster: BedCluster;
  /** Its cluster ID. */
  id: string;
  key: ClusterKey;
  identity: StoredIdentity;
  /** A client of the provider's API server with this consumer's identity. */
  kube: NodeKubeClient;
  gateway: GatewayClient;
  gatewayURL: string;
  gatewayPin: string;
  /** The provider's cluster ID, and the fingerprint of its cluster key. */
  provider: string;
  recipient: string;
  /** Its tenant namespace, and its twin namespace of `story`, at the provider. */
  tenant: string;
  twin: string;
}

async function secretOf(cluster: BedCluster, name: string): Promise<Secret> {
  return JSON.parse(await cluster.kubectl(['get', 'secret', '-n', namespace, name, '-o', 'json'])) as Secret;
}

/** The cluster's state as a consumer of its only provider. */
export async function partyOf(cluster: BedCluster): Promise<Party> {
  const { clusterID: id, key } = readIdentity(await secretOf(cluster, secrets.clusterKey));
  const remote = await only(cluster, 'remoteclusters');
  const peering = await only(cluster, 'outgoingpeerings');
  const identity = parseIdentity(await secretOf(cluster, secrets.identity(peering.metadata.name)));
  const { gatewayURL, gatewayPin } = remote.spec;
  if (identity === undefined || gatewayURL === undefined || gatewayPin === undefined)
    throw new Error(`${cluster.name} has no identity at its provider`);
  const recipient = keyFingerprint(remote.spec.publicKey);
  return {
    cluster,
    id,
    key,
    identity,
    kube: connectKube({
      url: identity.apiServerURL,
      ca: identity.caBundle,
      ...(identity.tlsServerName !== undefined && { tlsServerName: identity.tlsServerName }),
      token: () => identity.token,
    }),
    gateway: createGatewayClient({
      url: gatewayURL,
      pin: gatewayPin,
      sign: createRequestSigner({ key, clusterID: id, recipient }),
    }),
    gatewayURL,
    gatewayPin,
    provider: remote.spec.clusterID,
    recipient,
    tenant: tenantNamespace(id, 'default'),
    twin: twinName(story, id),
  };
}

/** The network document that the consumer's own controller composed last, as stored there. */
export async function ownDocument(
  party: Party,
): Promise<{ signed: SignedDocument; document: NetworkDocument }> {
  const { status } = await only(party.cluster, 'remoteclusters');
  const signed = status?.localDocument;
  if (signed === undefined) throw new Error(`${party.cluster.name} has no network document yet`);
  const document = openDocument(signed, {
    publicKey: party.key.publicKey,
    sender: party.id,
    recipient: party.provider,
  });
  return { signed, document };
}

/** Signs a document with the consumer's own key. */
export const signedBy = (party: Party, document: NetworkDocument): SignedDocument =>
  signNetworkDocument(document, party.key);
