/** Changes of network documents: tunnel endpoints, keys and ranges. */
import type { BedCluster } from '../testbed/index.ts';
import { listed, only, patch, patchLocal } from './api-objects.ts';
import { other, own, pathVerified, type Change } from './change.ts';
import { hawser, namespace } from './installation.ts';
import { moveTunnelService, endpointService } from './tunnel-service.ts';
import { eventually } from './workload.ts';

const endpointSecret = 'hawser-tunnel-endpoint-0';
const patchService = (cluster: BedCluster, change: object, ...more: string[]) =>
  patch(cluster, 'service', endpointService, change, '-n', namespace, ...more);

/** The endpoint's port. `tunnelPort` grows with each play, so that every play uses another port. */
let tunnelPort = 7480;
export const endpointPort: Change = {
  name: 'tunnel endpoint port',
  sides: ['consumer', 'provider'],
  apply: async (pair, side) => {
    const port = tunnelPort++;
    await patchService(own(pair, side), {
      spec: { ports: [{ name: 'tunnel', port, targetPort: 7470, protocol: 'UDP' }] },
    });
    return async () => {
      const [tunnelEndpoint] = (await only(other(pair, side), 'tunnels')).spec.remoteTunnelEndpoints;
      return (
        (tunnelEndpoint?.addresses[0]?.endsWith(`:${port}`) ?? false) &&
        (await pathVerified(other(pair, side)))
      );
    };
  },
};

export const loadBalancerAddress: Change = {
  name: 'load balancer address',
  sides: ['consumer', 'provider'],
  apply: async (pair, side) => {
    const ip = await moveTunnelService(pair.bed, own(pair, side));
    return async () => {
      const [tunnelEndpoint] = (await only(other(pair, side), 'tunnels')).spec.remoteTunnelEndpoints;
      return (
        (tunnelEndpoint?.addresses[0]?.startsWith(`${ip}:`) ?? false) &&
        (await pathVerified(other(pair, side)))
      );
    };
  },
};

export const tunnelKey: Change = {
  name: 'tunnel key',
  sides: ['consumer', 'provider'],
  apply: async (pair, side) => {
    const before = (await only(other(pair, side), 'tunnels')).spec.remoteTunnelEndpoints[0]?.publicKey;
    await own(pair, side).kubectl(['delete', 'secret', '-n', namespace, endpointSecret]);
    return async () => {
      const [tunnelEndpoint] = (await only(other(pair, side), 'tunnels')).spec.remoteTunnelEndpoints;
      const [held] = (await listed(own(pair, side), 'fabricnodes')).filter(
        (node) => node.status?.heldTunnelEndpoint,
      );
      return tunnelEndpoint?.publicKey !== before && tunnelEndpoint?.publicKey === held?.status?.publicKey;
    };
  },
};

let mtu = 1440;
/** An MTU declared by an administrator; `mtu` differs from play to play, as `podRange` does. */
export const declaredMTU: Change = {
  name: 'declared MTU',
  sides: ['consumer', 'provider'],
  apply: async (pair, side) => {
    const declared = (mtu -= 10);
    await patchLocal(own(pair, side), { mtu: declared });
    return async () => (await only(other(pair, side), 'tunnels')).spec.mtu <= declared - 80;
  },
};

let podRange = 70;
export const secondPodRange: Change = {
  name: 'second pod range',
  sides: ['consumer', 'provider'],
  apply: async (pair, side) => {
    const cluster = own(pair, side);
    // Small, so that the ranges of all plays together stay below a remote's share.
    const range = `10.${podRange++}.0.0/20`;
    await patchLocal(cluster, { podCIDRs: [cluster.podCIDR, range] });
    return async () => {
      const { remaps } = (await only(other(pair, side), 'tunnels')).spec;
      const known = (await only(cluster, 'tunnels')).spec.remoteRemaps;
      return [remaps, known].every((list) => list.some(({ real }) => real === range));
    };
  },
};

/** Reserves the range by which the other cluster is known: with approval the remap moves and the old one drains. */
export const collidingRange: Change = {
  name: 'a local range that meets a remap in use',
  sides: ['consumer'],
  apply: async (pair, side) => {
    const cluster = own(pair, side);
    const { metadata, spec } = await only(cluster, 'tunnels');
    const real = other(pair, side).podCIDR;
    const mapped = spec.remaps.find((remap) => remap.real === real && remap.state === 'InUse')?.mapped ?? '';
    await patchLocal(cluster, { reservedCIDRs: [mapped] });
    await eventually('the collision to be told', 60, async () => {
      const { status } = await only(cluster, 'tunnels');
      const told = status?.conditions?.find(({ type }) => type === 'RemapsFree');
      return told?.status === 'False' && told.message.includes(mapped);
    });
    const unmoved = (await only(cluster, 'tunnels')).spec.remaps.find((remap) => remap.mapped === mapped);
    if (unmoved?.state !== 'InUse') throw new Error(`${mapped} moved without approval`);
    await hawser(cluster, ['remap', 'approve', metadata.name]);
    return async () => {
      const { remaps } = (await only(cluster, 'tunnels')).spec;
      const known = (await only(other(pair, side), 'tunnels')).spec.remoteRemaps;
      const next = remaps.find((remap) => remap.real === real && remap.state === 'InUse');
      // The echo server keeps its address, so the old range drains as long as the server lives.
      const drains = remaps.some((remap) => remap.mapped === mapped && remap.state === 'Draining');
      return (
        drains &&
        next !== undefined &&
        next.mapped !== mapped &&
        known.some((remap) => remap.real === real && remap.mapped === next.mapped)
      );
    };
  },
};

/** The old range is removed on both sides with the last pod that is known by an address of it. */
export const drainedRange: Change = {
  name: 'the remap that drains, after its last pod',
  sides: ['consumer'],
  apply: async (pair, side, traffic) => {
    // A remap that the remote no longer declares stays, since it may return; a replaced one is removed.
    const draining = async () => {
      const { remaps } = (await only(own(pair, side), 'tunnels')).spec;
      const inUse = remaps.filter(({ state }) => state === 'InUse').map(({ real }) => real);
      return remaps.filter(({ real, state }) => state === 'Draining' && inUse.includes(real));
    };
    const before = await draining();
    if (before.length === 0) throw new Error('no range drains');
    await traffic.replaceServer();
    return async () => {
      const known = (await only(other(pair, side), 'tunnels')).spec.remoteRemaps;
      const gone = before.every(({ mapped }) => known.every((remap) => remap.mapped !== mapped));
      return gone && (await draining()).length === 0;
    };
  },
};
