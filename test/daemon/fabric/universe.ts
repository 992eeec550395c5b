import { createHash } from 'node:crypto';
import { planNode, type NodePlan } from '../../../daemon/fabric/plan/node-plan.ts';
import type { PlanInput, InputNode, InputPod, InputTunnel } from '../../../daemon/fabric/plan/input.ts';
import { mappingRevision, type UsableMapping } from '../../../daemon/fabric/address-mappings.ts';
import { parseMappings, toMapped } from '../../../shared/net/address-mapping.ts';
import { parseHost, parseRange, readHosts, readRanges } from '../../../shared/net/cidr.ts';
import { allocateMappedAddresses } from '../../../shared/net/external-cidr.ts';
import { defaultRemapPools, planRemaps, uniqueLocalPool, type Remap } from '../../../shared/net/remapping.ts';
import { EngineModel, type ModelDevice } from './engine-model.ts';

/** Several clusters that peer, described once; each one's nodes are planned from what they would know. */
export interface UniverseCluster {
  id: string;
  podCIDRs: string[];
  serviceCIDRs?: string[];
  externalCIDR: string;
  nodes: { name: string; tunnelEndpoint?: string }[];
  /** Own pods, and pods that run here for other clusters (`consumer`). */
  pods: { name: string; node: string; addresses: string[]; consumer?: string }[];
  /** Addresses of its own pods that are Hawser's controller. */
  controllers?: string[];
}

export interface UniversePeering {
  consumer: string;
  provider: string;
  inBand?: boolean;
}

export interface Universe {
  clusters: UniverseCluster[];
  peerings: UniversePeering[];
  open?: boolean;
  /** Address mappings of a cluster in place of the planned ones. */
  mappings?: ReadonlyMap<string, UsableMapping[]>;
}

export interface PlannedCluster {
  description: UniverseCluster;
  plans: Map<string, NodePlan>;
  inputs: Map<string, PlanInput>;
  remaps: Map<string, Remap[]>;
  /** Its address mappings, planned from its pods. */
  mappings: UsableMapping[];
}

/** A well-formed public key that is derived from its owner's name. */
export const keyOf = (name: string): string => createHash('sha256').update(name).digest('base64');

const endpointKey = (cluster: string, tunnelEndpoint: string) =>
  keyOf(`${cluster} tunnel endpoint ${tunnelEndpoint}`);

