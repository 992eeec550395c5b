import { parseRange, type Range } from './cidr.ts';

/**
 * Addresses of clouds' metadata services, IPv4 and IPv6. They give credentials to any process on the right machine, so no
 * remote's range covers them, no consumer's pod reaches them, and no pool assigns them.
 *
 * - `169.254.0.0/16` (RFC 3927) and `fe80::/10` (RFC 4291): link-local, most clouds
 * - `168.63.129.16`: Azure (WireServer)
 * - `192.0.0.192`: Oracle Cloud, classic
 * - `100.100.100.200`: Alibaba Cloud
 * - `fd00:ec2::/32`: AWS (Nitro: metadata, DNS, time)
 * - `fd20:ce::254`: Google Cloud
 * - `fd00:c1::a9fe:a9fe`: Oracle Cloud
 * - `fd00:42::42`: Scaleway
 */
export const metadataRanges: readonly Range[] = [
  '169.254.0.0/16',
  '168.63.129.16/32',
  '192.0.0.192/32',
  '100.100.100.200/32',
  'fe80::/10',
  'fd00:ec2::/32',
  'fd20:ce::254/128',
  'fd00:c1::a9fe:a9fe/128',
  'fd00:42::42/128',
].map((text) => parseRange(text));
