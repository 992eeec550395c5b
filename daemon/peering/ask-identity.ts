/** Requests an identity from a provider: with a peering token the first time, later by signature only. */
import { CertificatePinError, isProblem, isTemporary, type GatewayClient } from '../clients/gateway/index.ts';
import type { RemoteCluster, SignedDocument } from '../../shared/api/clusters.ts';
import { apiVersion } from '../../shared/api/meta.ts';
import type { OutgoingPeering } from '../../shared/api/peerings.ts';
import { isDialable } from '../../shared/net/dialable.ts';
import { labels } from '../../shared/names.ts';
import { keyFingerprint } from '../../shared/trust/cluster-key.ts';
import { openGatewayStatement } from '../../shared/trust/gateway-statement.ts';
import { followSuccessions, succeededKeys } from '../../shared/trust/key-succession.ts';
import { decodePeeringToken, isExpired, PeeringTokenError } from '../../shared/trust/token-codec.ts';
import type { IdentityResponse, TokenContent } from '../../shared/wire/gateway-api.ts';
import { messageOf } from '../../shared/kube/errors.ts';
import { kind } from '../../shared/kube/refs.ts';
import type { Secret } from '../../shared/kube/types.ts';
import type { LocalIdentity } from '../peers/local-identity.ts';
import { reasons, tokenKey } from './names.ts';

/** A problem to be reported to a person. Its message never repeats a secret. */
export class PeeringProblem extends Error {
  override readonly name = 'PeeringProblem';
  readonly reason: string;
  /** Whether it can resolve without a person's action. */
  readonly temporary: boolean;

  constructor(reason: string, message: string, temporary = false) {
    super(message);
    this.reason = reason;
    this.temporary = temporary;
  }
}

/** The token in a Secret. Throws PeeringProblem. */
export function readToken(secret: Secret, provider: string): TokenContent {
  const text = Buffer.from(secret.data?.[tokenKey] ?? '', 'base64').toString('utf8');
  let content: TokenContent;
  try {
    content = decodePeeringToken(text);
  } catch (error) {
    if (!(error instanceof PeeringTokenError)) throw error;
    throw new PeeringProblem(reasons.TokenInvalid, error.message);
  }
  if (content.clusterID !== provider) {
    throw new PeeringProblem(
      reasons.TokenInvalid,
      `the peering token was issued by ${content.clusterID}, but this peering is with ${provider}`,
    );
  }
  return content;
}

/** The key that the token names, if `publicKey` has succeeded it since; otherwise `publicKey` itself. */
function namedKey(token: TokenContent, publicKey: string, gateway: SignedDocument | undefined): string {
  const successions = gateway?.successions;
  const named = succeededKeys(successions).find((key) => keyFingerprint(key) === token.keyFingerprint);
  return named !== undefined && followSuccessions(named, token.clusterID, successions) === publicKey
    ? named
    : publicKey;
}

/** The provider's RemoteCluster, from a token and the provider's own information. Its key is the one that the token names. */
export function remoteFromToken(
  token: TokenContent,
  publicKey: string,
  gateway?: SignedDocument,
): RemoteCluster {
  if (keyFingerprint(namedKey(token, publicKey, gateway)) !== token.keyFingerprint) {
    throw new PeeringProblem(
      reasons.KeyMismatch,
      `the server at ${token.gatewayURL} has a different cluster key than the peering token names; ask for a new token`,
    );
  }
  const stated = gateway && openGatewayStatement(gateway, { clusterID: token.clusterID, publicKey });
  return {
    apiVersion,
    kind: kind.remoteCluster.kind,
    metadata: {
      name: token.clusterID,
      labels: { [labels.managedBy]: 'hawser', [labels.remoteCluster]: token.clusterID },
    },
    spec: {
      clusterID: token.clusterID,
      publicKey,
      controlPlane: 'OutOfBand',
      gatewayURL: token.gatewayURL,
      gatewayPin: token.gatewayPin,
      // From now on older statements about other certificates are not accepted.
      ...(stated?.pin === token.gatewayPin && { gatewayPinSince: stated.since }),
    },
  };
}

