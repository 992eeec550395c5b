/** What a provider declares besides its network: its addresses, and what the consumer may use. Pure. */
import type { LocalCluster } from '../../shared/api/clusters.ts';
import type { IncomingPeering } from '../../shared/api/peerings.ts';
import { inBandURLs } from '../../shared/net/in-band.ts';
import type { NetworkDocument } from '../../shared/wire/network-document.ts';

/** A name in every API server's certificate, independent of its external address. */
export const apiServerName = 'kubernetes.default.svc';
/** The schema's limit. */
const maximumGrants = 64;

export type Offer = Pick<NetworkDocument, 'apiServer' | 'gateway' | 'grants'>;

/**
 * The offer to one remote; empty for one that doesn't offload to this cluster.
 *
 * @param rootAuthority PEM of `kube-root-ca.crt`
 * @param inBand the remote reaches this cluster inside the tunnel: the offer contains the addresses there, and the CA of the
 *   API server itself, whatever proxy terminates TLS in front of it outside
 */
export function offerTo(
  remote: string,
  incoming: readonly IncomingPeering[],
  local: LocalCluster | undefined,
  rootAuthority: string | undefined,
  inBand = false,
): Offer {
  const peerings = incoming.filter(({ spec }) => spec.remoteCluster === remote);
  if (peerings.length === 0) return {};
  const { apiServerURL, gatewayURL, gatewayPin, externalCIDR } = local?.status ?? {};
  const inside = inBand && externalCIDR !== undefined ? inBandURLs(externalCIDR) : undefined;
  const url = inBand ? inside?.apiServer : apiServerURL;
  const gateway = inBand ? inside?.gateway : gatewayURL;
  const configured = inBand ? undefined : local?.spec.apiServerCABundle;
  const authority =
    configured !== undefined
      ? { caBundle: configured }
      : rootAuthority !== undefined
        ? { caBundle: rootAuthority, tlsServerName: apiServerName }
        : undefined;
  const grants = peerings
    .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    .map(({ spec: { peering, grant, desired } }) => ({
      peering,
      grant,
      ...(desired !== 'Active' && { desired }),
    }))
    .toSorted((a, b) => (a.peering < b.peering ? -1 : 1))
    .slice(0, maximumGrants);
  return {
    ...(url !== undefined && authority !== undefined && { apiServer: { url, ...authority } }),
    ...(gateway !== undefined && gatewayPin !== undefined && { gateway: { url: gateway, pin: gatewayPin } }),
    ...(grants.length > 0 && { grants }),
  };
}
