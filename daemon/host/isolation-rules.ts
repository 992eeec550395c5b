/**
 * The nft rules that isolate consumers' pods: sets and verdict maps, with a few rules per consumer and none per pod.
 * Traffic of other pods passes after one lookup of its source and one of its destination.
 */
import { parseRange } from '../../shared/net/cidr.ts';
import { isolationTable } from './constants.ts';
import type { IsolatedTenant, IsolationPlan } from './plan.ts';

/**
 * - `inet`: packets that the node routes, and packets to the node itself.
 * - `bridge`: packets between two pods on the same bridge. The node's IP layer does not see them unless br_netfilter is
 *   loaded and its sysctls are set (Documentation/networking/ip-sysctl, bridge-nf-call-iptables).
 */
export type IsolationFamily = 'inet' | 'bridge';

/** Packets and bytes by counter name. */
export type Counts = ReadonlyMap<string, { packets: number; bytes: number }>;

/** Counter name for addresses that belong to no known pod. It cannot be a cluster ID, which has no capitals. */
const unknownOwner = 'Unknown';
/** Counter name for packets of others to a consumer's pods. */
const entry = 'Entry';
/** Counter name for packets of a consumer's pods to Services at its home. */
const homeServices = 'HomeServices';
/**
 * Unknown addresses are isolated for this long after the node daemon's last renewal: a daemon that does not return must not
 * cut new pods of this cluster off forever.
 */
export const watchedSeconds = 300;

const families = [4, 6] as const;
type Family = (typeof families)[number];
const ip = (family: Family) => (family === 4 ? 'ip' : 'ip6');
const of = (family: Family, texts: readonly string[]) =>
  texts.filter((text) => (text.includes(':') ? 6 : 4) === family);

/** Name of the counter of refused packets of a remote cluster's pods. */
const counterName = (remoteCluster: string, what: string) => `refused-${remoteCluster}/${what}`;

/** The remote cluster (empty for an unknown address) and the refused destination; undefined for any other counter. */
export function readCounterName(name: string): { remoteCluster: string; reason: string } | undefined {
  const [, remoteCluster = '', reason = ''] = /^refused-([^/]+)\/([^/]+)$/.exec(name) ?? [];
  if (reason === '') return undefined;
  return { remoteCluster: remoteCluster === unknownOwner ? '' : remoteCluster, reason };
}

/**
 * The table as a transaction for `nft -f`, which replaces it atomically: no packet sees a part of it. Counters keep their
 * values.
 *
 * @param podDevices devices by which this node's pods are reached
 */
export function renderIsolation(
  family: IsolationFamily,
  device: string,
  plan: IsolationPlan,
  podDevices: readonly string[],
  counted: Counts,
): string {
  const { tenants, forbidden, unknown } = plan;
  const kinds = forbidden.map(({ what }) => what);
  const counters = [
    ...tenants.flatMap(({ remoteCluster }) =>
      [...kinds, entry, homeServices].map((what) => counterName(remoteCluster, what)),
    ),
    ...kinds.map((what) => counterName(unknownOwner, what)),
  ];
  const lines = [
    ...counters.map((name) => {
      const { packets, bytes } = counted.get(name) ?? { packets: 0, bytes: 0 };
      return `counter ${name} { packets ${packets} bytes ${bytes} }`;
    }),
    ...setLines(family, plan),
    ...(family === 'inet' ? routedChains(device, plan) : bridgedChains(plan)),
  ];
  const verdicts = (direction: 'from' | 'to') =>
    families.map((each) => `${ip(each)} ${direction === 'from' ? 's' : 'd'}addr vmap @${direction}${each}`);
  const strangers = (chain: string) => [
    ...(unknown === undefined
      ? []
      : families.map((each) => {
          const source = `${ip(each)} saddr`;
          return `${source} @watched${each} ${source} != @known${each} jump ${chain}`;
        })),
    ...ofLinks(family, podDevices).map((match) => `${match} jump ${chain}`),
  ];
  const hooks = [
    'chain forward {',
    // Before other rules of this hook, which may drop what is rejected here.
    `  type filter hook forward priority ${family === 'inet' ? 'filter - 5' : 'filter'}; policy accept;`,
    ...[...verdicts('from'), ...strangers(`from-${unknownOwner}`), ...verdicts('to')].map(
      (rule) => `  ${rule}`,
    ),
    '}',
    ...(family === 'bridge'
      ? []
      : [
          'chain input {',
          '  type filter hook input priority filter; policy accept;',
          // The node also uses its addresses in the pod range for traffic to itself.
          '  iifname "lo" return',
          ...families.map((each) => `  ${ip(each)} saddr vmap @host${each}`),
          ...strangers(`host-${unknownOwner}`).map((rule) => `  ${rule}`),
          '}',
        ]),
  ];
  const head = `table ${family} ${isolationTable}`;
  return [
    head,
    `delete ${head}`,
    `${head} {`,
    ...[...lines, ...hooks].map((line) => `  ${line}`),
    '}',
    '',
  ].join('\n');
}

