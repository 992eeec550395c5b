/** Explanations of the checks of this cluster alone. */
import type { CheckText } from './catalog.ts';

const controllerLogs = 'kubectl logs -n hawser-system deployment/hawser-controller';

export const clusterChecks = {
  ranges: {
    group: 'This cluster',
    means:
      'The controller has not determined the pod and Service ranges of this cluster, or what it detected contradicts `LocalCluster.spec`.',
    matters: 'Without its ranges this cluster cannot declare them, and no remote can reach its pods.',
    steps: [
      'Read the conditions: `kubectl describe localcluster self`.',
      'Set the ranges: `kubectl edit localcluster self` (`spec.podCIDRs`, `spec.serviceCIDRs`).',
      `If there are no conditions, the controller does not run: \`${controllerLogs}\`.`,
    ],
  },
  'remap-pool': {
    group: 'This cluster',
    means:
      'The first pool for remapped ranges, 100.64.0.0/10 by default, has no free range left, and ranges of remotes are remapped into private ranges.',
    matters:
      'A private range may belong to a network behind the default route, which pods and nodes then no longer reach.',
    steps: [
      'Check that no network of yours uses the ranges in the message; add those that are in use to `spec.reservedCIDRs`: `kubectl edit localcluster self`.',
      'Set `spec.remapPools` to ranges that are free.',
    ],
  },
  'reserved-ranges': {
    group: 'This cluster',
    means:
      'A range in `LocalCluster.spec.reservedCIDRs` overlaps a range of this cluster or a remapped range.',
    matters:
      'Reserved ranges belong to other systems, such as a data center or a VPN. Where ranges overlap, packets for one of them reach the other.',
    steps: [
      'Own ranges: correct `spec.reservedCIDRs`, or move the external CIDR (`spec.externalCIDR`): `kubectl edit localcluster self`.',
      'Remapped ranges: the controller uses another range for new pods and drains the old one; see `hawser status REMOTE`. If it waits for approval: `hawser remap approve REMOTE`.',
    ],
  },
  workloads: {
    group: 'This cluster',
    means: 'A Deployment or the DaemonSet of Hawser has fewer ready pods than it should have.',
    matters:
      'The controller reconciles peerings, the API gateway answers peers, and the node daemons program the data path. Without ready pods that does not happen.',
    steps: [
      'Find the reason: `kubectl get pods -n hawser-system`, then `kubectl describe pod` and `kubectl logs` of the pod that is not ready.',
    ],
  },
  rights: {
    group: 'This cluster',
    means: 'A service account of Hawser lacks an RBAC permission that the chart grants.',
    matters: 'The API server refuses its requests, and the objects that it manages are no longer updated.',
    steps: [
      'Restore the roles: `helm upgrade hawser deploy/chart -n hawser-system --reuse-values`.',
      'If the check was skipped, your user may not create subjectaccessreviews; run it as an administrator.',
    ],
  },
  'network-policies': {
    group: 'This cluster',
    means:
      'The CNI of this cluster does not enforce NetworkPolicies, or policies of an offloaded namespace do not apply to all of its pods.',
    matters:
      'At a provider, pods of consumers may reach other pods, and those may reach them. At a consumer, connections that its policies forbid are possible.',
    steps: [
      'At a provider: use a CNI that enforces NetworkPolicies. The condition `NetworkPoliciesEnforced` shows the result: `kubectl describe localcluster self`.',
      'At a consumer: the condition `NetworkPoliciesHold` names the policies: `kubectl describe namespaceoffloading -n NAMESPACE`. Keep pods that must stay isolated local: `hawser offload namespace NAMESPACE --placement Local`.',
    ],
  },
  versions: {
    group: 'This cluster',
    means: 'This command, the controller and the node daemons do not all have the same version.',
    matters: 'During a rollout, or with an old command, one part may not understand what another one writes.',
    steps: [
      'Wait for the rollout: `kubectl rollout status daemonset/hawser-node -n hawser-system`.',
      'Use the command of the installed version: `hawser version` shows both.',
    ],
  },
  'gateway-node': {
    group: 'This cluster',
    means: 'No node is labelled as gateway node, or a labelled node is not Ready.',
    matters: 'Tunnels end on gateway nodes. Without one, no packet enters or leaves this cluster.',
    steps: [
      'Label a node: `kubectl label node NODE hawser.dev/gateway=true`. Two labelled nodes allow failover.',
      'Repair the node that is not Ready: `kubectl describe node NODE`.',
    ],
  },
  node: {
    group: 'This cluster',
    means:
      'The node daemon has not programmed the kernel of its node: routes, nftables rules, tunnel device.',
    matters: 'Pods on this node cannot reach any remote.',
    steps: [
      'Read the log of the node daemon: `kubectl logs -n hawser-system -l app.kubernetes.io/component=node --field-selector spec.nodeName=NODE`.',
      'Check that the node has `/dev/net/tun` and nftables.',
    ],
  },
  hosts: {
    group: 'This cluster',
    means:
      'Summary of the node checks: no kernel parameter or firewall rule of other software blocks Hawser’s packets.',
    matters:
      'Problems are reported by the checks `reverse-path-filter`, `foreign-masquerade`, `foreign-drop`, `forwarding` and `refused-routes`.',
    steps: ['Nothing to do.'],
  },
  'reverse-path-filter': {
    group: 'This cluster',
    means: 'Strict reverse path filtering is active on a device that Hawser uses.',
    matters: 'The kernel drops packets without counting them.',
    steps: [
      'Set it to loose: `sysctl -w net.ipv4.conf.DEVICE.rp_filter=2` on the node, and make it permanent.',
    ],
  },
  'foreign-masquerade': {
    group: 'This cluster',
    means: 'A rule of other software, often the CNI or a firewall, masquerades packets to remote clusters.',
    matters: 'The remote admits only packets from pod addresses, and drops these.',
    steps: [
      'Exclude the tunnel device and the remapped ranges from the rule; the message names the chain: `nft -a list chain …`.',
      'Many CNIs have an option for it, such as `ipMasqAgent` or `nonMasqueradeCIDRs`.',
    ],
  },
  'foreign-drop': {
    group: 'This cluster',
    means: 'A rule of other software drops packets to or from remote clusters.',
    matters: 'Packets that arrive through the tunnel, or are sent into it, are dropped on this node.',
    steps: [
      'Accept the tunnel device and the remapped ranges in that chain; the message names it: `nft -a list chain …`.',
    ],
  },
  'refused-routes': {
    group: 'This cluster',
    means:
      'A node daemon refuses a route to a remote, since it would cover addresses that the node itself needs: the API server, a resolver, its own addresses, or a network to which it has a route.',
    matters: 'The route would cut the node off. Pods on this node do not reach the remote at this range.',
    steps: [
      'Have the range reassigned: `hawser remap approve REMOTE`.',
      'If it is used without remapping, remove it from `LocalCluster.spec.acceptedRemoteCIDRs`.',
    ],
  },
  forwarding: {
    group: 'This cluster',
    means: 'IP forwarding is disabled on a node.',
    matters: 'The node does not forward packets between pods and the tunnel.',
    steps: [
      'Enable it: `sysctl -w net.ipv4.ip_forward=1` (IPv6: `net.ipv6.conf.all.forwarding=1`), and make it permanent.',
    ],
  },
  host: {
    group: 'This cluster',
    means: 'A node daemon reports a problem of its node that this version of the command does not know.',
    matters: 'The message of the node daemon describes the effect.',
    steps: ['Use the command of the installed version: `hawser version` shows both.'],
  },
} as const satisfies Record<string, CheckText>;
