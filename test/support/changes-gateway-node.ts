/** Changes of the node that holds a cluster's tunnel endpoint. */
import * as assert from 'uvu/assert';
import { endpointLease } from '../../shared/names.ts';
import type { BedCluster, BedNode } from '../testbed/index.ts';
import { listed } from './api-objects.ts';
import { own, pathVerified, type Change } from './change.ts';
import { namespace } from './installation.ts';
import type { Pair } from './peered.ts';
import { eventually } from './workload.ts';

/** Moves the tunnel endpoint to the cluster's other node. */
export const gatewayNode: Change = {
  name: 'gateway node',
  sides: ['consumer', 'provider'],
  apply: async (pair, side) => {
    const cluster = own(pair, side);
    const holder = (await listed(cluster, 'fabricnodes')).find(
      ({ spec }) => spec.tunnelEndpoint !== undefined,
    );
    const next = cluster.nodes.find(({ name }) => name !== holder?.metadata.name)?.name ?? '';
    await cluster.kubectl(['label', 'node', next, 'hawser.dev/gateway=true', '--overwrite']);
    await cluster.kubectl(['label', 'node', holder?.metadata.name ?? '', 'hawser.dev/gateway-']);
    return async () =>
      (await listed(cluster, 'fabricnodes')).some(
        ({ metadata, status }) => metadata.name === next && status?.heldTunnelEndpoint !== undefined,
      );
  },
};

const endpointHolder = async (cluster: BedCluster): Promise<string | undefined> =>
  (await listed(cluster, 'fabricnodes')).find(
    ({ spec, status }) =>
      spec.tunnelEndpoint !== undefined && status?.heldTunnelEndpoint === spec.tunnelEndpoint,
  )?.metadata.name;

/** When this node last renewed the tunnel endpoint's Lease; empty if it has not, or if another node holds the Lease. */
async function endpointRenewal(cluster: BedCluster, name: string): Promise<string> {
  const fields = '{.spec.holderIdentity} {.spec.renewTime}';
  const text = await cluster.kubectl([
    'get',
    'lease',
    '-n',
    namespace,
    endpointLease('0'),
    '-o',
    `jsonpath=${fields}`,
  ]);
  const [holder, renewTime = ''] = text.split(' ');
  return holder === name ? renewTime : '';
}

/** The node that fails, and the node that takes over. */
function pairOfNodes(cluster: BedCluster): { lost: BedNode; left: BedNode } {
  const [lost, left] = cluster.nodes;
  if (lost === undefined || left === undefined) throw new Error(`${cluster.name} has no two nodes`);
  return { lost, left };
}

const kubeletOf = (cluster: BedCluster, node: BedNode) => `${cluster.name}.${node.name}.kubelet`;
const silence = `table inet cut-off {
  chain input { type filter hook input priority -500; iifname != "lo" drop; }
  chain output { type filter hook output priority -500; oifname != "lo" drop; }
  chain forward { type filter hook forward priority -500; drop; }
}`;

/** Restores the node, whether it was cut off or not. */
async function comeBack(pair: Pair, cluster: BedCluster): Promise<void> {
  const { lost } = pairOfNodes(cluster);
  await lost.exec(['nft', '-f', '-'], {
    input: 'table inet cut-off {}\ndelete table inet cut-off\n',
  });
  await pair.bed.kill(kubeletOf(cluster, lost), 'SIGCONT');
}

/**
 * Disconnects the node that holds the tunnel endpoint from the network while its processes continue, as when a switch fails;
 * its kubelet is paused. Another node has the label too.
 */
export const gatewayNodeCutOff: Change = {
  name: 'gateway node cut off',
  sides: ['consumer', 'provider'],
  prepare: async (pair, side) => {
    const cluster = own(pair, side);
    const { lost, left } = pairOfNodes(cluster);
    await comeBack(pair, cluster);
    await cluster.kubectl(['label', 'node', lost.name, 'hawser.dev/gateway=true', '--overwrite']);
    await cluster.kubectl(['label', 'node', left.name, 'hawser.dev/gateway-']);
    // A node that is not Ready yet, or has not renewed since an outage, would lose the tunnel endpoint as soon as the other is
    // labelled.
    await cluster.kubectl(['wait', `node/${lost.name}`, '--for=condition=Ready', '--timeout=90s'], {
      timeoutMilliseconds: 100_000,
    });
    const renewals = new Set<string>();
    await eventually(`${lost.name} to hold the tunnel endpoint, and to renew it`, 60, async () => {
      const renewed = await endpointRenewal(cluster, lost.name);
      if (renewed !== '') renewals.add(renewed);
      return renewals.size > 2 && (await endpointHolder(cluster)) === lost.name;
    });
    await cluster.kubectl(['label', 'node', left.name, 'hawser.dev/gateway=true']);
    await eventually('the path by it', 60, () => pathVerified(cluster));
  },
  apply: async (pair, side) => {
    const cluster = own(pair, side);
    const { lost, left } = pairOfNodes(cluster);
    assert.is(await endpointHolder(cluster), lost.name, 'the node that is cut off holds the tunnel endpoint');
    await pair.bed.kill(kubeletOf(cluster, lost), 'SIGSTOP');
    await lost.exec(['nft', '-f', '-'], { input: silence });
    return async () => (await endpointHolder(cluster)) === left.name && (await pathVerified(cluster));
  },
};

/** Restores the node with its former state; another node holds the tunnel endpoint meanwhile. */
export const gatewayNodeBack: Change = {
  name: 'gateway node back with old state',
  sides: ['consumer', 'provider'],
  together: true,
  apply: async (pair, side) => {
    const cluster = own(pair, side);
    const { left } = pairOfNodes(cluster);
    await comeBack(pair, cluster);
    return async () => {
      const nodes = await listed(cluster, 'fabricnodes');
      const holding = nodes.filter(({ status }) => status?.heldTunnelEndpoint !== undefined);
      return holding.length === 1 && holding[0]?.metadata.name === left.name && (await pathVerified(cluster));
    };
  },
};