/**
 * Every pod also has a link-local address, and the kubelet listens on that of the node. Such an address does not identify a
 * pod, and no pod needs it. Not every kernel can match the bridge of a frame, and on other bridges, such as those of virtual
 * machines, DHCPv6 uses link-local addresses (RFC 8415, section 7.2), so its ports are exempt.
 */
function ofLinks(family: IsolationFamily, podDevices: readonly string[]): string[] {
  if (podDevices.length === 0) return [];
  return family === 'inet'
    ? [`ip6 saddr fe80::/10 iifname { ${podDevices.map((name) => `"${name}"`).join(', ')} }`]
    : ['tcp', 'udp'].map(
        (protocol) => `ip6 saddr fe80::/10 ip6 daddr fe80::/10 ${protocol} dport != { 546, 547 }`,
      );
}

function setLines(
  family: IsolationFamily,
  { tenants, resolvers, forbidden, unknown }: IsolationPlan,
): string[] {
  const elementsOf = (elements: readonly string[]) =>
    elements.length === 0 ? '' : ` elements = { ${elements.join(', ')} };`;
  const set = (name: string, each: Family, texts: readonly string[], flags = '') =>
    `set ${name}${each} { type ipv${each}_addr;${flags}${elementsOf(of(each, texts))} }`;
  const rangeSet = (name: string, each: Family, texts: readonly string[]) =>
    set(name, each, disjoint(of(each, texts)), ' flags interval;');
  const map = (name: string, each: Family) => {
    const elements = tenants.flatMap(({ here, remoteCluster }) =>
      of(each, here).map((address) => `${address} : jump ${name}-${remoteCluster}`),
    );
    return `map ${name}${each} { type ipv${each}_addr : verdict;${elementsOf(elements)} }`;
  };
  return families.flatMap((each) => [
    set('resolvers', each, resolvers),
    ...forbidden.map(({ what, ranges }) => rangeSet(what, each, ranges)),
    ...tenants.flatMap(({ remoteCluster, pods, home, services = [] }) => [
      set(`pods-${remoteCluster}-`, each, pods),
      rangeSet(`home-${remoteCluster}-`, each, home),
      ...(family === 'inet' ? [rangeSet(`services-${remoteCluster}-`, each, services)] : []),
    ]),
    ...(unknown === undefined
      ? []
      : [
          set(
            'watched',
            each,
            unknown.ranges.map((range) => `${range} timeout ${watchedSeconds}s`),
            ' flags interval, timeout;',
          ),
          set('known', each, unknown.known),
        ]),
    ...(family === 'inet' ? ['from', 'to', 'host'] : ['from', 'to']).map((name) => map(name, each)),
  ]);
}

/** Drops prefixes that others contain: some versions of nft reject overlapping ones in one transaction. */
function disjoint(texts: readonly string[]): string[] {
  const parsed = texts.map((text) => parseRange(text)).toSorted((one, other) => one.length - other.length);
  return parsed
    .filter(
      (range, index) =>
        !parsed.slice(0, index).some((outer) => outer.start <= range.start && range.start <= outer.end),
    )
    .map(({ text }) => text);
}

const chain = (name: string, rules: readonly string[]) => [
  `chain ${name} {`,
  ...rules.map((rule) => `  ${rule}`),
  '}',
];

/** Neighbour discovery (RFC 4861) and multicast listener discovery (RFC 3810), without which IPv6 does not work. */
const neighbours =
  'icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-report, mld-listener-done, mld2-listener-report } return';
const asked = (family: Family) =>
  `${ip(family)} daddr @resolvers${family} meta l4proto { tcp, udp } th dport 53 return`;

