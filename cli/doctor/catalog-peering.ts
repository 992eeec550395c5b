/** Explanations of the checks of peerings: control plane, tunnel, offloading. */
import type { CheckText } from './catalog.ts';

const gatewayLogs = 'kubectl logs -n hawser-system deployment/hawser-gateway';
const controllerLogs = 'kubectl logs -n hawser-system deployment/hawser-controller';

export const peeringChecks = {
  identity: {
    group: 'Control plane',
    means: 'The consumer has no valid identity at the provider.',
    matters: 'Without an identity it cannot offload pods or receive their status.',
    steps: [
      'See what the controller waits for: `hawser status PEERING`.',
      `Read its log: \`${controllerLogs}\`.`,
    ],
  },
  'identity-expired': {
    group: 'Control plane',
    means: 'The identity at the provider has expired and was not renewed.',
    matters: 'No new pods are offloaded and no status arrives. Running pods keep running.',
    steps: [
      'The controller renews it as soon as the API gateway of the provider answers; resolve the other findings first.',
    ],
  },
  token: {
    group: 'Control plane',
    means: 'The provider did not accept the peering token.',
    matters:
      'A peering token can be redeemed once and within its validity. Without a valid token there is no peering.',
    steps: [
      'At the provider, issue a new token: `hawser token create`.',
      'Here: `hawser unpeer PEERING`, then `hawser peer TOKEN`.',
    ],
  },
  'peering-ended': {
    group: 'Control plane',
    means: 'The provider has removed or revoked the peering.',
    matters: 'Nothing can be offloaded to it any more.',
    steps: [
      'Remove it here: `hawser unpeer PEERING`.',
      'To peer again, request a new token from the provider.',
    ],
  },
  'certificate-pin': {
    group: 'Control plane',
    means:
      'The server at the address of the provider’s API gateway has another key than the peering recorded.',
    matters: 'It may not be the provider, so the consumer sends nothing to it.',
    steps: [
      'If the provider replaced its certificate: `hawser token create` there, `hawser peer TOKEN` here.',
      'If not, find out which server answers at that address: a proxy that terminates TLS, or an attacker.',
    ],
  },
  provider: {
    group: 'Control plane',
    means: 'The provider’s report on the peering could not be obtained.',
    matters: 'Only this side can be checked; older reports may no longer apply.',
    steps: [
      `If the controller did not request it: \`${controllerLogs}\`.`,
      `If the provider refused it, at the provider: \`${gatewayLogs}\`.`,
      'If the provider’s version does not support reports, update Hawser there.',
    ],
  },
  'clock-skew': {
    group: 'Control plane',
    means: 'The clocks of the two clusters differ.',
    matters:
      'Signed requests are valid for five minutes. With a greater difference the provider refuses all of them, and tokens expire early or late.',
    steps: ['Synchronize the clocks of all nodes by NTP: `timedatectl`.'],
  },
  'gateway-unreachable': {
    group: 'Control plane',
    means: 'The API gateway of the provider does not answer.',
    matters: 'Identities are not renewed, and changes do not arrive. Running pods keep running.',
    steps: [
      'From a pod of this cluster: `curl -k URL/v1/info`; the message names the URL.',
      'At the provider: `kubectl get pods,services -n hawser-system`.',
      'Check firewalls and load balancers between the clusters. If only the tunnel endpoint is reachable, peer in-band: `hawser peer --in-band`.',
    ],
  },
  compatibility: {
    group: 'Control plane',
    means: 'The versions of Hawser in the two clusters are not compatible.',
    matters:
      'One side requires something that the other does not support, so it uses nothing that the other declares.',
    steps: ['Update the older side: versions may differ by at most two minor versions.'],
  },
  'token-expired': {
    group: 'Control plane',
    means: 'A peering token that this cluster issued expired without being redeemed.',
    matters: 'A consumer that tries to redeem it is refused.',
    steps: [
      'Issue another one: `hawser token create`. `--expires-in 1h` gives more time.',
      'To remove this finding: `hawser token revoke NAME`.',
    ],
  },
  tenant: {
    group: 'Control plane',
    means: 'The tenant namespace of a consumer is not ready.',
    matters: 'The consumer gets no identity and cannot offload anything to this cluster.',
    steps: [
      'Read the conditions: `kubectl describe incomingpeering NAME`.',
      `Read the log: \`${controllerLogs}\`.`,
    ],
  },
  tunnel: {
    group: 'Tunnel',
    means: 'There is no Tunnel object for a remote cluster yet.',
    matters: 'A tunnel needs the network documents of both clusters, and one of them is missing.',
    steps: ['Read the conditions: `kubectl describe remotecluster REMOTE`.'],
  },
  handshake: {
    group: 'Tunnel',
    means: 'The WireGuard session with the remote is not established.',
    matters: 'No packet passes without a session.',
    steps: ['Read the conditions: `kubectl describe tunnel REMOTE`.'],
  },
  'udp-blocked': {
    group: 'Tunnel',
    means: 'The gateway node sends WireGuard handshakes, and no response arrives.',
    matters:
      'WireGuard does not answer packets that it cannot authenticate, so a firewall and a wrong key look the same from here.',
    steps: [
      'Allow UDP from this cluster’s gateway nodes to the endpoints of the remote (port 7470 by default); the message names them.',
      'On a gateway node: `tcpdump -ni any udp port 7470`.',
      'In-band, after an endpoint or key changed: `hawser peer repair PROVIDER --remote-context CONTEXT`.',
    ],
  },
  path: {
    group: 'Tunnel',
    means: 'The session is established, but probes through it are not answered.',
    matters: 'Packets of pods are dropped at one of the sides.',
    steps: [
      '`hawser status REMOTE` shows packet drops by reason.',
      'Resolve findings about nodes, such as `foreign-drop`; run `hawser doctor` in the other cluster too.',
      '`hawser trace NAMESPACE/POD NAMESPACE/POD` shows the hop at which packets stop.',
    ],
  },
  mtu: {
    group: 'Tunnel',
    means: 'Packets of the planned size pass.',
    matters: 'A path that drops large packets is reported by the check `mtu-black-hole`.',
    steps: ['Nothing to do.'],
  },
  'mtu-black-hole': {
    group: 'Tunnel',
    means: 'The path drops packets that are smaller than planned, and no ICMP message reports it.',
    matters:
      'Connections open and then stall when they send much data. Hawser measures the path and lowers the packet size, which costs throughput.',
    steps: [
      'Set the MTU of the path: `kubectl edit localcluster self` (`spec.mtu`); the message names the value.',
      'Or allow ICMP "fragmentation needed" (IPv6: "packet too big") through firewalls.',
    ],
  },
  loss: {
    group: 'Tunnel',
    means: 'Some path probes were lost.',
    matters: 'Connections become slow long before they break.',
    steps: ['Measure between the gateway node and the endpoint of the remote: `mtr -u ADDRESS`.'],
  },
  remapping: {
    group: 'Tunnel',
    means:
      'A range of the remote has no remapped range here, is not used as it was accepted, or the remote declares invalid ranges.',
    matters: 'Pods in this range cannot be reached from this cluster.',
    steps: [
      'Add a free range to `spec.remapPools`, or remove one from `spec.reservedCIDRs`: `kubectl edit localcluster self`.',
      'If the range waits for approval: `hawser remap approve REMOTE RANGE`.',
      'If the declaration is invalid: run `hawser doctor` at the remote.',
    ],
  },
  'virtual-node': {
    group: 'Offloading',
    means: 'The virtual node of a provider does not exist or is not Ready.',
    matters: 'No pods are scheduled to the provider.',
    steps: ['Resolve the other findings of this peering first.', '`kubectl describe node NODE`.'],
  },
  'kubelet-api': {
    group: 'Offloading',
    means: 'The API server of this cluster does not reach the kubelet API of a virtual node.',
    matters: 'Logs, exec, attach, port-forward and metrics of offloaded pods fail. The pods themselves run.',
    steps: [
      'Allow connections from the API server to port 10250 of the controller’s pod: `kubectl get pods -n hawser-system -l app.kubernetes.io/component=controller -o wide`.',
    ],
  },
  quota: {
    group: 'Offloading',
    means: 'A grant is used up.',
    matters: 'New pods are refused until others end.',
    steps: [
      'At the provider, increase the grant: `kubectl edit incomingpeering NAME` (`spec.grant`).',
      'At the consumer, delete pods: `kubectl get pods -A --field-selector spec.nodeName=NODE`.',
    ],
  },
  'twin-dns': {
    group: 'Offloading',
    means:
      'Pods in twin namespaces cannot resolve names: the cluster DNS of the provider has no ready endpoint.',
    matters: 'Programs in offloaded pods that look up a name fail.',
    steps: [
      'At the provider: `kubectl get endpointslices -n kube-system -l kubernetes.io/service-name=kube-dns`.',
    ],
  },
  'provider-report': {
    group: 'Offloading',
    means: 'The provider reports a problem of the peering on its side.',
    matters: 'It can only be resolved at the provider.',
    steps: ['At the provider: `hawser doctor`.'],
  },
  'twin-namespace': {
    group: 'Offloading',
    means: 'An offloaded namespace has no usable twin namespace at a provider.',
    matters: 'Its pods are not offloaded there.',
    steps: ['Read the conditions: `kubectl describe namespaceoffloading offloading -n NAMESPACE`.'],
  },
} as const satisfies Record<string, CheckText>;
