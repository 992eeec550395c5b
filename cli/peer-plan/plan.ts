/** What peering with a token would lead to, before anything is touched. Pure. */
import type { LocalCluster } from '../../shared/api/clusters.ts';
import type { Grant } from '../../shared/api/grant.ts';
import type { Tunnel } from '../../shared/api/network.ts';
import type { OutgoingPeering } from '../../shared/api/peerings.ts';
import { validateDeclaredRanges } from '../../shared/net/declared-ranges.ts';
import { secrets } from '../../shared/names.ts';
import { planRemaps } from '../../shared/net/remapping.ts';
import { remapSurroundings } from '../../shared/remap-surroundings.ts';
import type { Preview, TokenContent } from '../../shared/wire/gateway-api.ts';
import { compareVersions } from '../doctor/versions.ts';

export interface PlanInput {
  /** Without a gateway's address in-band. */
  token: Pick<TokenContent, 'clusterID'> & Partial<Pick<TokenContent, 'gatewayURL'>>;
  /** Gateway and API server are reached inside the tunnel. `calledAt`: where the provider reaches this cluster's tunnel, if given. */
  inBand?: { calledAt?: string };
  preview: Preview;
  self: LocalCluster;
  tunnels: readonly Tunnel[];
  outgoing: readonly OutgoingPeering[];
  nodes: readonly { name: string; virtual: boolean; gateway: boolean; addresses: readonly string[] }[];
  /** Names that the peering would have. */
  name: string;
  nodeName: string;
  namespace: string;
}

export interface PeeringPlan {
  provider: { id: string; gatewayURL?: string; version: string; tokenExpiresAt: string };
  /** What would be written at once, by the command; all else is the controller's. */
  writes: string[];
  grant: Grant;
  /** How this cluster would know the provider's ranges. */
  remappings: { real: string; mapped: string; new: boolean }[];
  /** What this cluster's controller may do there, and what the provider may do here. */
  rights: { held: string[]; given: string[] };
  /** Where this cluster would connect to; and what of it could be reached. */
  endpoints: { dialled: string[]; exposed: string[] };
  /** What of today would be otherwise. */
  disturbed: string[];
  /** Why it would not work. */
  problems: string[];
}

/** What the roles say that a provider's controller makes for a consumer. */
const held = [
  'in its tenant namespace: TwinNamespaces, and its own lease',
  'in the twins that come of them: ShadowPods; ConfigMaps, Secrets, Services and EndpointSlices of what is offloaded',
  'in twins: reading pods, and logs, exec, attach and port-forward of them',
  'nothing else: no pods, namespaces, roles, nodes or network policies, and nothing in other namespaces',
];
const given = [
  'no right in this cluster’s Kubernetes API: only this cluster dials',
  'the contents of what offloaded pods use: their ConfigMaps, Secrets and Services are copied to twins',
];

/** The plan. What a provider declares is checked as at the real peering. */
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
      `Secret ${input.inBand ? secrets.inBandToken : `hawser-token-${name}`} in ${namespace}, until it is spent`,
      existing === undefined ? `OutgoingPeering ${name}` : `OutgoingPeering ${name}, which is there already`,
      ...(input.inBand
        ? [`RemoteCluster ${id}, and one of this cluster at the provider: what each needs to open the tunnel`]
        : []),
    ],
    grant: preview.grant,
    remappings: ranges.remappings,
    rights: { held, given },
    endpoints: {
      dialled: [
        ...(input.inBand
          ? ['gateway and API server inside the tunnel, at two ports of the provider’s external CIDR']
          : [
              `gateway ${token.gatewayURL}`,
              ...(preview.apiServerURL === undefined ? [] : [`API server ${preview.apiServerURL}`]),
            ]),
        ...preview.tunnelAddresses.map((endpoint) => `tunnel ${endpoint}/udp`),
      ],
      exposed: exposedBy(self, input.inBand?.calledAt),
    },
    disturbed: disturbances(input, present, existing),
    problems: [...ranges.problems, ...problemsOf(input)],
  };
}