/** Counts packets to destinations that consumers' pods must not reach, and gives the verdict. */
const refusals = (who: string, forbidden: IsolationPlan['forbidden'], verdict: string) =>
  forbidden.flatMap(({ what }) =>
    families.map(
      (family) => `${ip(family)} daddr @${what}${family} counter name ${counterName(who, what)} ${verdict}`,
    ),
  );

/**
 * The node rejects packets that it would route, so that a program fails at once instead of waiting for its own timeout (RFC
 * 1812, section 5.2.7.1, code 13). Bridges only drop, since no kernel can reject in this hook.
 */
const reject = 'goto reject-now';
const rejection = ['meta l4proto tcp reject with tcp reset', 'reject with icmpx admin-prohibited'];

/**
 * Every packet is checked, not only the first of a connection, so that connections opened before the pod's address was
 * known end. Replies pass, since their connection's requests were checked, and so do related ICMP errors (path MTU).
 */
const answers = ['ct direction reply return', 'ct state related return', neighbours];

function routedChains(device: string, { tenants, forbidden }: IsolationPlan): string[] {
  const from = (who: string, own: readonly string[], after: readonly string[] = []) =>
    chain(`from-${who}`, [
      ...answers,
      ...own,
      ...families.map(asked),
      ...refusals(who, forbidden, reject),
      ...after,
    ]);
  // Consumers' pods reach no address of the node itself except a DNS cache (NodeLocal DNSCache).
  const host = (who: string) =>
    chain(`host-${who}`, [
      ...answers,
      ...families.map(asked),
      ...refusals(who, forbidden, reject),
      `counter name ${counterName(who, 'Node')} ${reject}`,
    ]);
  return [
    ...chain('reject-now', rejection),
    ...tenants.flatMap(({ remoteCluster }) => [
      ...from(remoteCluster, ownDestinations(remoteCluster), homeServicesOf(remoteCluster)),
      ...host(remoteCluster),
      ...chain(`to-${remoteCluster}`, [
        ...answers,
        ...families.flatMap((family) => [
          `${ip(family)} saddr @pods-${remoteCluster}-${family} return`,
          `iifname "${device}" ${ip(family)} saddr @home-${remoteCluster}-${family} return`,
        ]),
        `counter name ${counterName(remoteCluster, entry)} drop`,
      ]),
    ]),
    ...from(unknownOwner, []),
    ...host(unknownOwner),
  ];
}

/**
 * A consumer's pods here lie in this cluster's pod ranges, so their accept rules come before the forbidden ranges. Its home
 * ranges have no such precedence: where a forbidden range overlaps them, it wins.
 */
const ownDestinations = (who: IsolatedTenant['remoteCluster']) =>
  families.map((family) => `${ip(family)} daddr @pods-${who}-${family} return`);

/**
 * A ClusterIP of home has no meaning here, and no node has a route to it: the packet would leave unencrypted by the default
 * route, to any host with that private address. The rules of this cluster's own ranges, and of home's pods, come before.
 */
const homeServicesOf = (who: IsolatedTenant['remoteCluster']) => [
  ...families.map((family) => `${ip(family)} daddr @home-${who}-${family} return`),
  ...families.map(
    (family) =>
      `${ip(family)} daddr @services-${who}-${family} counter name ${counterName(who, homeServices)} ${reject}`,
  ),
];

/**
 * Not every kernel supports connection tracking on bridges. It is not needed: pods on the same bridge that may exchange
 * packets may do so in both directions, and DNS replies are recognised by their source port.
 */
function bridgedChains({ tenants, forbidden }: IsolationPlan): string[] {
  return [
    ...tenants.flatMap(({ remoteCluster }) => [
      ...chain(`from-${remoteCluster}`, [
        neighbours,
        ...ownDestinations(remoteCluster),
        ...families.map(asked),
        ...refusals(remoteCluster, forbidden, 'drop'),
      ]),
      ...chain(`to-${remoteCluster}`, [
        neighbours,
        ...families.flatMap((family) => [
          `${ip(family)} saddr @pods-${remoteCluster}-${family} return`,
          `${ip(family)} saddr @resolvers${family} meta l4proto { tcp, udp } th sport 53 return`,
          ...forbidden.map(
            ({ what }) =>
              `${ip(family)} saddr @${what}${family} counter name ${counterName(remoteCluster, entry)} drop`,
          ),
        ]),
      ]),
    ]),
    ...chain(`from-${unknownOwner}`, [
      neighbours,
      ...families.map(asked),
      ...refusals(unknownOwner, forbidden, 'drop'),
    ]),
  ];
}
