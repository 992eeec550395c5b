/** Changes of the network path between the two clusters, which no network document declares. */
import type { Fault } from '../testbed/faults.ts';
import { listed, only } from './api-objects.ts';
import { negotiated, own, pathVerified, type Change, type Side } from './change.ts';
import type { Pair } from './peered.ts';

/** Overhead of a tunnelled packet: IP, UDP, WireGuard, and room for IPv6 outside. */
const tunnelOverhead = 80;
/** More than all buffers on the path hold, so that packets of the path's full size must arrive. */
const muchData = 300_000;

/** The restriction of a testbed's path at present. */
const inForce = new WeakMap<Pair, { bytes: number; silent: boolean; fault: Promise<Fault> }>();

/** Limits the MTU of the path in both directions; both sides ask for it, and it is applied once. */
async function narrow(pair: Pair, bytes: number, silent: boolean): Promise<void> {
  const present = inForce.get(pair);
  if (present?.bytes !== bytes || present.silent !== silent) {
    const fault = (async () => {
      await widen(present);
      return pair.bed.faults.mtu(bytes, { silent });
    })();
    inForce.set(pair, { bytes, silent, fault });
  }
  await inForce.get(pair)?.fault;
}

const widen = async (present: { fault: Promise<Fault> } | undefined) => (await present?.fault)?.remove();

/** The path MTU measured by the node that holds the tunnel endpoint; undefined: not measured yet. */
async function measured(pair: Pair, side: Side): Promise<number | undefined> {
  const nodes = await listed(own(pair, side), 'fabricnodes');
  return nodes.find(({ status }) => status?.heldTunnelEndpoint !== undefined)?.status?.sessions?.[0]?.pathMTU;
}

const narrowed = (name: string, bytes: number, silent: boolean): Change => ({
  name,
  sides: ['consumer', 'provider'],
  together: true,
  apply: async (pair, side, traffic) => {
    await narrow(pair, bytes, silent);
    return async () =>
      ((await measured(pair, side)) ?? Infinity) <= bytes - tunnelOverhead / 2 &&
      (await pathVerified(own(pair, side))) &&
      (side === 'provider' || (await traffic.carries(muchData)));
  },
});

/** A size that was too big is only probed again from time to time, so a larger path MTU is found with a delay. */
const wideAgain: Change = {
  name: 'path as wide as before',
  sides: ['consumer', 'provider'],
  together: true,
  apply: async (pair, side, traffic) => {
    const present = inForce.get(pair);
    await widen(present);
    return async () => {
      const { spec } = await only(own(pair, side), 'tunnels');
      return (
        ((await measured(pair, side)) ?? 0) >= spec.mtu - 8 &&
        (await negotiated(pair.consumer)) &&
        (side === 'provider' || (await traffic.carries(muchData)))
      );
    };
  },
};

export const pathChanges: readonly Change[] = [
  narrowed('MTU of the path, told by packet-too-big', 1400, false),
  narrowed('MTU black hole', 1372, true),
  wideAgain,
];
