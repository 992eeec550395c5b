/** The URLs of a cluster's API gateway and API server inside the tunnel. */
import { externalOffsets, ports } from '../ports.ts';
import { toMapped, type RangeMapping } from './address-mapping.ts';
import { addressAt, addressFamily, parseRange } from './cidr.ts';

export interface InBandURLs {
  gateway: string;
  apiServer: string;
}

/**
 * Based on the cluster's own external CIDR; with `remaps`, translated for the cluster that chose them. Undefined if they don't
 * cover it.
 */
export function inBandURLs(externalCIDR: string, remaps?: readonly RangeMapping[]): InBandURLs | undefined {
  const urlOf = (offset: number, port: number): string | undefined => {
    const real = addressAt(parseRange(externalCIDR), offset);
    const address = remaps === undefined ? real : toMapped(remaps, real);
    if (address === undefined) return undefined;
    return `https://${addressFamily(address) === 6 ? `[${address}]` : address}:${port}`;
  };
  const gateway = urlOf(externalOffsets.gateway, ports.gateway);
  const apiServer = urlOf(externalOffsets.apiServer, ports.apiServer);
  return gateway === undefined || apiServer === undefined ? undefined : { gateway, apiServer };
}
