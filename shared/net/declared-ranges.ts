import { contains, overlaps, parseRange, tryParseRange, type Range } from './cidr.ts';
import { metadataRanges } from './metadata.ts';

/** Never addresses of pods (RFC 6890 and its registries): this host, loopback, link-local, multicast, reserved. */
const neverPods = [
  '0.0.0.0/8',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '224.0.0.0/4',
  '240.0.0.0/4',
  '::/128',
  '::1/128',
  '::ffff:0:0/96',
  'fe80::/10',
  'ff00::/8',
].map((text) => parseRange(text));

/** No cluster has shorter prefixes than these: a peer that claims half the Internet gets nothing. */
const shortestLength = { 4: 8, 6: 32 } as const;
/** The external CIDR needs room for its fixed addresses and at least one node. */
const longestExternalLength = { 4: 27, 6: 123 } as const;

/** The errors of the ranges that a peer declares, one sentence each; empty if all are valid. */
export function validateDeclaredRanges(declaration: {
  podCIDRs: readonly string[];
  externalCIDR: string;
}): string[] {
  const problems: string[] = [];
  const accepted: Range[] = [];
  const check = (text: string, field: string): Range | undefined => {
    const range = tryParseRange(text);
    if (range === undefined) {
      problems.push(`${field} "${text.slice(0, 64)}" is not an address range with host bits zero`);
      return undefined;
    }
    if (range.length < shortestLength[range.family]) {
      problems.push(`${field} ${range.text} is larger than a /${shortestLength[range.family]}`);
      return undefined;
    }
    const special = neverPods.find((other) => overlaps(other, range));
    if (special !== undefined) {
      problems.push(`${field} ${range.text} overlaps ${special.text}, which is reserved`);
      return undefined;
    }
    // A cluster may have a range around such an address, but it is always remapped (`remapping.ts`).
    const service = metadataRanges.find((outer) => contains(outer, range));
    if (service !== undefined) {
      problems.push(`${field} ${range.text} lies in ${service.text}, which is a metadata service's`);
      return undefined;
    }
    const other = accepted.find((known) => overlaps(known, range));
    if (other !== undefined) {
      problems.push(`${field} ${range.text} overlaps ${other.text} of the same document`);
      return undefined;
    }
    accepted.push(range);
    return range;
  };
  for (const text of declaration.podCIDRs) check(text, 'podCIDRs');
  const external = check(declaration.externalCIDR, 'externalCIDR');
  if (external !== undefined && external.length > longestExternalLength[external.family]) {
    problems.push(
      `externalCIDR ${external.text} is smaller than a /${longestExternalLength[external.family]}`,
    );
  }
  return problems;
}

/**
 * The valid entries of a peer's declaration of how it knows this cluster's ranges: own ranges, of equal length, readable, each
 * once.
 */
export function acceptRemoteRemaps(
  stated: readonly { real: string; mapped: string }[],
  ownRanges: readonly string[],
): { real: string; mapped: string }[] {
  const own = ownRanges.flatMap((text) => tryParseRange(text) ?? []);
  const result: { real: string; mapped: string }[] = [];
  for (const entry of stated) {
    const real = tryParseRange(entry.real);
    const mapped = tryParseRange(entry.mapped);
    if (real === undefined || mapped === undefined) continue;
    if (real.length !== mapped.length || real.family !== mapped.family) continue;
    if (!own.some((range) => contains(range, real))) continue;
    if (neverPods.some((range) => overlaps(range, mapped))) continue;
    if (result.some((known) => known.real === real.text)) continue;
    result.push({ real: real.text, mapped: mapped.text });
  }
  return result;
}
