/** Addresses of a provider’s API gateway and API server: as declared, or in-band at fixed addresses in the tunnel. Pure. */
import type { RemoteCluster } from '../../shared/api/clusters.ts';
import type { Tunnel } from '../../shared/api/network.ts';
import { findCondition, isTrue } from '../../shared/conditions.ts';
import { isDialable } from '../../shared/net/dialable.ts';
import { inBandURLs, type InBandURLs } from '../../shared/net/in-band.ts';
import { keyFingerprint } from '../../shared/trust/cluster-key.ts';
import type { NetworkDocument } from '../../shared/wire/network-document.ts';
import { apiServerName } from './offer.ts';
import type { StoredIdentity } from '../peers/stored-identity.ts';

export interface GatewayAddress {
  url: string;
  pin: string;
  /** Fingerprint of the provider's cluster key, which is part of request signatures. */
  recipient: string;
}

/** Undefined while there is no tunnel. */
function inside(tunnel: Tunnel | undefined): InBandURLs | undefined {
  return tunnel && inBandURLs(tunnel.spec.remoteExternalCIDR, tunnel.spec.remaps);
}

/** Undefined for a remote that connects to us, and for one without a tunnel yet. */
export function gatewayOf(remote: RemoteCluster, tunnel: Tunnel | undefined): GatewayAddress | undefined {
  const { controlPlane, gatewayURL, gatewayPin, publicKey } = remote.spec;
  const url = controlPlane === 'InBand' ? inside(tunnel)?.gateway : gatewayURL;
  if (url === undefined || gatewayPin === undefined) return undefined;
  return { url, pin: gatewayPin, recipient: keyFingerprint(publicKey) };
}

/**
 * The identity with the API server's current address: from the provider's signed document, or from the tunnel's addresses.
 * Returns the same object if the address is unchanged.
 */
export function locateAPIServer(
  held: StoredIdentity,
  remote: RemoteCluster,
  tunnel: Tunnel | undefined,
  stated: NetworkDocument['apiServer'] | undefined,
): StoredIdentity {
  const inBand = remote.spec.controlPlane === 'InBand';
  const url = inBand ? inside(tunnel)?.apiServer : stated?.url;
  const caBundle = stated?.caBundle ?? held.caBundle;
  const tlsServerName = inBand
    ? apiServerName
    : stated === undefined
      ? held.tlsServerName
      : stated.tlsServerName;
  if (url === undefined || !url.startsWith('https://')) return held;
  if (!inBand && !isDialable(url, remote.spec.gatewayURL)) return held;
  if (
    url === held.apiServerURL &&
    caBundle.trim() === held.caBundle.trim() &&
    (!inBand || (tlsServerName === held.tlsServerName && held.inBand === true))
  ) {
    return held;
  }
  const { tlsServerName: _old, inBand: _before, ...rest } = held;
  return {
    ...rest,
    apiServerURL: url,
    caBundle,
    ...(tlsServerName !== undefined && { tlsServerName }),
    ...(inBand && { inBand }),
  };
}

/** Why an in-band control plane cannot be reached yet; undefined if it can. */
export function tunnelWait(remote: RemoteCluster, tunnel: Tunnel | undefined): string | undefined {
  if (remote.spec.controlPlane !== 'InBand') return undefined;
  const conditions = tunnel?.status?.conditions;
  if (isTrue(conditions, 'PathVerified')) return undefined;
  const why =
    findCondition(conditions, 'Established')?.status === 'True'
      ? findCondition(conditions, 'PathVerified')?.message
      : findCondition(conditions, 'Established')?.message;
  return `waiting for the tunnel to ${remote.spec.clusterID}, through which its API gateway is reached: ${why ?? 'the tunnel is being opened'}`;
}
