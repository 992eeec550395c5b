/** The links, addresses, routes and rules of a testbed, as one shell script. Pure. */
import { apiServerPort } from './plan.ts';
import type { BedPlan, ClusterPlan } from './plan.ts';

/** Pods and nodes of the testbed have Ethernet's usual MTU. */
const ordinaryMtu = 1500;

/** The script that creates the whole network. It requires a clean state, and stops at the first error. */
export function networkScript(bed: BedPlan): string {
  const wan = bed.wideAreaNetns;
  const length = bed.wideAreaCIDR.split('/')[1];
  return [
    'set -e',
    ...newNamespace(wan),
    `ip -n ${wan} link add wan type bridge`,
    `ip -n ${wan} link set wan up`,
    `ip link add ${bed.hostLink} type veth peer name host netns ${wan}`,
    `ip addr add ${bed.hostAddress}/${length} dev ${bed.hostLink}`,
    `ip link set ${bed.hostLink} up`,
    `ip -n ${wan} link set host master wan up`,
    // The testbed's rules match frames in the bridge itself; IP hooks must not see them a second time.
    sysctl(wan, 'net.bridge.bridge-nf-call-iptables', '0'),
    ...bed.clusters.flatMap((cluster) => clusterScript(bed, cluster)),
    '',
  ].join('\n');
}

function newNamespace(name: string): string[] {
  return [`ip netns add ${name}`, `ip -n ${name} link set lo up`];
}

function sysctl(netns: string, key: string, value: string): string {
  const path = `/proc/sys/${key.replaceAll('.', '/')}`;
  return `nsenter --net=/run/netns/${netns} sh -c 'echo ${value} > ${path}'`;
}

function nft(netns: string, rules: string): string {
  return `nsenter --net=/run/netns/${netns} nft -f - <<'RULES'\n${rules}RULES`;
}

function clusterScript(bed: BedPlan, cluster: ClusterPlan): string[] {
  const edge = cluster.edgeNetns;
  const controlPlane = cluster.controlPlaneNetns;
  const length = bed.wideAreaCIDR.split('/')[1];
  return [
    ...newNamespace(edge),
    `ip link add wan netns ${edge} mtu ${ordinaryMtu} type veth peer name ${cluster.wideAreaPort} netns ${bed.wideAreaNetns}`,
    `ip -n ${bed.wideAreaNetns} link set ${cluster.wideAreaPort} master wan up`,
    `ip -n ${edge} addr add ${cluster.wideAreaAddress}/${length} dev wan`,
    `ip -n ${edge} link set wan up`,
    `ip -n ${edge} link add lan type bridge`,
    `ip -n ${edge} addr add ${cluster.edgeAddress}/24 dev lan`,
    `ip -n ${edge} link set lan up`,
    sysctl(edge, 'net.ipv4.ip_forward', '1'),
    sysctl(edge, 'net.bridge.bridge-nf-call-iptables', '0'),
    nft(edge, edgeRules(cluster)),
    ...newNamespace(controlPlane),
    ...lanLeg(cluster, controlPlane, 'control-plane', cluster.controlPlaneAddress),
    ...cluster.nodes.map((node) => podRoute(controlPlane, node.podCIDR, node.address)),
    ...cluster.nodes.flatMap((node) => [
      ...newNamespace(node.netns),
      ...lanLeg(cluster, node.netns, node.edgePort, node.address),
      sysctl(node.netns, 'net.ipv4.ip_forward', '1'),
      sysctl(node.netns, 'net.bridge.bridge-nf-call-iptables', '1'),
      ...cluster.nodes
        .filter((other) => other !== node)
        .map((other) => podRoute(node.netns, other.podCIDR, other.address)),
      nft(node.netns, nodeRules(cluster)),
    ]),
  ];
}

function lanLeg(cluster: ClusterPlan, netns: string, port: string, address: string): string[] {
  const edge = cluster.edgeNetns;
  return [
    `ip link add eth0 netns ${netns} mtu ${ordinaryMtu} type veth peer name ${port} netns ${edge}`,
    `ip -n ${edge} link set ${port} master lan up`,
    `ip -n ${netns} addr add ${address}/24 dev eth0`,
    `ip -n ${netns} link set eth0 up`,
    `ip -n ${netns} route add default via ${cluster.edgeAddress}`,
  ];
}

function podRoute(netns: string, podCIDR: string, via: string): string {
  return `ip -n ${netns} route add ${podCIDR} via ${via}`;
}

/**
 * The edge stands for a cloud's border of a cluster: the API server has a public address, and traffic from the cluster leaves
 * with the cluster's address.
 */
export function edgeRules(cluster: ClusterPlan): string {
  return `table ip edge {
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    ip daddr ${cluster.wideAreaAddress} tcp dport ${apiServerPort} dnat to ${cluster.controlPlaneAddress}:${apiServerPort}
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "wan" ip saddr ${cluster.nodeCIDR} snat to ${cluster.wideAreaAddress}
    # From inside to an own public address and in again: the answer must come back this way.
    oifname "lan" iifname "lan" ct status dnat masquerade
  }
}
`;
}

/** Traffic of pods that leaves the cluster has its node's address, as with most network plugins. */
export function nodeRules(cluster: ClusterPlan): string {
  return `table ip pod-masquerade {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${cluster.podCIDR} ip daddr != ${cluster.podCIDR} masquerade
  }
}
`;
}
