/** What peering with a token would change, computed before anything is written. Pure. */
import type { LocalCluster } from '../../shared/api/clusters.ts';
import type { Grant } from '../../shared/api/grant.ts';
import type { FabricNode, Tunnel } from '../../shared/api/network.ts';
import type { OutgoingPeering } from '../../shared/api/peerings.ts';
import { validateDeclaredRanges } from '../../shared/net/declared-ranges.ts';
import { secrets } from '../../shared/names.ts';
import { parseRange } from '../../shared/net/cidr.ts';
import { hindrances, planRemaps, waitingText } from '../../shared/net/remapping.ts';
import { networksOf, remapSurroundings } from '../../shared/remap-surroundings.ts';
import type { Preview, TokenContent } from '../../shared/wire/gateway-api.ts';
import { compareVersions } from '../doctor/versions.ts';

export interface PlanInput {
  /** In-band without the address of the API gateway. */
  token: Pick<TokenContent, 'clusterID'> & Partial<Pick<TokenContent, 'gatewayURL'>>;
  /** API gateway and API server are reached inside the tunnel. `calledAt`: where the provider reaches this cluster's tunnel, if given. */
  inBand?: { calledAt?: string };
  preview: Preview;
  self: LocalCluster;
  tunnels: readonly Tunnel[];
  outgoing: readonly OutgoingPeering[];
  fabricNodes: readonly FabricNode[];
  nodes: readonly { name: string; virtual: boolean; gateway: boolean; addresses: readonly string[] }[];
  /** Names of the peering and its node. */
  name: string;
  nodeName: string;
  namespace: string;
}

export interface PeeringPlan {
  provider: { id: string; gatewayURL?: string; version: string; tokenExpiresAt: string };
  /** What the command itself would write; the controller writes the rest. */
  writes: string[];
  grant: Grant;
  /** The prefixes by which this cluster would know the provider's ranges. */
  remappings: { real: string; mapped: string; new: boolean }[];
  /** Ranges of the provider that would not be remapped, or not used as this cluster accepts them; a sentence each. */
  waiting: string[];
  /** The rights of this cluster's controller at the provider, and of the provider here. */
  rights: { held: string[]; given: string[] };
  /** What this cluster would connect to, and what of this cluster would become reachable. */
  endpoints: { dialled: string[]; exposed: string[] };
  /** Existing objects and connections that would be affected. */
  disturbed: string[];
  /** Why it would not work. */
  problems: string[];
}

/** The roles that a provider's controller creates for a consumer. */
const held = [
  'in its tenant namespace: write TwinNamespaces and its own Lease',
  'in its twin namespaces: write ShadowPods, ConfigMaps, Secrets, Services and EndpointSlices',
  'in its twin namespaces: use logs, exec, attach and port-forward of its pods',
  'nothing else: it cannot read or write pods, namespaces, roles, nodes or network policies, or use other namespaces',
];
const given = [
  'no access to this cluster’s Kubernetes API: only this cluster opens connections',
  'a copy of the ConfigMaps, Secrets and Services that offloaded pods use, in its twin namespaces',
];

/** The plan. Ranges that the provider declares are validated as for the real peering. */
export function planPeering(input: PlanInput): PeeringPlan {
  const { token, preview, self, name, namespace } = input;
  const id = token.clusterID;
  const present = input.tunnels.find(({ spec }) => spec.remoteCluster === id);
  const ranges = planRanges(input, present);
  const existing = input.outgoing.find(({ metadata }) => metadata.name === name);
  return {
    provider: {
      id,
      ...(token.gatewayURL !== undefined && { gatewayURL: token.gatewayURL }),
      version: preview.version,
      tokenExpiresAt: preview.expiresAt,
    },
    writes: [
      `Secret ${input.inBand ? secrets.inBandToken : `hawser-token-${name}`} in ${namespace}, until the token is redeemed`,
      existing === undefined ? `OutgoingPeering ${name}` : `OutgoingPeering ${name}, which exists already`,
      ...(input.inBand
        ? [`RemoteCluster ${id}, and a RemoteCluster for this cluster at the provider, to open the tunnel`]
        : []),
    ],
    grant: preview.grant,
    remappings: ranges.remappings,
    waiting: ranges.waiting,
    rights: { held, given },
    endpoints: {
      dialled: [
        ...(input.inBand
          ? ['API gateway and API server inside the tunnel, at an address of the provider’s external CIDR']
          : [
              `API gateway ${token.gatewayURL}`,
              ...(preview.apiServerURL === undefined ? [] : [`API server ${preview.apiServerURL}`]),
            ]),
        ...preview.tunnelAddresses.map((endpoint) => `tunnel ${endpoint}/udp`),
      ],
      exposed: exposedBy(self, input.inBand?.calledAt),
    },
    disturbed: effectsOn(input, present, existing),
    problems: [...ranges.problems, ...problemsOf(input)],
  };
}

