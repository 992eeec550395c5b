/**
 * The nft rules around the TUN device: one table of Hawser's own, replaced as a whole, and accept rules in foreign chains
 * that might drop packets of the device.
 */
import { parseRange } from '../../shared/net/cidr.ts';
import { masqueradeMark, nftComment, nftTable } from './constants.ts';
import type { PacketPlan } from './plan.ts';

/**
 * The table as a transaction for `nft -f`, which replaces it atomically: no packet sees a part of it.
 *
 * - `leaving` runs just before the source-NAT chains of CNI and kube-proxy (priority srcnat − 1). The first chain that sets
 *   up a connection's source translation decides, so `snat to ip saddr` keeps the pods' source addresses. Packets that
 *   kube-proxy marked for masquerading (NodePorts, pods on other nodes) and packets of the node itself leave with the node's
 *   address of the external CIDR, so that the reply comes back to this node.
 * - Incoming packets of remotes are exempt from masquerading too: some CNIs apply it to everything from outside.
 * - `entering` runs before the destination-NAT hook: a remote can open only the listed connections to this node, and no
 *   NodePort. A source address in a range whose route was refused belongs to a local network here, so packets from the
 *   device with such a source are dropped.
 * - `closing` drops packets to a remote range that would leave by another device. Other programs can remove the policy rule
 *   that leads into the device (systemd-networkd removes all rules it did not make). The packet is dropped before conntrack
 *   confirms its connection, so no source translation stays behind for later packets.
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
  const closing: string[] = [];
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
    closing.push(`${ip(family)} daddr @remotes${family} oifname != { "${device}", "lo" } drop`);
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
    '  chain closing {',
    '    type filter hook postrouting priority mangle; policy accept;',
    ...closing.map((rule) => `    ${rule}`),
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
  /** In the order of the chain. */
  rules: readonly ForeignRule[];
}

export interface ForeignRule {
  handle: number;
  /** Hawser's rule, and what it accepts. */
  own?: { match: 'iifname' | 'oifname'; device: string };
  /** Drops or rejects every packet that reaches it. */
  final: boolean;
}

/** iptables' chains for forwarded and incoming packets; firewalls and Docker add drop policies and final rejects there. */
export const foreignChains = [
  { family: 'ip', chain: 'FORWARD' },
  { family: 'ip', chain: 'INPUT' },
  { family: 'ip6', chain: 'FORWARD' },
  { family: 'ip6', chain: 'INPUT' },
] as const;

/** Which of the device's directions pass a chain. */
export function wantedMatches(chain: 'FORWARD' | 'INPUT'): ('iifname' | 'oifname')[] {
  return chain === 'FORWARD' ? ['iifname', 'oifname'] : ['iifname'];
}

/**
 * Commands for `nft -f` that correct Hawser's rules in a chain; none when they are correct. The rules come after all
 * others, so that network policies enforced in this chain apply to remotes' packets too, but before a final drop or reject
 * of everything, which would make them ineffective.
 */
export function changeForeignChain(found: ForeignChain, device: string | undefined): string[] {
  const { rules } = found;
  const wanted = device === undefined ? [] : wantedMatches(found.chain);
  const own = rules.filter((rule) => rule.own !== undefined);
  const others = rules.filter((rule) => rule.own === undefined);
  // Rules after the first final one are never reached.
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
