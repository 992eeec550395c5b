/** Issues peering tokens: creates the object in the cluster, and the token string. Pure. */
import type { LocalCluster } from './api/clusters.ts';
import { defaultGrant, grant as grantSchema, type Grant } from './api/grant.ts';
import { apiVersion, clusterID } from './api/meta.ts';
import { peeringToken, type PeeringToken } from './api/peerings.ts';
import { toSeconds } from './conditions.ts';
import type { FieldProblem } from './errors.ts';
import { labels } from './names.ts';
import { beyondMaximum, type MaximumGrant } from './maximum-grant.ts';
import { inBandURLs } from './net/in-band.ts';
import { compareQuantities } from './quantities.ts';
import { keyFingerprint } from './trust/cluster-key.ts';
import { hashSecret } from './trust/digest.ts';
import { toBase64URL } from './trust/encoding.ts';
import { encodePeeringToken } from './trust/token-codec.ts';

export const defaultLifeSeconds = 15 * 60;
export const secretBytes = 32;

/** No pod can run in less; more exceeds Kubernetes' largest supported cluster (5,000 nodes). */
const ranges = {
  cpu: { least: '1m', most: '1M' },
  memory: { least: '1Mi', most: '10Pi' },
  ephemeralStorage: { least: '1Mi', most: '100Pi' },
} as const;

/** A requested grant with defaults for omitted fields, and its errors. */
export function completeGrant(requested: Partial<Record<keyof Grant, unknown>> | undefined): {
  grant: Grant;
  errors: FieldProblem[];
} {
  const given = Object.fromEntries(
    Object.entries(requested ?? {}).filter(([, value]) => value !== undefined),
  );
  const parsed = grantSchema.safeParse({ ...defaultGrant, ...given });
  if (!parsed.success) {
    const errors = parsed.error.issues.map(({ path, message }) => ({
      field: ['grant', ...path].join('.'),
      detail: message,
    }));
    return { grant: defaultGrant, errors };
  }
  const grant = parsed.data;
  const errors = (Object.keys(ranges) as (keyof typeof ranges)[]).flatMap((name) => {
    const { least, most } = ranges[name];
    const quantity = grant[name];
    if (quantity === undefined) return [];
    if (compareQuantities(quantity, least) >= 0 && compareQuantities(quantity, most) <= 0) return [];
    return [{ field: `grant.${name}`, detail: 'is out of range', allowed: `${least} to ${most}` }];
  });
  return { grant, errors };
}

/** Name of a token's object, from its secret's hash, so that one GET finds it, whether it exists or not. */
export function tokenName(secretHash: string): string {
  return `token-${secretHash.slice(0, 16)}`;
}

/** The state of a token, for lists. `now` in milliseconds since 1970. */
export function tokenState(
  token: PeeringToken,
  now: number,
): 'Redeemable' | 'Redeemed' | 'Expired' | 'Revoked' {
  if (token.spec.revoked === true) return 'Revoked';
  if (token.status?.redeemedBy !== undefined) return 'Redeemed';
  return now < Date.parse(token.spec.expiresAt) ? 'Redeemable' : 'Expired';
}

export interface TokenOptions {
  /** Status of LocalCluster self. */
  issuer: NonNullable<LocalCluster['status']>;
  /** The maximum grant: `spec.maximumGrant` of LocalCluster self. */
  maximumGrant?: MaximumGrant | undefined;
  /** Hawser's namespace. */
  namespace: string;
  grant: Partial<Record<keyof Grant, unknown>> | undefined;
  /** The consumer reaches the API gateway inside the tunnel, whatever its external address. */
  inBand?: boolean;
  /** Only this cluster may redeem it. */
  consumer?: string | undefined;
  lifeSeconds: number;
  issuedBy: string;
  /** The component of Hawser that issues it. */
  managedBy: string;
  /** 32 unpredictable bytes. */
  secret: Uint8Array;
  /** Milliseconds since 1970. */
  now: number;
}

export type IssuedToken =
  { object: PeeringToken; token: string } | { problems: FieldProblem[] } | { waitingFor: string };

/** The object to create and the token string; or the request's errors; or what this cluster still waits for. */
export function issuePeeringToken(request: TokenOptions): IssuedToken {
  const { clusterID: id, publicKey, gatewayPin, externalCIDR } = request.issuer;
  const inside = externalCIDR === undefined ? undefined : inBandURLs(externalCIDR)?.gateway;
  const gatewayURL = request.inBand === true ? inside : request.issuer.gatewayURL;
  if (id === undefined || publicKey === undefined)
    return { waitingFor: 'This cluster has no ID yet: the controller has not created it.' };
  if (gatewayURL === undefined || gatewayPin === undefined)
    return {
      waitingFor:
        'The address of this gateway is not known yet: its Service has no address, or LocalCluster self has no spec.gatewayURL.',
    };
  const { grant, errors } = completeGrant(request.grant);
  if (errors.length === 0) errors.push(...beyondMaximum(grant, request.maximumGrant));
  if (request.consumer !== undefined && !clusterID.safeParse(request.consumer).success)
    errors.push({
      field: 'consumer',
      detail: 'is not a valid cluster ID',
      allowed: 'lower-case letters, digits and dashes',
    });
  if (request.consumer === id)
    errors.push({
      field: 'consumer',
      detail: 'is this cluster itself',
      allowed: 'the ID of another cluster',
    });
  if (errors.length > 0) return { problems: errors };
  if (request.secret.length !== secretBytes) throw new RangeError(`a secret has ${secretBytes} bytes`);
  const secret = toBase64URL(request.secret);
  const secretHash = hashSecret(secret);
  const expiresAt = toSeconds(request.now + request.lifeSeconds * 1000);
  const object: PeeringToken = {
    apiVersion,
    kind: peeringToken.kind,
    metadata: {
      name: tokenName(secretHash),
      namespace: request.namespace,
      labels: { [labels.managedBy]: request.managedBy },
    },
    spec: {
      secretHash,
      expiresAt,
      grant,
      issuedBy: request.issuedBy.slice(0, 512),
      ...(request.consumer !== undefined && { consumer: request.consumer }),
    },
  };
  const token = encodePeeringToken({
    gatewayURL,
    gatewayPin,
    clusterID: id,
    keyFingerprint: keyFingerprint(publicKey),
    secret,
    expiresAt,
  });
  return { object, token };
}