/** The changes of a known RemoteCluster by a new token; undefined if there are none. Throws when it names another key. */
export function tokenChanges(
  token: TokenContent,
  remote: RemoteCluster,
): { gatewayURL?: string; gatewayPin: string } | undefined {
  if (keyFingerprint(remote.spec.publicKey) !== token.keyFingerprint) {
    throw new PeeringProblem(
      reasons.KeyMismatch,
      `the cluster key in the peering token differs from the one of RemoteCluster ${token.clusterID}; if the provider was reinstalled, unpeer and delete that RemoteCluster first`,
    );
  }
  const { gatewayURL, gatewayPin } = token;
  const inBand = remote.spec.controlPlane === 'InBand';
  const same = (inBand || remote.spec.gatewayURL === gatewayURL) && remote.spec.gatewayPin === gatewayPin;
  return same ? undefined : { gatewayPin, ...(!inBand && { gatewayURL }) };
}

/** Sends the request. Throws PeeringProblem for every refusal. */
export async function askIdentity(
  client: Pick<GatewayClient, 'requestIdentity'>,
  peering: OutgoingPeering,
  remote: RemoteCluster,
  token: TokenContent | undefined,
  identity: LocalIdentity,
  version: string,
  signal: AbortSignal,
): Promise<IdentityResponse> {
  const provider = remote.spec.clusterID;
  const document = remote.status?.localDocument;
  let response: IdentityResponse;
  try {
    response = await client.requestIdentity(
      {
        ...(token !== undefined && { secret: token.secret }),
        clusterID: identity.clusterID,
        publicKey: identity.key.publicKey,
        peering: peering.spec.peering,
        ...(document !== undefined && { networkDocument: document }),
        version,
        features: [],
      },
      { signal },
    );
  } catch (error) {
    if (signal.aborted) throw error;
    throw asProblem(error, provider, token);
  }
  const key = followSuccessions(remote.spec.publicKey, provider, response.networkDocument?.successions);
  if (response.clusterID !== provider || ![key, remote.spec.publicKey].includes(response.publicKey)) {
    throw new PeeringProblem(
      reasons.KeyMismatch,
      `the server of ${provider} is another cluster (${response.clusterID})`,
    );
  }
  const { apiServerURL } = response.identity;
  if (remote.spec.controlPlane !== 'InBand' && !isDialable(apiServerURL, remote.spec.gatewayURL)) {
    throw new PeeringProblem(
      reasons.ProviderRefuses,
      `${provider} states ${apiServerURL} as its API server: this machine, link-local or metadata addresses are not dialled; the provider sets LocalCluster self, spec.apiServerURL`,
    );
  }
  return response;
}

function asProblem(error: unknown, provider: string, token: TokenContent | undefined): PeeringProblem {
  if (error instanceof CertificatePinError) return new PeeringProblem(reasons.KeyMismatch, error.message);
  if (isProblem(error, 'token-not-redeemable')) {
    // A renewal by an unknown cluster or with another key gets the same answer: the API gateway does not reveal more.
    if (token === undefined) {
      return new PeeringProblem(
        reasons.PeeringEnded,
        `${provider} no longer knows this cluster or its key; unpeer, or peer again with a new token`,
      );
    }
    return new PeeringProblem(
      reasons.TokenRefused,
      isExpired(token, Date.now())
        ? `the peering token expired at ${token.expiresAt}; ask ${provider} for a new one`
        : `${provider} refuses the peering token: it is spent, revoked, expired, or issued for another cluster; ask for a new one`,
    );
  }
  if (isProblem(error, 'no-peering')) {
    return new PeeringProblem(
      reasons.PeeringEnded,
      `${provider} has no peering with this cluster; unpeer, or peer again with a new token`,
    );
  }
  const temporary = isTemporary(error);
  const reason = temporary ? reasons.ProviderUnreachable : reasons.ProviderRefuses;
  return new PeeringProblem(reason, `${provider}: ${messageOf(error)}`.slice(0, 1500), temporary);
}
