/**
 * The nft rules around the TUN device: one table of Hawser's own, replaced as a whole, and an accept in front of the
 * chains of others that might drop what passes the device.
 */
import { parseRange } from '../../shared/net/cidr.ts';
import { masqueradeMark, nftComment, nftTable } from './constants.ts';
import type { PacketPlan } from './plan.ts';

/**
 * The table as a transaction for `nft -f`: afterwards it is exactly this, and no packet ever met half of it.
 *
 * - `leaving` stands just before the source-NAT hook of CNI and kube-proxy (priority srcnat − 1). The first chain that
 *   sets up a connection's source translation has the last word, so `snat to ip saddr` keeps pods' sources as they are.
 *   What kube-proxy marked for masquerading (NodePorts, pods by way of another node) and what the node itself sends
 *   leaves with the node's address of the external CIDR, so that the answer comes back to this node.
 * - Incoming packets of remotes are kept from being masqueraded too: some CNIs do that to everything from outside.
 * - `entering` stands before the destination-NAT hook: a remote opens nothing on this node but what is listed, not even
 *   a NodePort. What has a source in a range whose route was refused is somebody else's here, and comes from no remote.
 */
export function renderTable(device: string, packets: PacketPlan): string {
  const families = [4, 6] as const;
  const pick = (texts: readonly string[], family: 4 | 6) =>
    texts.filter((text) => parseRange(text).family === family);
  const set = (name: string, family: 4 | 6, texts: readonly string[]) => {
    const elements = pick(texts, family);
    return [
      `  set ${name}${family} {`,
      `    type ipv${family}_addr; flags interval; auto-merge;`,
      ...(elements.length > 0 ? [`    elements = { ${elements.join(', ')} }`] : []),
      '  }',
    ];
  };
  const ip = (family: 4 | 6) => (family === 4 ? 'ip' : 'ip6');
  const leaves = `oifname "${device}"`;
  const enters = `iifname "${device}"`;
  const marked = `meta mark & ${masqueradeMark} == ${masqueradeMark}`;

  const leaving: string[] = [];
  const denied: string[] = [];
  for (const family of families) {
    const sourceKept = `snat ${ip(family)} to ${ip(family)} saddr`;
    const source = packets.hostSource !== undefined && pick([packets.hostSource], family)[0];
    if (source) leaving.push(`${leaves} meta nfproto ipv${family} ${marked} snat ip to ${source}`);
    leaving.push(
      `${leaves} ${ip(family)} saddr @pods${family} ${sourceKept}`,
      `${leaves} ${ip(family)} saddr @own${family} ${sourceKept}`,
    );
    if (source) leaving.push(`${leaves} meta nfproto ipv${family} snat ip to ${source}`);
    leaving.push(`${ip(family)} saddr @remotes${family} ${ip(family)} daddr @pods${family} ${sourceKept}`);
    denied.push(`${enters} ${ip(family)} daddr @own${family} drop`);
  }
  const { refusedRanges = [] } = packets;
  const forged = families
    .filter((family) => pick(refusedRanges, family).length > 0)
    .map((family) => `${enters} ${ip(family)} saddr @refused${family} drop`);
  const services = packets.services.map((service) => {
    const { family } = parseRange(service.address);
    return `${enters} ${ip(family)} daddr ${service.address} ${service.protocol} dport ${service.port} accept`;
  });

  return [
    `table inet ${nftTable}`,
    `delete table inet ${nftTable}`,
    `table inet ${nftTable} {`,
    ...families.flatMap((family) => [
      ...set('pods', family, packets.podRanges),
      ...set('remotes', family, packets.remoteRanges),
      ...set('own', family, packets.ownAddresses),
      ...(pick(refusedRanges, family).length > 0 ? set('refused', family, refusedRanges) : []),
    ]),
    '  chain leaving {',
    '    type nat hook postrouting priority srcnat - 1; policy accept;',
    ...leaving.map((rule) => `    ${rule}`),
    '  }',
    '  chain entering {',
    '    type filter hook prerouting priority mangle; policy accept;',
    ...forged.map((rule) => `    ${rule}`),
    `    ${enters} ct state established,related accept`,
    ...services.map((rule) => `    ${rule}`),
    `    ${enters} ip daddr @own4 icmp type echo-request accept`,
    `    ${enters} ip6 daddr @own6 icmpv6 type echo-request accept`,
    ...denied.map((rule) => `    ${rule}`),
    '  }',
    '}',
    '',
  ].join('\n');
}

/** A foreign chain that must accept Hawser's device. */
export interface ForeignChain {
  family: 'ip' | 'ip6';
  chain: 'FORWARD' | 'INPUT';
  /** In their order. */
  rules: readonly ForeignRule[];
}

export interface ForeignRule {
  handle: number;
  /** Hawser's rule, and what it lets through. */
  own?: { match: 'iifname' | 'oifname'; device: string };
  /** Drops or rejects whatever comes so far. */
  final: boolean;
}

/** Where iptables keeps what it forwards and takes in; drop policies and final rejects there come from firewalls and Docker. */
export const foreignChains = [
  { family: 'ip', chain: 'FORWARD' },
  { family: 'ip', chain: 'INPUT' },
  { family: 'ip6', chain: 'FORWARD' },
  { family: 'ip6', chain: 'INPUT' },
] as const;

/** Which of the device's directions a chain sees. */
export function wantedMatches(chain: 'FORWARD' | 'INPUT'): ('iifname' | 'oifname')[] {
  return chain === 'FORWARD' ? ['iifname', 'oifname'] : ['iifname'];
}

/**
 * Commands for `nft -f` that make Hawser's rules in a chain right; none when they are. They stand after everybody else's,
 * so that network policies that are enforced in this chain hold for remotes' packets too; only a final drop or reject
 * of everything, which would leave them without effect, comes after them.
 */
export function changeForeignChain(found: ForeignChain, device: string | undefined): string[] {
  const { rules } = found;
  const wanted = device === undefined ? [] : wantedMatches(found.chain);
  const own = rules.filter((rule) => rule.own !== undefined);
  const others = rules.filter((rule) => rule.own === undefined);
  // What follows the first final rule is never reached.
  const end = others.findIndex((rule) => rule.final);
  const reached = end < 0 ? others : others.slice(0, end);
  const final = end < 0 ? undefined : others[end];
  const position = (rule: ForeignRule | undefined) => (rule === undefined ? -1 : rules.indexOf(rule));
  const right =
    own.length === wanted.length &&
    wanted.every((match) => own.some((rule) => rule.own?.match === match && rule.own.device === device)) &&
    own.every(
      (rule) =>
        position(rule) > position(reached.at(-1)) &&
        (final === undefined || position(rule) < position(final)),
    );
  if (right) return [];
  const where = `${found.family} filter ${found.chain}`;
  const place = final === undefined ? `add rule ${where}` : `insert rule ${where} handle ${final.handle}`;
  return [
    ...own.map((rule) => `delete rule ${where} handle ${rule.handle}`),
    ...wanted.map((match) => `${place} ${match} "${device}" counter accept comment "${nftComment}"`),
  ];
}
