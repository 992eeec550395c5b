/**
 * What can change while a peering lives, each with how it is brought about and how one sees that both clusters have converged.
 * The story and the bench play the same ones, with traffic through the tunnel all the while.
 */
import { issueSelfSignedCertificate } from '../../shared/trust/self-signed-certificate.ts';
import type { BedCluster } from '../testbed/index.ts';
import { run } from '../testbed/run.ts';
import { listed, only, patch, patchLocal, secretValue } from './api-objects.ts';
import { hawser, namespace } from './installation.ts';
import type { PassingTraffic } from './passing-traffic.ts';
import type { Pair } from './peered.ts';
import { eventually } from './workload.ts';

export type Side = 'consumer' | 'provider';

export interface Change {
  name: string;
  sides: readonly Side[];
  /** Brings it about on one side; what it returns is asked until it is true. */
  apply: (pair: Pair, side: Side) => Promise<() => Promise<boolean>>;
}

export interface Outcome {
  change: string;
  sides: string;
  /** Until both clusters had converged and the tunnel passed packets. */
  seconds: number;
  packetsLost: number;
  streamLives: boolean;
}

/** TCP sends again after longer and longer pauses; one that waited through an outage waits once more before it goes on. */
const streamSeconds = 90;

const own = (pair: Pair, side: Side): BedCluster => pair[side];
const other = (pair: Pair, side: Side): BedCluster => pair[side === 'consumer' ? 'provider' : 'consumer'];
const slotService = 'hawser-tunnel-0';
const slotSecret = 'hawser-slot-0';
const patchService = (cluster: BedCluster, change: object, ...more: string[]) =>
  patch(cluster, 'service', slotService, change, '-n', namespace, ...more);

/** Plays a change at once on the given sides, with traffic passing, and measures. */
export async function play(
  pair: Pair,
  traffic: PassingTraffic,
  change: Change,
  sides: readonly Side[],
  seconds = 180,
): Promise<Outcome> {
  const begun = performance.now();
  const checks = await Promise.all(sides.map((side) => change.apply(pair, side)));
  await Promise.all(
    checks.map((check) => eventually(`${change.name} (${sides.join(' and ')})`, seconds, check)),
  );
  const agreed = performance.now();
  await traffic.passes(seconds, false);
  const { packets, milliseconds } = traffic.lost(begun, performance.now());
  return {
    change: change.name,
    sides: sides.length > 1 ? 'both' : (sides[0] ?? ''),
    seconds: Math.round(Math.max(agreed - begun, milliseconds) / 10) / 100,
    packetsLost: packets,
    streamLives: await traffic.passes(streamSeconds, true).then(
      () => true,
      () => false,
    ),
  };
}

/** Whether the tunnel of a cluster says that packets pass. */
async function pathVerified(cluster: BedCluster): Promise<boolean> {
  const { status } = await only(cluster, 'tunnels');
  return status?.conditions?.some((each) => each.type === 'PathVerified' && each.status === 'True') ?? false;
}

async function virtualNodeCapacity(consumer: BedCluster, resource: string): Promise<string | undefined> {
  const args = ['get', 'nodes', '-l', 'hawser.dev/virtual-node=true', '-o', 'json'];
  const { items } = JSON.parse(await consumer.kubectl(args)) as {
    items: { status: { allocatable: Record<string, string> } }[];
  };
  return items[0]?.status.allocatable[resource];
}

const grantTo = (what: string, cpu: string): Change => ({
  name: `grant: ${what}`,
  sides: ['provider'],
  apply: async ({ consumer, provider }) => {
    const { metadata } = await only(provider, 'incomingpeerings');
    await patch(provider, 'incomingpeering.hawser.dev', metadata.name, { spec: { grant: { cpu } } });
    return async () => (await virtualNodeCapacity(consumer, 'cpu')) === cpu;
  },
});

export const grants: readonly Change[] = [
  grantTo('more', '6'),
  grantTo('less', '3'),
  grantTo('less than what is used', '100m'),
  grantTo('as it was', '4'),
];

