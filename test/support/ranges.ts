import { containsCidr } from 'cidr-tools';

/** Whether an address lies in a prefix. */
export function rangeContains(prefix: string, address: string): boolean {
  return prefix !== '' && containsCidr(prefix, address);
}
