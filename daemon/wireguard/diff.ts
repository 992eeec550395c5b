/**
 * The difference between two complete configurations that the engine must apply, and the engine's numbers for peers. Pure:
 * the same two configurations give the same difference, and equal ones give `null`.
 */
import type {
  EngineDifference,
  PeerConfiguration as EnginePeer,
  Route as EngineRoute,
} from '../../native/index.d.ts';
import { ConfigurationError } from './configuration.ts';
import type { DeviceConfiguration, PeerConfiguration, RouteConfiguration } from './configuration.ts';

/** Public key → the engine's number. */
export type PeerNumbers = ReadonlyMap<string, number>;

/** Keeps the numbers of peers that stay, and assigns the lowest free ones to new peers. */
export function allocateNumbers(
  previous: PeerNumbers,
  peers: readonly PeerConfiguration[],
  maximumPeers: number,
): Map<string, number> {
  const numbers = new Map<string, number>();
  const taken = new Set<number>(previous.values());
  for (const { publicKey } of peers) {
    const number = previous.get(publicKey);
    if (number !== undefined) numbers.set(publicKey, number);
  }
  // A number that this change frees is reused only when no other is left: its counters may still be read.
  const freed = [...previous].filter(([publicKey]) => !numbers.has(publicKey)).map(([, number]) => number);
  let candidate = 0;
  for (const { publicKey } of peers) {
    if (numbers.has(publicKey)) continue;
    while (candidate < maximumPeers && taken.has(candidate)) candidate++;
    const number = candidate < maximumPeers ? candidate++ : freed.shift();
    if (number === undefined)
      throw new ConfigurationError(`more peers than this device was made for (${maximumPeers})`);
    numbers.set(publicKey, number);
  }
  return numbers;
}

/**
 * The changes in the engine's terms; `null` if there are none. A peer's endpoint is included only when it is new, changed or
 * named in `override`: setting an unchanged one would undo roaming. `mtuOf` gives the known path MTU.
 */
export function difference(
  previous: { configuration: DeviceConfiguration; numbers: PeerNumbers },
  next: { configuration: DeviceConfiguration; numbers: PeerNumbers },
  override: ReadonlySet<string> = new Set(),
  mtuOf: (peer: PeerConfiguration) => number = (peer) => peer.mtu,
): EngineDifference | null {
  const result: EngineDifference = {};

  const removed = [...previous.numbers].filter(([publicKey]) => !next.numbers.has(publicKey));
  if (removed.length > 0) result.removePeers = removed.map(([, number]) => number);

  const before = new Map(previous.configuration.peers.map((peer) => [peer.publicKey, peer]));
  const upserts: EnginePeer[] = [];
  for (const peer of next.configuration.peers) {
    const known = before.get(peer.publicKey);
    const moved =
      peer.endpoint !== undefined && (known?.endpoint !== peer.endpoint || override.has(peer.publicKey));
    if (known !== undefined && !moved && samePeer(known, peer)) continue;
    upserts.push(enginePeer(peer, numberOf(next.numbers, peer.publicKey), mtuOf(peer), moved));
  }
  if (upserts.length > 0) result.upsertPeers = upserts;

  const routesBefore = new Map(previous.configuration.routes.map((route) => [route.prefix, route]));
  const routesAfter = new Set(next.configuration.routes.map((route) => route.prefix));
  const removedRoutes = [...routesBefore.keys()].filter((prefix) => !routesAfter.has(prefix));
  if (removedRoutes.length > 0) result.removeRoutes = removedRoutes;
  const routes: EngineRoute[] = [];
  for (const route of next.configuration.routes) {
    const targets = engineTargets(route, next.numbers);
    const known = routesBefore.get(route.prefix);
    const old = known?.targets.map((target) => (target === 'local' ? target : previous.numbers.get(target)));
    if (old === undefined || old.join() !== targets.join()) routes.push({ prefix: route.prefix, targets });
  }
  if (routes.length > 0) result.upsertRoutes = routes;

  const sources = next.configuration.tunSources;
  if (!sameList(previous.configuration.tunSources, sources)) result.tunSources = sources ?? null;

  const dead = (next.configuration.deadPeers ?? []).map((publicKey) => numberOf(next.numbers, publicKey));
  const deadBefore = (previous.configuration.deadPeers ?? []).map((key) => previous.numbers.get(key));
  if (dead.join() !== deadBefore.join()) result.deadPeers = dead;

  return Object.keys(result).length === 0 ? null : result;
}

function numberOf(numbers: PeerNumbers, publicKey: string): number {
  const number = numbers.get(publicKey);
  if (number === undefined) throw new ConfigurationError(`${publicKey} is not a peer of this device`);
  return number;
}

function engineTargets(route: RouteConfiguration, numbers: PeerNumbers): (number | 'local')[] {
  return route.targets.map((target) => (target === 'local' ? target : numberOf(numbers, target)));
}

/** A peer as passed to the engine. */
export function enginePeer(
  peer: PeerConfiguration,
  id: number,
  mtu: number,
  withEndpoint: boolean,
): EnginePeer {
  return {
    id,
    mtu,
    ...(withEndpoint && peer.endpoint !== undefined ? { endpoint: peer.endpoint } : {}),
    ...(peer.translation === undefined ? {} : { translation: peer.translation }),
    ...(peer.admission === undefined ? {} : { admission: peer.admission }),
  };
}

/** Whether both are the same peer for the engine, which knows neither keys nor keepalive. */
function samePeer(left: PeerConfiguration, right: PeerConfiguration): boolean {
  return (
    left.mtu === right.mtu &&
    JSON.stringify(left.translation) === JSON.stringify(right.translation) &&
    JSON.stringify(left.admission) === JSON.stringify(right.admission)
  );
}

function sameList(left: readonly string[] | undefined, right: readonly string[] | undefined): boolean {
  if (left === undefined || right === undefined) return left === right;
  return left.length === right.length && left.every((item, index) => item === right[index]);
}