export const gatewayCertificate: Change = {
  name: 'gateway certificate',
  sides: ['provider'],
  apply: async ({ consumer, provider }) => {
    const { certificate, privateKey, pin } = await issueSelfSignedCertificate({
      hosts: ['gateway.example.com'],
      days: 30,
      now: Date.now(),
    });
    const base64 = (text: string) => Buffer.from(text).toString('base64');
    await patch(
      provider,
      'secret',
      'hawser-gateway-tls',
      {
        metadata: { labels: { 'app.kubernetes.io/managed-by': 'a-person' } },
        data: { 'tls.crt': base64(certificate), 'tls.key': base64(privateKey) },
      },
      '-n',
      namespace,
    );
    return async () =>
      (await only(consumer, 'remoteclusters')).spec.gatewayPin === pin && negotiated(consumer);
  },
};

async function negotiated(consumer: BedCluster): Promise<boolean> {
  const { status } = await only(consumer, 'outgoingpeerings');
  return status?.conditions?.some((each) => each.type === 'Negotiated' && each.status === 'True') ?? false;
}

/** Another address of the API server, which its certificate does not name, and another authority beside its own. */
export const apiServer: Change = {
  name: 'API server address and CA',
  sides: ['provider'],
  apply: async ({ bed, consumer, provider }) => {
    const plan = bed.plan.clusters.find(({ name }) => name === provider.name);
    if (plan === undefined) throw new Error(`the bed has no ${provider.name}`);
    const port = 7600;
    const rules = `table ip second-address {
      chain prerouting {
        type nat hook prerouting priority dstnat - 5;
        ip daddr ${plan.wideAreaAddress} tcp dport ${port} dnat to ${plan.controlPlaneAddress}:6443
      }
    }`;
    await run(['nsenter', `--net=/run/netns/${plan.edgeNetns}`, 'nft', '-f', '-'], { input: rules });
    const url = `https://${plan.wideAreaAddress}:${port}`;
    const { certificate } = await issueSelfSignedCertificate({ hosts: ['ca'], days: 30, now: Date.now() });
    const text = await provider.kubectl([
      'get',
      'configmap',
      '-n',
      namespace,
      'kube-root-ca.crt',
      '-o',
      'jsonpath={.data.ca\\.crt}',
    ]);
    const caBundle = `${certificate.trim()}\n${text.trim()}\n`;
    await patchLocal(provider, { apiServerURL: url, apiServerCABundle: caBundle });
    const secret = `hawser-identity-${(await only(consumer, 'outgoingpeerings')).metadata.name}`;
    return async () => {
      const identity = JSON.parse(await secretValue(consumer, namespace, secret, 'identity.json')) as {
        apiServerURL: string;
        caBundle: string;
      };
      const reachable = (await only(consumer, 'outgoingpeerings')).status?.conditions ?? [];
      return (
        identity.apiServerURL === url &&
        identity.caBundle.trim() === caBundle.trim() &&
        reachable.some(({ type, status }) => type === 'NodeReady' && status === 'True')
      );
    };
  },
};

/** The endpoint's port; `tunnelPort` differs from play to play, so that it is always another. */
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
      const [slot] = (await only(other(pair, side), 'tunnels')).spec.remoteSlots;
      return (slot?.endpoints[0]?.endsWith(`:${port}`) ?? false) && (await pathVerified(other(pair, side)));
    };
  },
};

export const loadBalancerAddress: Change = {
  name: 'load balancer address',
  sides: ['consumer', 'provider'],
  apply: async (pair, side) => {
    const plan = pair.bed.plan.clusters.find(({ name }) => name === own(pair, side).name);
    const text = await own(pair, side).kubectl(['get', 'services', '-A', '-o', 'json']);
    const taken = JSON.parse(text) as {
      items: { status?: { loadBalancer?: { ingress?: { ip?: string }[] } } }[];
    };
    const used = new Set(
      taken.items.flatMap(({ status }) => status?.loadBalancer?.ingress?.map(({ ip }) => ip) ?? []),
    );
    const ip = plan?.loadBalancerPool.findLast((address) => !used.has(address));
    if (ip === undefined) throw new Error('no address is free');
    const status = { loadBalancer: { ingress: [{ ip }] } };
    await patchService(own(pair, side), { status }, '--subresource=status');
    return async () => {
      const [slot] = (await only(other(pair, side), 'tunnels')).spec.remoteSlots;
      return (slot?.endpoints[0]?.startsWith(`${ip}:`) ?? false) && (await pathVerified(other(pair, side)));
    };
  },
};