export function planUniverse(universe: Universe): {
  clusters: Map<string, PlannedCluster>;
  model: EngineModel;
} {
  const neighbours = (id: string) =>
    universe.clusters.filter(({ id: other }) =>
      universe.peerings.some(
        ({ consumer, provider }) =>
          (consumer === id && provider === other) || (consumer === other && provider === id),
      ),
    );
  const remapsOf = new Map<string, Map<string, Remap[]>>();
  for (const cluster of universe.clusters) {
    const chosen = new Map<string, Remap[]>();
    for (const remote of neighbours(cluster.id)) {
      const { remaps } = planRemaps({
        declared: readRanges([...remote.podCIDRs, remote.externalCIDR]),
        stored: [],
        ownRanges: readRanges([...cluster.podCIDRs, ...(cluster.serviceCIDRs ?? []), cluster.externalCIDR]),
        otherRanges: readRanges([...chosen.values()].flat().map(({ mapped }) => mapped)),
        pools: readRanges([...defaultRemapPools, uniqueLocalPool(cluster.id)]),
      });
      chosen.set(remote.id, remaps);
    }
    remapsOf.set(cluster.id, chosen);
  }

  const clusters = new Map<string, PlannedCluster>();
  const devices: ModelDevice[] = [];
  universe.clusters.forEach((cluster, clusterIndex) => {
    const remaps = remapsOf.get(cluster.id) ?? new Map<string, Remap[]>();
    const nodes = cluster.nodes.map(({ name, tunnelEndpoint }, index): InputNode => {
      const address = `192.0.${clusterIndex}.${index + 1}`;
      return {
        name,
        address: parseHost(address),
        endpoint: `${address}:7470`,
        publicKey:
          tunnelEndpoint === undefined
            ? keyOf(`${cluster.id} ${name}`)
            : endpointKey(cluster.id, tunnelEndpoint),
        externalAddress: parseHost(cluster.externalCIDR.replace(/\.0\/[0-9]+$/, `.${16 + index}`)),
        ...(tunnelEndpoint !== undefined && { tunnelEndpoint }),
      };
    });
    const ownPods = cluster.pods.map(({ name, node, addresses, consumer }): InputPod => ({
      namespace: consumer === undefined ? 'own' : `twin-${consumer}`,
      name,
      node,
      addresses: readHosts(addresses),
    }));
    // Pods that run elsewhere for this cluster have addresses as this cluster knows them.
    const offloaded = universe.clusters.flatMap((remote) =>
      remote.pods
        .filter(({ consumer }) => consumer === cluster.id)
        .map(({ name, addresses }): InputPod => ({
          namespace: 'own',
          name,
          node: `virtual-${remote.id}`,
          addresses: readHosts(
            addresses.flatMap((address) => toMapped(remaps.get(remote.id) ?? [], address) ?? []),
          ),
        })),
    );
    const tunnels = neighbours(cluster.id).map((remote): InputTunnel => {
      const remoteIndex = universe.clusters.indexOf(remote);
      return {
        remoteCluster: remote.id,
        consumer: universe.peerings.some(
          (each) => each.consumer === cluster.id && each.provider === remote.id,
        ),
        provider: universe.peerings.some(
          (each) => each.provider === cluster.id && each.consumer === remote.id,
        ),
        open: universe.open ?? false,
        dialsInBand: universe.peerings.some(
          (each) => each.consumer === cluster.id && each.provider === remote.id && each.inBand === true,
        ),
        servesInBand: universe.peerings.some(
          (each) => each.provider === cluster.id && each.consumer === remote.id && each.inBand === true,
        ),
        remotePodCIDRs: readRanges(remote.podCIDRs),
        remoteExternalCIDR: parseRange(remote.externalCIDR),
        tunnelEndpoints: remote.nodes.flatMap(({ tunnelEndpoint }, index) =>
          tunnelEndpoint === undefined
            ? []
            : [
                {
                  name: tunnelEndpoint,
                  publicKey: endpointKey(remote.id, tunnelEndpoint),
                  endpoint: `192.0.${remoteIndex}.${index + 1}:7470`,
                },
              ],
        ),
        remaps: (remaps.get(remote.id) ?? []).map(({ real, mapped, state }) => ({
          real: parseRange(real),
          mapped: parseRange(mapped),
          state,
        })),
        remoteRemaps: parseMappings(remapsOf.get(remote.id)?.get(cluster.id) ?? []),
        mtu: 1420,
        presharedKey: new Uint8Array(32).fill(7),
      };
    });
    const mappings = planMappings(cluster, universe, remaps);
    const planned: PlannedCluster = {
      description: cluster,
      plans: new Map(),
      inputs: new Map(),
      remaps,
      mappings,
    };
    const used = universe.mappings?.get(cluster.id) ?? mappings;
    for (const node of nodes) {
      const input: PlanInput = {
        node: { ...node, underlayMTU: 1500 },
        cluster: {
          podCIDRs: readRanges(cluster.podCIDRs),
          serviceCIDRs: readRanges(cluster.serviceCIDRs ?? []),
          nodeCIDRs: [],
          externalCIDR: parseRange(cluster.externalCIDR),
        },
        nodes: nodes.filter(({ name }) => name !== node.name),
        tunnels,
        pods: [...ownPods, ...offloaded],
        controllers: readHosts(cluster.controllers ?? []),
        twins: new Map(universe.clusters.map(({ id }) => [`twin-${id}`, id])),
        tenants: new Map(universe.clusters.map(({ id }) => [`twin-${id}`, id])),
        tenantPods: ownPods.filter(({ namespace }) => namespace !== 'own'),
        resolvers: [],
        virtualNodes: new Map(universe.clusters.map(({ id }) => [`virtual-${id}`, id])),
        addressMappings: used.map(({ address, target, remoteClusters }) => ({
          address: parseHost(address),
          target: parseHost(target),
          remoteClusters,
        })),
        mappingRevision: mappingRevision(used),
        unreadable: [],
      };
      const plan = planNode(input);
      planned.plans.set(node.name, plan);
      planned.inputs.set(node.name, input);
      devices.push({ name: `${cluster.id}/${node.name}`, publicKey: node.publicKey ?? '', plan });
    }
    clusters.set(cluster.id, planned);
  });
  return { clusters, model: new EngineModel(devices) };
}

/** Every own pod that runs at one provider has a mapped address for all others. */
function planMappings(
  cluster: UniverseCluster,
  universe: Universe,
  remaps: ReadonlyMap<string, Remap[]>,
): UsableMapping[] {
  const providers = universe.peerings
    .filter(({ consumer }) => consumer === cluster.id)
    .map(({ provider }) => provider);
  const targets = universe.clusters.flatMap((remote) =>
    remote.pods
      .filter(({ consumer }) => consumer === cluster.id && providers.includes(remote.id))
      .flatMap(({ addresses }) => toMapped(remaps.get(remote.id) ?? [], addresses[0] ?? '') ?? [])
      .map((target) => ({ target, remoteClusters: providers.filter((id) => id !== remote.id) })),
  );
  const addresses = allocateMappedAddresses(
    cluster.externalCIDR,
    targets.map(({ target }) => target),
    new Map(),
  );
  return targets.flatMap(({ target, remoteClusters }) => {
    const address = addresses.get(target);
    return address === undefined || remoteClusters.length === 0 ? [] : [{ address, target, remoteClusters }];
  });
}