function planRanges(
  { preview, self, tunnels, nodes, fabricNodes, token }: PlanInput,
  present: Tunnel | undefined,
): Pick<PeeringPlan, 'remappings' | 'waiting' | 'problems'> {
  const { podCIDRs, externalCIDR } = preview;
  if (podCIDRs.length === 0 || externalCIDR === undefined)
    return {
      remappings: [],
      waiting: [],
      problems: [`${token.clusterID} has not detected its own ranges yet`],
    };
  const wrong = validateDeclaredRanges({ podCIDRs, externalCIDR });
  if (wrong.length > 0) return { remappings: [], waiting: [], problems: wrong };
  const declared = [...podCIDRs, externalCIDR].map((text) => parseRange(text));
  const canonical = {
    podCIDRs: podCIDRs.map((range) => parseRange(range).text),
    externalCIDR: parseRange(externalCIDR).text,
  };
  const { remaps, waiting } = planRemaps({
    declared,
    stored: present?.spec.remaps ?? [],
    ...remapSurroundings({
      local: self,
      remoteCluster: token.clusterID,
      networks: networksOf(fabricNodes),
      nodeAddresses: nodes.flatMap(({ addresses }) => addresses),
      endpoints: preview.tunnelAddresses,
      others: tunnels.filter((tunnel) => tunnel !== present),
    }),
  });
  const problems = hindrances(token.clusterID, canonical, { remaps, waiting });
  return {
    remappings: remaps
      .filter(({ state }) => state === 'InUse')
      .map(({ real, mapped }) => ({
        real,
        mapped,
        new: !(present?.spec.remaps ?? []).some((each) => each.real === real && each.mapped === mapped),
      })),
    waiting: waiting
      .map((each) => waitingText(token.clusterID, each))
      .filter((text) => !problems.includes(text)),
    problems,
  };
}

function exposedBy({ spec, status }: LocalCluster, calledAt: string | undefined): string[] {
  const declared = (status?.tunnelEndpoints ?? []).flatMap((tunnelEndpoint) => tunnelEndpoint.addresses);
  const endpoints = calledAt === undefined ? declared : [calledAt];
  return [
    ...endpoints.map(
      (endpoint) => `tunnel ${endpoint}/udp: answers only holders of the key of a peered cluster`,
    ),
    spec.dataPath === 'Open'
      ? `pods ${(status?.podCIDRs ?? []).join(', ')}, by all ranges that the provider declares (LocalCluster.spec.dataPath is Open)`
      : 'pods and nodes of this cluster, only by its own pods that run at the provider',
  ];
}

function effectsOn(
  { preview, self, tunnels, token }: PlanInput,
  present: Tunnel | undefined,
  existing: OutgoingPeering | undefined,
): string[] {
  const lines: string[] = [];
  if (existing !== undefined)
    lines.push(
      `OutgoingPeering ${existing.metadata.name} exists: it would redeem this token and receive the grant above`,
    );
  if (present !== undefined)
    lines.push(
      `the tunnel to ${token.clusterID} exists${present.spec.provider ? ' (that cluster is a consumer of this one)' : ''} and would be shared; its remappings do not change`,
    );
  const mtu = Math.min(...tunnels.map(({ spec }) => spec.mtu));
  const planned = Math.min(self.status?.mtu ?? Infinity, preview.mtu ?? Infinity);
  if (tunnels.length > 0 && planned < mtu)
    lines.push(
      `the MTU of the tunnel device on all nodes would decrease from ${mtu} to ${planned}; connections to other remotes continue with smaller packets`,
    );
  if (present !== undefined && existing === undefined) return lines;
  return lines.length > 0
    ? lines
    : ['none: the remappings of other peerings and existing connections do not change'];
}

function problemsOf({ preview, self, nodes, nodeName, outgoing, name, inBand }: PlanInput): string[] {
  const problems: string[] = [];
  const own = self.status?.version;
  if (own !== undefined && compareVersions(own, preview.version).distance === 'TooFar')
    problems.push(
      `Hawser ${preview.version} there and ${own} here are not compatible: they may differ by at most two minor versions`,
    );
  const taken = nodes.find((node) => node.name === nodeName);
  const byPeering = outgoing.some(
    ({ metadata, spec }) => metadata.name === name && spec.nodeName === nodeName,
  );
  if (taken !== undefined && !byPeering)
    problems.push(`node ${nodeName} exists already; choose another name with --node`);
  if (nodes.length > 0 && !nodes.some(({ gateway, virtual }) => gateway && !virtual))
    problems.push(
      'no node is labelled as gateway node; to label one: kubectl label node NODE hawser.dev/gateway=true',
    );
  if (preview.tunnelAddresses.length === 0 && inBand?.calledAt === undefined)
    problems.push('the provider has no tunnel endpoint yet; see its Service hawser-tunnel-0');
  if (preview.apiServerURL === undefined && inBand === undefined)
    problems.push(
      'the provider does not declare the address of its API server (LocalCluster.spec.apiServerURL there)',
    );
  return problems;
}