function planRanges(
  { preview, self, tunnels, nodes, token }: PlanInput,
  present: Tunnel | undefined,
): Pick<PeeringPlan, 'remappings' | 'problems'> {
  const { podCIDRs, externalCIDR } = preview;
  if (podCIDRs.length === 0 || externalCIDR === undefined)
    return { remappings: [], problems: [`${token.clusterID} does not know its own ranges yet`] };
  const wrong = validateDeclaredRanges({ podCIDRs, externalCIDR });
  if (wrong.length > 0) return { remappings: [], problems: wrong };
  const { remaps, unplaced } = planRemaps({
    declared: [...podCIDRs, externalCIDR],
    stored: present?.spec.remaps ?? [],
    ...remapSurroundings({
      local: self,
      nodeAddresses: nodes.flatMap(({ addresses }) => addresses),
      endpoints: preview.tunnelAddresses,
      others: tunnels.filter((tunnel) => tunnel !== present),
    }),
  });
  return {
    remappings: remaps
      .filter(({ state }) => state === 'InUse')
      .map(({ real, mapped }) => ({
        real,
        mapped,
        new: !(present?.spec.remaps ?? []).some((each) => each.real === real && each.mapped === mapped),
      })),
    problems: unplaced.map(
      (range) => `no free range of the size of ${range} is left: add one to LocalCluster.spec.remapPools`,
    ),
  };
}

function exposedBy({ spec, status }: LocalCluster, calledAt: string | undefined): string[] {
  const declared = (status?.tunnelEndpoints ?? []).flatMap((tunnelEndpoint) => tunnelEndpoint.addresses);
  const endpoints = calledAt === undefined ? declared : [calledAt];
  return [
    ...endpoints.map(
      (endpoint) => `tunnel ${endpoint}/udp: only who holds a key of a known cluster is answered`,
    ),
    spec.dataPath === 'Open'
      ? `pods ${(status?.podCIDRs ?? []).join(', ')} to all that the provider declares (LocalCluster.spec.dataPath is Open)`
      : 'pods and nodes of this cluster to its own pods that run there, and to nothing else of the provider',
  ];
}

function disturbances(
  { preview, self, tunnels, token }: PlanInput,
  present: Tunnel | undefined,
  existing: OutgoingPeering | undefined,
): string[] {
  const lines: string[] = [];
  if (existing !== undefined)
    lines.push(
      `OutgoingPeering ${existing.metadata.name} is there: it would take up this token, and with it the grant above`,
    );
  if (present !== undefined)
    lines.push(
      `the tunnel to ${token.clusterID} is there${present.spec.provider ? ' (it is a consumer of this cluster)' : ''} and would be shared; its remappings stay`,
    );
  const mtu = Math.min(...tunnels.map(({ spec }) => spec.mtu));
  const planned = Math.min(self.status?.mtu ?? Infinity, preview.mtu ?? Infinity);
  if (tunnels.length > 0 && planned < mtu)
    lines.push(
      `the tunnel device of all nodes would go from ${mtu} to ${planned} bytes; connections to other remotes go on, in smaller packets`,
    );
  if (present !== undefined && existing === undefined) return lines;
  return lines.length > 0 ? lines : ['nothing: remappings of other peerings stay, and no connection ends'];
}

function problemsOf({ preview, self, nodes, nodeName, outgoing, name, inBand }: PlanInput): string[] {
  const problems: string[] = [];
  const own = self.status?.version;
  if (own !== undefined && compareVersions(own, preview.version).distance === 'TooFar')
    problems.push(
      `Hawser ${preview.version} there and ${own} here do not work together: at most two versions may lie between`,
    );
  const taken = nodes.find((node) => node.name === nodeName);
  const byPeering = outgoing.some(
    ({ metadata, spec }) => metadata.name === name && spec.nodeName === nodeName,
  );
  if (taken !== undefined && !byPeering)
    problems.push(`a node ${nodeName} is there already: name another with --node`);
  if (nodes.length > 0 && !nodes.some(({ gateway, virtual }) => gateway && !virtual))
    problems.push('no node is labelled to be a gateway: kubectl label node NODE hawser.dev/gateway=true');
  if (preview.tunnelAddresses.length === 0 && inBand?.calledAt === undefined)
    problems.push('the provider has no tunnel endpoint yet: its Service hawser-tunnel-0 has no address');
  if (preview.apiServerURL === undefined && inBand === undefined)
    problems.push(
      'the provider does not know how its API server is reached (its LocalCluster.spec.apiServerURL)',
    );
  return problems;
}
