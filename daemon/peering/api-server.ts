/** Finds this cluster's API server: its URL for others, and its addresses, which no remote range may cover. */
import type { LocalCluster } from '../../shared/api/clusters.ts';
import { apiServerURL as isAPIServerURL } from '../../shared/api/meta.ts';
import { addressFamily, normalizeAddress } from '../../shared/net/cidr.ts';
import { deadline, type Clock } from '../../shared/time.ts';
import type { ControllerContext } from '../kube/context.ts';
import type { ConfigMap, EndpointSlice } from '../../shared/kube/types.ts';
import { hostPort, yamlValues } from './ranges.ts';

/** As many as LocalCluster.status allows. */
const mostAddresses = 64;
const mostNames = 8;
const lookupMilliseconds = 5_000;

/** The API server's URL, as the cluster publishes it. */
export function apiServerURLOf(
  spec: LocalCluster['spec'],
  clusterInfo: ConfigMap | undefined,
  endpoints: EndpointSlice | undefined,
): { url: string | undefined; source: string } {
  if (spec.apiServerURL !== undefined) return { url: spec.apiServerURL, source: 'spec.apiServerURL' };
  const server = infoServer(clusterInfo)?.replace(/\/+$/, '');
  if (isAPIServerURL.safeParse(server).success)
    return { url: server, source: 'ConfigMap kube-public/cluster-info' };
  const address = endpoints?.endpoints[0]?.addresses[0];
  const port = endpoints?.ports?.find((each) => each.name === 'https')?.port ?? endpoints?.ports?.[0]?.port;
  const url = address === undefined || port === undefined ? undefined : `https://${hostPort(address, port)}`;
  return { url, source: 'the endpoints of default/kubernetes' };
}

const infoServer = (clusterInfo: ConfigMap | undefined): string | undefined =>
  yamlValues(clusterInfo?.data?.['kubeconfig'], 'server')[0]?.trim();

/**
 * Hosts of the API server: of the URL for consumers, of the one that kubeadm gave to the nodes, and of the one that this
 * process uses.
 */
export function apiServerHosts(
  url: string | undefined,
  clusterInfo: ConfigMap | undefined,
  spokenTo: string | undefined,
): string[] {
  const hosts = [url, infoServer(clusterInfo), spokenTo].flatMap((text) => {
    if (text === undefined || !URL.canParse(text)) return [];
    return [new URL(text).hostname.replace(/^\[(.*)\]$/, '$1')];
  });
  return [...new Set(hosts)].filter((host) => host !== '');
}

/**
 * Addresses of the API server: those behind Service default/kubernetes, and those of its hosts.
 *
 * @param resolved resolved addresses of the hosts
 */
export function apiServerAddressesOf(
  hosts: readonly string[],
  endpoints: Pick<EndpointSlice, 'endpoints'> | undefined,
  resolved: readonly string[] = [],
): string[] {
  // The API server writes null for an empty list.
  const behind = (endpoints?.endpoints ?? []).flatMap(({ addresses }) => addresses);
  const all = [...behind, ...hosts, ...resolved].filter((host) => addressFamily(host) !== undefined);
  return [...new Set(all.map(normalizeAddress))].toSorted().slice(0, mostAddresses);
}

/** Addresses of host names, resolved periodically; a name that cannot be resolved keeps its last addresses. */
export class KnownNames {
  readonly #resolve: ControllerContext['resolve'];
  readonly #clock: Clock;
  readonly #known = new Map<string, readonly string[]>();

  constructor({ resolve, clock }: Pick<ControllerContext, 'resolve' | 'clock'>) {
    this.#resolve = resolve;
    this.#clock = clock;
  }

  /** Never throws: unresolved names are left out. Ends within some seconds. */
  async lookUp(hosts: readonly string[], signal: AbortSignal): Promise<string[]> {
    const names = hosts.filter((host) => addressFamily(host) === undefined).slice(0, mostNames);
    for (const name of this.#known.keys()) if (!names.includes(name)) this.#known.delete(name);
    await Promise.all(
      names.map(async (name) => {
        using limit = deadline(signal, lookupMilliseconds, `looking up ${name}`, this.#clock);
        try {
          const addresses = await this.#resolve(name, limit.signal);
          this.#known.set(name, addresses.slice(0, mostAddresses));
        } catch {
          // The failure may be that of DNS, so the known addresses stay.
        }
      }),
    );
    return names.flatMap((name) => this.#known.get(name) ?? []);
  }
}