export const tunnelKey: Change = {
  name: 'tunnel key',
  sides: ['consumer', 'provider'],
  apply: async (pair, side) => {
    const before = (await only(other(pair, side), 'tunnels')).spec.remoteSlots[0]?.publicKey;
    await own(pair, side).kubectl(['delete', 'secret', '-n', namespace, slotSecret]);
    return async () => {
      const [slot] = (await only(other(pair, side), 'tunnels')).spec.remoteSlots;
      const [held] = (await listed(own(pair, side), 'fabricnodes')).filter((node) => node.status?.heldSlot);
      return slot?.publicKey !== before && slot?.publicKey === held?.status?.publicKey;
    };
  },
};

/** The new tunnel key that comes after it in order proves the pre-shared key: without handshakes nothing of it would be seen. */
export const clusterKey: Change = {
  name: 'cluster key',
  sides: ['consumer', 'provider'],
  apply: async (pair, side) => {
    const before = (await only(own(pair, side), 'localclusters')).status?.publicKey;
    await hawser(own(pair, side), ['key', 'rotate']);
    return async () => {
      const key = (await only(own(pair, side), 'localclusters')).status?.publicKey;
      const known = (await only(other(pair, side), 'remoteclusters')).spec.publicKey;
      return key !== before && key === known && negotiated(pair.consumer);
    };
  },
};

let mtu = 1440;
export const pathMTU: Change = {
  name: 'MTU of the path',
  sides: ['consumer', 'provider'],
  apply: async (pair, side) => {
    const declared = (mtu -= 10);
    await patchLocal(own(pair, side), { mtu: declared });
    return async () => (await only(other(pair, side), 'tunnels')).spec.mtu <= declared - 80;
  },
};

export const secondPodRange: Change = {
  name: 'second pod range',
  sides: ['consumer', 'provider'],
  apply: async (pair, side) => {
    const cluster = own(pair, side);
    const range = side === 'consumer' ? '10.77.0.0/16' : '10.78.0.0/16';
    await patchLocal(cluster, { podCIDRs: [cluster.podCIDR, range] });
    return async () => {
      const { remaps } = (await only(other(pair, side), 'tunnels')).spec;
      const known = (await only(cluster, 'tunnels')).spec.remoteRemaps;
      return [remaps, known].every((list) => list.some(({ real }) => real === range));
    };
  },
};

/** A range that is reserved now is the one by which the other cluster is known: only with approval it moves, and drains. */
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
      // The echo server keeps its address, so the old range drains for as long as it lives.
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

/** The slot goes to the cluster's other node. */
export const gatewayNode: Change = {
  name: 'gateway node',
  sides: ['consumer', 'provider'],
  apply: async (pair, side) => {
    const cluster = own(pair, side);
    const holder = (await listed(cluster, 'fabricnodes')).find(({ spec }) => spec.slot !== undefined);
    const next = cluster.nodes.find(({ name }) => name !== holder?.metadata.name)?.name ?? '';
    await cluster.kubectl(['label', 'node', next, 'hawser.dev/gateway=true', '--overwrite']);
    await cluster.kubectl(['label', 'node', holder?.metadata.name ?? '', 'hawser.dev/gateway-']);
    return async () =>
      (await listed(cluster, 'fabricnodes')).some(
        ({ metadata, status }) => metadata.name === next && status?.heldSlot !== undefined,
      );
  },
};

/** All that are played one after another, in an order in which none undoes another. */
export const changes: readonly Change[] = [
  ...grants,
  gatewayCertificate,
  apiServer,
  endpointPort,
  loadBalancerAddress,
  clusterKey,
  tunnelKey,
  pathMTU,
  secondPodRange,
  collidingRange,
  gatewayNode,
];

/** Every side alone, and both at once where there are two. */
export function turnsOf(change: Change): (readonly Side[])[] {
  const alone = change.sides.map((side) => [side] as const);
  // A range that a side has already is no change.
  if (change === secondPodRange) return [change.sides];
  return change.sides.length > 1 ? [...alone, change.sides] : alone;
}
