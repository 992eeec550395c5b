/** Ranges that a node reports as used, so that the controller assigns no remote an overlapping one. Pure. */
import type { HostProblem } from '../../../shared/api/network.ts';
import { contains, readRanges } from '../../../shared/net/cidr.ts';
import { coarsen } from '../../../shared/net/coarse-ranges.ts';
import type { NodeNetwork } from '../../../shared/remap-surroundings.ts';
import type { RefusedRoute } from '../../host/index.ts';

/** Together at most as many as the API allows (`maximumNetworks`). */
const most = { resolvers: 8, apiServer: 32, routes: 88 } as const;
const loopback = readRanges(['127.0.0.0/8', '::1/128']);

export interface NodeUses {
  /** Ranges to which the node has routes. */
  routes: readonly string[];
  resolvers: readonly string[];
  apiServer: readonly string[];
  /** The CNI's ranges, which are known as this cluster's anyway. */
  podRanges: readonly string[];
}

/** Routes beyond the limit are aggregated into fewer, wider ranges, not dropped. */
export function reportNetworks({ routes, resolvers, apiServer, podRanges }: NodeUses): NodeNetwork[] {
  const pods = readRanges(podRanges);
  const others = readRanges(routes).filter((range) => !pods.some((own) => contains(own, range)));
  const hosts = (what: NodeNetwork['what'], addresses: readonly string[], limit: number) =>
    [
      ...new Set(
        readRanges(addresses)
          .filter((range) => !loopback.some((own) => contains(own, range)))
          .map(({ text }) => text),
      ),
    ]
      .slice(0, limit)
      .map((range): NodeNetwork => ({ range, what }));
  return [
    ...coarsen(
      others.map(({ text }) => text),
      most.routes,
    ).map((range): NodeNetwork => ({ range, what: 'Route' })),
    ...hosts('Resolver', resolvers, most.resolvers),
    ...hosts('APIServer', apiServer, most.apiServer),
  ];
}

/** Messages about routes that the node refused. */
export function refusedProblems(refused: readonly RefusedRoute[]): HostProblem[] {
  return refused.map(({ prefix, needed }) => ({
    reason: 'RouteRefused',
    message: `the route to ${prefix} of a remote is refused: it would cover ${needed.range}, ${needed.what}; to have another range chosen: hawser remap approve REMOTE`,
  }));
}
