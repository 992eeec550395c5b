/** What the two sides of an in-band peering know of each other that is out of date. Pure. */
import type { RemoteCluster } from '../../shared/api/clusters.ts';
import type { NetworkDocument } from '../../shared/wire/network-document.ts';
import type { Side, Sides } from './sides.ts';
import { changesOf, leadsTo, readDocument, type Request, type Requests } from './requests.ts';

export interface Difference {
  /** Which side knew it wrongly. */
  side: Side['name'];
  /** As a person calls it: `endpoint`, `tunnel key`. */
  what: string;
  /** What that side knew. */
  known: string;
  /** What is. */
  actual: string;
}

interface Known {
  consumer: RemoteCluster | undefined;
  provider: RemoteCluster | undefined;
}

/** In the order in which a person would look: identity, how it is reached, what it declares. */
export function differencesOf(sides: Sides, known: Known, requests: Requests): Difference[] {
  return (['consumer', 'provider'] as const).flatMap((name): Difference[] => {
    const remote = known[name];
    const [other, otherName] =
      name === 'consumer' ? ([sides.provider, 'provider'] as const) : ([sides.consumer, 'consumer'] as const);
    const is = (what: string, before: string, after: string): Difference => ({
      side: name,
      what,
      known: before,
      actual: after,
    });
    if (remote === undefined) return [is('the other cluster', 'nothing', other.clusterID)];
    const key =
      remote.spec.publicKey === other.publicKey
        ? []
        : [is('cluster key', remote.spec.publicKey, other.publicKey)];
    // A stranger's key: what it declares is not this cluster's any more.
    if (!leadsTo(remote, other)) return key;
    return [
      ...key,
      ...requestDifferences(requests[name], remote).map(([what, before, after]) => is(what, before, after)),
      ...documentDifferences(
        readDocument(remote.spec.networkDocument),
        readDocument(known[otherName]?.status?.localDocument),
      ).map(([what, before, after]) => is(what, before, after)),
    ];
  });
}

/**
 * Endpoints that a person gave once, and not now: nobody can tell whether they are still right, and what a cluster declares is
 * not used beside them.
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
      `the ${whose}’s tunnel is called at ${endpoints.join(', ')}, as ${option} said once: name another with it if that has moved`,
    ];
  });
}

type Change = [what: string, known: string, actual: string];

const names: Partial<Record<keyof Request, string>> = {
  controlPlane: 'control plane',
  gatewayPin: 'pin of the gateway’s certificate',
  servesInBand: 'whether its gateway and API server are reached in-band',
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

/** Field by field, what a held document says and what its sender declares now. */
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
    ['authority of the API server', ({ apiServer }) => shortened(apiServer?.caBundle)],
    ['gateway', ({ gateway }) => gateway && `${gateway.url} ${gateway.pin.slice(0, 12)}`],
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

/** A certificate's text says little to a person; that it is another one is what matters. */
function shortened(pem: string | undefined): string | undefined {
  return pem?.trim().split('\n').slice(1, -1).join('').slice(-24);
}

function textOf(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return value.flat(2).map(String).join(', ') || 'none';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
