/** Outdated records that the two sides of an in-band peering have about each other. Pure. */
import type { RemoteCluster } from '../../shared/api/clusters.ts';
import type { NetworkDocument } from '../../shared/wire/network-document.ts';
import type { Side, Sides } from './sides.ts';
import { changesOf, leadsTo, readDocument, type Request, type Requests } from './requests.ts';

export interface Difference {
  /** The side whose record is out of date. */
  side: Side['name'];
  /** For people: `endpoint`, `tunnel key`. */
  what: string;
  /** What that side has recorded. */
  known: string;
  /** The current state. */
  actual: string;
}

interface Known {
  consumer: RemoteCluster | undefined;
  provider: RemoteCluster | undefined;
}

/** Identity first, then how the other side is reached, then what it declares. */
export function differencesOf(sides: Sides, known: Known, requests: Requests): Difference[] {
  return (['consumer', 'provider'] as const).flatMap((name): Difference[] => {
    const remote = known[name];
    const [other, otherName] =
      name === 'consumer' ? ([sides.provider, 'provider'] as const) : ([sides.consumer, 'consumer'] as const);
    const difference = (what: string, before: string, after: string): Difference => ({
      side: name,
      what,
      known: before,
      actual: after,
    });
    if (remote === undefined) return [difference('the other cluster', 'nothing', other.clusterID)];
    const key =
      remote.spec.publicKey === other.publicKey
        ? []
        : [difference('cluster key', remote.spec.publicKey, other.publicKey)];
    // The key does not succeed the recorded one, so nothing else that is declared with it counts.
    if (!leadsTo(remote, other)) return key;
    return [
      ...key,
      ...requestDifferences(requests[name], remote).map(([what, before, after]) =>
        difference(what, before, after),
      ),
      ...documentDifferences(
        readDocument(remote.spec.networkDocument),
        readDocument(known[otherName]?.status?.localDocument),
      ).map(([what, before, after]) => difference(what, before, after)),
    ];
  });
}

/**
 * Endpoints that a person set earlier and does not set now. They override what the other cluster declares, and this command
 * cannot verify them.
 */
export function givenOnce(
  known: Known,
  given: { provider: string | undefined; consumer: string | undefined },
): string[] {
  return (
    [
      [known.consumer, given.provider, 'provider', '--endpoint'],
      [known.provider, given.consumer, 'consumer', '--consumer-endpoint'],
    ] as const
  ).flatMap(([remote, now, whose, option]) => {
    const endpoints = remote?.spec.tunnelAddresses ?? [];
    if (endpoints.length === 0 || now !== undefined) return [];
    return [
      `the ${whose}’s tunnel is reached at ${endpoints.join(', ')}, as an earlier ${option} set it; if that address has changed, set ${option} again`,
    ];
  });
}

type Change = [what: string, known: string, actual: string];

const names: Partial<Record<keyof Request, string>> = {
  controlPlane: 'control plane',
  gatewayPin: 'pin of the API gateway’s certificate',
  servesInBand: 'whether its API gateway and API server are reached in-band',
  tunnelAddresses: 'endpoint',
};

function requestDifferences(request: Request, remote: RemoteCluster): Change[] {
  const changes = changesOf(request, remote) ?? {};
  return Object.keys(changes).flatMap((field): Change[] => {
    const key = field as keyof Request;
    const what = names[key];
    return what === undefined ? [] : [[what, textOf(remote.spec[key]), textOf(request[key])]];
  });
}

/** Field by field: the recorded document, and what its sender declares now. */
export function documentDifferences(
  held: NetworkDocument | undefined,
  declared: NetworkDocument | undefined,
): Change[] {
  if (declared === undefined) return [];
  if (held === undefined) return [['network document', 'none', `generation ${declared.generation}`]];
  const fields: [what: string, read: (document: NetworkDocument) => unknown][] = [
    ['endpoint', ({ tunnelEndpoints }) => tunnelEndpoints.map(({ addresses }) => addresses)],
    ['tunnel key', ({ tunnelEndpoints }) => tunnelEndpoints.map(({ publicKey }) => publicKey)],
    ['ranges', ({ podCIDRs, externalCIDR }) => [...podCIDRs, externalCIDR]],
    ['remaps', ({ remaps }) => remaps.map(({ real, mapped }) => `${real} → ${mapped}`)],
    ['salt of the pre-shared key', ({ salt }) => `${salt.slice(0, 6)}…`],
    ['MTU', ({ mtu }) => mtu],
    ['API server', ({ apiServer }) => apiServer?.url],
    ['CA of the API server', ({ apiServer }) => shortened(apiServer?.caBundle)],
    ['API gateway', ({ gateway }) => gateway && `${gateway.url} ${gateway.pin.slice(0, 12)}`],
    ['grant', ({ grants }) => grants?.map(({ peering, grant }) => `${peering}: ${JSON.stringify(grant)}`)],
  ];
  const changes = fields.flatMap(([what, read]): Change[] => {
    const [before, after] = [textOf(read(held)), textOf(read(declared))];
    return before === after ? [] : [[what, before, after]];
  });
  const behind = held.generation < declared.generation;
  return changes.length > 0 || !behind
    ? changes
    : [['network document', `generation ${held.generation}`, `generation ${declared.generation}`]];
}

/** The end of a certificate's text: enough to show that two differ. */
function shortened(pem: string | undefined): string | undefined {
  return pem?.trim().split('\n').slice(1, -1).join('').slice(-24);
}

function textOf(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return value.flat(2).map(String).join(', ') || 'none';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
