/**
 * Every right of every role of Hawser, with the code that needs it. test/deploy/rights.test.ts compares this table with the
 * chart's roles and those that the controller creates, and docs/reference/rights.md is generated from it.
 */
export type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete' | 'bind' | 'approve';

export interface Right {
  /** API group; '' is the core group. */
  group: string;
  /** Plural, with its subresource if it is one: `pods/status`. */
  resource: string;
  verbs: readonly Verb[];
  /** Held in addition to `update`, which permits the same: people and other tools patch. No code needs it. */
  alike?: 'patch';
  /** Only objects of these names. */
  names?: readonly string[];
  /** The code that uses it: `file#symbol`. Each mentions the resource; each verb is used in one of them, or in `through`. */
  code: readonly string[];
  /** The code that sends the request for an object of `code`. */
  through?: readonly string[];
  why: string;
}

export interface RoleRights {
  /** As in the chart, or as in the controller's own role. */
  kind: 'ClusterRole' | 'Role';
  name: string;
  /** Namespace of a Role, or of a ClusterRole's binding by the controller; otherwise cluster-wide. */
  namespace?: string;
  holder: string;
  /** Files from which imports lead to the holder's code. */
  entries: readonly string[];
  rights: readonly Right[];
}

const hawser = 'hawser.dev';
const rbac = 'rbac.authorization.k8s.io';
const watched: readonly Verb[] = ['list', 'watch'];
const everything: readonly Verb[] = ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete'];

/** A status that the controller writes by server-side apply. */
const status = (plural: string, code: string, why: string): Right => ({
  group: hawser,
  resource: `${plural}/status`,
  verbs: ['patch'],
  code: [code],
  why,
});

const controller: RoleRights = {
  kind: 'ClusterRole',
  name: 'hawser-controller',
  holder: 'the controller, and the Job that ends all peerings before an uninstallation',
  entries: ['daemon/roles/controller.ts', 'cli/commands/clear.ts'],
  rights: [
    {
      group: hawser,
      resource: 'localclusters',
      verbs: ['get', 'list', 'watch', 'create'],
      code: [
        'daemon/peering/caches.ts#createCaches',
        'daemon/peering/local-cluster.ts#reconcileLocalCluster',
        'daemon/vnode/webhook.ts#runPodWebhook',
      ],
      why: 'this cluster; made where the chart makes none; the owner of the webhook',
    },
    status(
      'localclusters',
      'daemon/peering/local-cluster.ts#reconcileLocalCluster',
      'what was detected of this cluster',
    ),
    {
      group: hawser,
      resource: 'remoteclusters',
      verbs: ['get', 'list', 'watch', 'create', 'patch', 'delete'],
      code: [
        'daemon/peering/outgoing.ts#reconcileOutgoing',
        'daemon/peering/sessions.ts#storeDocument',
        'daemon/peering/caches.ts#createCaches',
        'daemon/peering/removal.ts#removeOutgoing',
      ],
      why: 'remotes of tokens, their network documents and certificates; removed with their last peering',
    },
    status(
      'remoteclusters',
      'daemon/peering/remote-clusters.ts#reconcileRemoteCluster',
      'the own document for a remote',
    ),
    {
      group: hawser,
      resource: 'outgoingpeerings',
      verbs: ['get', 'list', 'watch', 'patch', 'delete'],
      code: ['daemon/peering/caches.ts#createCaches', 'cli/commands/clear.ts#deleteRoots'],
      through: ['daemon/kube/finalizers.ts#removeFinalizer'],
      why: 'peerings as a consumer, and their finalizers; deleted before an uninstallation',
    },
    status(
      'outgoingpeerings',
      'daemon/peering/outgoing.ts#reconcileOutgoing',
      'conditions and provider report',
    ),
    {
      group: hawser,
      resource: 'incomingpeerings',
      verbs: ['get', 'list', 'watch', 'patch', 'delete'],
      code: ['daemon/tenant/caches.ts#createCaches', 'cli/commands/clear.ts#deleteRoots'],
      through: ['daemon/kube/finalizers.ts#removeFinalizer'],
      why: 'peerings as a provider, and their finalizers; deleted before an uninstallation',
    },
    status(
      'incomingpeerings',
      'daemon/tenant/incoming.ts#reconcileIncoming',
      'the tenant and its use of the grant',
    ),
    {
      group: hawser,
      resource: 'tunnels',
      verbs: ['list', 'watch', 'create', 'patch', 'delete'],
      code: ['daemon/fabric/controller/tunnels-controller.ts#runTunnels'],
      why: 'the tunnel to each remote',
    },
    status(
      'tunnels',
      'daemon/fabric/controller/tunnels-controller.ts#makeStatusReconciler',
      'what nodes report of it',
    ),
    {
      group: hawser,
      resource: 'fabricnodes',
      verbs: ['list', 'watch', 'create', 'patch', 'delete'],
      code: ['daemon/fabric/controller/endpoints-controller.ts#runEndpoints'],
      why: 'which node holds which tunnel endpoint',
    },
    {
      group: hawser,
      resource: 'addressmappings',
      verbs: ['list', 'watch', 'create', 'patch', 'delete'],
      code: ['daemon/fabric/controller/address-mappings-controller.ts#runAddressMappings'],
      why: 'addresses for pods at third clusters',
    },
    status(
      'addressmappings',
      'daemon/fabric/controller/address-mappings-controller.ts#runAddressMappings',
      'where a mapping holds',
    ),
    {
      group: hawser,
      resource: 'namespaceoffloadings',
      verbs: ['get', 'list', 'watch', 'patch', 'delete'],
      code: ['daemon/vnode/caches.ts#createCaches', 'cli/commands/clear.ts#deleteRoots'],
      through: ['daemon/kube/finalizers.ts#removeFinalizer'],
      why: 'namespaces to be offloaded, and their finalizers; deleted before an uninstallation',
    },
    status(
      'namespaceoffloadings',
      'daemon/vnode/offloading.ts#runOffloading',
      'where a namespace is offloaded',
    ),
    {
      group: hawser,
      resource: 'twinnamespaces',
      verbs: ['get', 'list', 'watch', 'patch', 'delete'],
      code: ['daemon/tenant/caches.ts#createCaches', 'daemon/tenant/twin-namespaces.ts#reconcileTwin'],
      through: ['daemon/tenant/incoming.ts#reconcileIncoming', 'daemon/kube/finalizers.ts#removeFinalizer'],
      why: 'consumers’ requests for namespaces, and their finalizers; deleted with the peering',
    },
    status('twinnamespaces', 'daemon/tenant/twin-namespaces.ts#reconcileTwin', 'the namespace that was made'),
    {
      group: hawser,
      resource: 'shadowpods',
      verbs: ['get', 'list', 'watch', 'patch', 'delete'],
      code: ['daemon/tenant/caches.ts#createCaches'],
      through: [
        'daemon/tenant/twin-namespaces.ts#reconcileTwin',
        'daemon/kube/finalizers.ts#removeFinalizer',
      ],
      why: 'consumers’ records of pods, and their finalizers; deleted with the twin namespace',
    },
    status('shadowpods', 'daemon/tenant/shadow-pods.ts#reconcileShadowPod', 'how the real pod is'),
    {
      group: hawser,
      resource: 'shadowpolicies',
      verbs: watched,
      code: ['daemon/tenant/caches.ts#createCaches'],
      why: 'consumers’ network policies',
    },
    status('shadowpolicies', 'daemon/tenant/policies.ts#reconcilePolicy', 'whether a policy is carried'),
    {
      group: '',
      resource: 'namespaces',
      verbs: ['get', 'list', 'watch', 'create', 'patch', 'delete'],
      code: [
        'daemon/tenant/twin-namespaces.ts#reconcileTwin',
        'daemon/vnode/offloading.ts#labelNamespace',
        'daemon/vnode/caches.ts#createCaches',
      ],
      why: 'tenant and twin namespaces; a label on offloaded ones',
    },
    {
      group: '',
      resource: 'serviceaccounts',
      verbs: ['create', 'patch'],
      code: ['daemon/tenant/tenant-objects.ts#tenantObjects', 'daemon/tenant/twin-objects.ts#twinObjects'],
      through: ['daemon/tenant/incoming.ts#reconcileIncoming'],
      why: 'the consumer’s account, and `default` of twin namespaces',
    },
    {
      group: '',
      resource: 'resourcequotas',
      verbs: ['list', 'watch', 'create', 'patch'],
      code: ['daemon/tenant/twin-objects.ts#twinObjects', 'daemon/tenant/caches.ts#createCaches'],
      through: ['daemon/tenant/twin-namespaces.ts#reconcileTwin'],
      why: 'the grant, and counts of objects, in tenant and twin namespaces',
    },
    {
      group: '',
      resource: 'limitranges',
      verbs: ['create', 'patch'],
      code: ['daemon/tenant/twin-objects.ts#twinObjects'],
      through: ['daemon/tenant/twin-namespaces.ts#reconcileTwin'],
      why: 'defaults of containers in twin namespaces',
    },
    {
      group: 'networking.k8s.io',
      resource: 'networkpolicies',
      verbs: ['get', 'list', 'watch', 'create', 'patch'],
      code: [
        'daemon/tenant/policies.ts#reconcilePolicy',
        'daemon/tenant/policy-probe.ts#runPolicyProbe',
        'daemon/reflect/policies-controller.ts#runPolicyReflection',
      ],
      why: 'isolation and carried policies in twin namespaces; policies of offloaded namespaces',
    },
    {
      group: rbac,
      resource: 'roles',
      verbs: ['create', 'patch'],
      code: ['daemon/tenant/tenant-objects.ts#consumerRights'],
      through: ['daemon/tenant/incoming.ts#reconcileIncoming'],
      why: 'what a consumer may in its namespaces',
    },
    {
      group: rbac,
      resource: 'rolebindings',
      verbs: ['create', 'patch', 'delete'],
      code: ['daemon/tenant/tenant-objects.ts#consumerRights', 'daemon/tenant/revocation.ts#takeRights'],
      through: ['daemon/tenant/incoming.ts#reconcileIncoming'],
      why: 'bound while a consumer is let in, deleted when it is revoked',
    },
    {
      group: rbac,
      resource: 'clusterroles',
      verbs: ['bind'],
      names: ['hawser-gateway-tenant'],
      code: ['daemon/tenant/tenant-objects.ts#gatewayBinding'],
      why: 'the API gateway makes tokens in tenant namespaces; the controller holds nothing of that role',
    },
    {
      group: '',
      resource: 'pods',
      verbs: ['get', 'list', 'watch', 'create', 'patch', 'delete'],
      code: ['daemon/tenant/shadow-pods.ts#reconcileShadowPod', 'daemon/tenant/caches.ts#createCaches'],
      why: 'real pods in twin namespaces; as a consumer, the pods of virtual nodes',
    },
    {
      group: '',
      resource: 'pods/status',
      verbs: ['patch'],
      code: ['daemon/vnode/pods.ts#applyPodStatus'],
      why: 'status of the pods of virtual nodes, as a kubelet writes it',
    },
    {
      group: '',
      resource: 'pods/eviction',
      verbs: ['create'],
      code: ['daemon/vnode/eviction.ts#evictPods'],
      why: 'drains of a virtual node, within disruption budgets',
    },
    {
      group: '',
      resource: 'pods/ephemeralcontainers',
      verbs: ['patch'],
      code: ['daemon/tenant/shadow-pods.ts#reconcileShadowPod'],
      why: '`kubectl debug` on an offloaded pod',
    },
    {
      group: '',
      resource: 'configmaps',
      verbs: ['get', 'list', 'watch', 'create', 'update'],
      code: [
        'daemon/peering/local-cluster.ts#reconcileLocalCluster',
        'daemon/reflect/index.ts#runReflection',
        'daemon/peers/residue.ts#recordResidue',
      ],
      why: 'detection of ranges, reflection of what offloaded pods use, a record of residue',
    },
    {
      group: '',
      resource: 'secrets',
      verbs: ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete'],
      code: [
        'daemon/peering/cluster-key.ts#ensureIdentity',
        'daemon/peering/caches.ts#createCaches',
        'daemon/peering/outgoing.ts#reconcileOutgoing',
        'daemon/peering/gateway-certificate.ts#ensureCertificate',
        'daemon/reflect/index.ts#runReflection',
        'daemon/tenant/revocation.ts#putOut',
      ],
      why: 'keys and identities in Hawser’s own namespace; identities of consumers in tenant namespaces; reflection of what offloaded pods use',
    },
    {
      group: '',
      resource: 'services',
      verbs: ['list', 'watch', 'create', 'patch'],
      code: [
        'daemon/reflect/index.ts#runReflection',
        'daemon/fabric/controller/endpoints-controller.ts#reconcileEndpoint',
      ],
      why: 'reflection; Services of tunnel endpoints in Hawser’s own namespace',
    },
    {
      group: 'discovery.k8s.io',
      resource: 'endpointslices',
      verbs: everything,
      code: [
        'daemon/reflect/index.ts#runReflection',
        'daemon/peering/local-cluster.ts#reconcileLocalCluster',
        'daemon/fabric/controller/endpoints-controller.ts#reconcileEndpoint',
        'daemon/tenant/endpoints.ts#createServedEndpoints',
      ],
      why: 'reflection; endpoints of the tunnel; the slices that a provider serves for its consumers',
    },
    {
      group: '',
      resource: 'nodes',
      verbs: ['get', 'list', 'watch', 'create', 'patch', 'delete'],
      code: [
        'daemon/vnode/nodes.ts#reconcileNode',
        'daemon/vnode/caches.ts#createCaches',
        'daemon/vnode/removal.ts#removeNode',
      ],
      why: 'virtual nodes; addresses and ranges of real ones',
    },
    {
      group: '',
      resource: 'nodes/status',
      verbs: ['patch'],
      code: ['daemon/vnode/nodes.ts#reconcileNode'],
      why: 'capacity and conditions of virtual nodes',
    },
    {
      group: 'coordination.k8s.io',
      resource: 'leases',
      verbs: ['list', 'watch'],
      code: ['daemon/tenant/caches.ts#createCaches'],
      why: 'heartbeats of consumers',
    },
    {
      group: 'certificates.k8s.io',
      resource: 'certificatesigningrequests',
      verbs: ['get', 'create', 'delete'],
      code: ['daemon/kubelet/certificate.ts#signedByCluster'],
      why: 'the serving certificate of the virtual nodes’ kubelet API',
    },
    {
      group: 'certificates.k8s.io',
      resource: 'certificatesigningrequests/approval',
      verbs: ['update'],
      code: ['daemon/kubelet/certificate.ts#signedByCluster'],
      why: 'its own request is approved, as no other approver knows it',
    },
    {
      group: 'certificates.k8s.io',
      resource: 'signers',
      verbs: ['approve'],
      names: ['kubernetes.io/kubelet-serving'],
      code: ['daemon/kubelet/certificate.ts#signedByCluster'],
      why: 'required for the approval',
    },
    {
      group: 'authentication.k8s.io',
      resource: 'tokenreviews',
      verbs: ['create'],
      code: ['daemon/kubelet/access.ts#createAccess'],
      why: 'who asks the kubelet API',
    },
    {
      group: 'authorization.k8s.io',
      resource: 'subjectaccessreviews',
      verbs: ['create'],
      code: ['daemon/kubelet/access.ts#createAccess'],
      why: 'whether it may',
    },
    {
      group: '',
      resource: 'events',
      verbs: ['create'],
      code: ['daemon/kube/events.ts#createEvents', 'daemon/vnode/pod-events.ts#reconcileEvent'],
      why: 'events of Hawser’s objects and of offloaded pods',
    },
    {
      group: 'networking.k8s.io',
      resource: 'servicecidrs',
      verbs: watched,
      code: ['daemon/peering/caches.ts#createCaches'],
      why: 'detection of this cluster’s ranges',
    },
    {
      group: 'admissionregistration.k8s.io',
      resource: 'mutatingwebhookconfigurations',
      verbs: ['create'],
      code: ['daemon/vnode/webhook-registration.ts#registration'],
      through: ['daemon/vnode/webhook.ts#runPodWebhook'],
      why: 'the webhook that lets pods of offloaded namespaces tolerate virtual nodes',
    },
    {
      group: 'admissionregistration.k8s.io',
      resource: 'mutatingwebhookconfigurations',
      verbs: ['patch'],
      names: ['hawser-pods'],
      code: ['daemon/vnode/webhook-registration.ts#registration'],
      through: ['daemon/vnode/webhook.ts#runPodWebhook'],
      why: 'its certificate',
    },
  ],
};

const controllerRoles: readonly RoleRights[] = [
  {
    kind: 'Role',
    name: 'hawser-controller',
    namespace: 'hawser-system',
    holder: controller.holder,
    entries: controller.entries,
    rights: [
      {
        group: hawser,
        resource: 'peeringtokens',
        verbs: ['list', 'watch', 'delete'],
        code: ['daemon/tenant/caches.ts#createCaches', 'daemon/tenant/incoming.ts#reconcileIncoming'],
        why: 'deleted when they have expired, or when the peering of a spent one is revoked',
      },
      status('peeringtokens', 'daemon/tenant/tokens.ts#reconcileToken', 'whether it can be redeemed'),
      {
        group: 'coordination.k8s.io',
        resource: 'leases',
        verbs: ['get', 'create', 'update'],
        code: [
          'daemon/kube/leader.ts#runAsLeader',
          'daemon/fabric/controller/endpoint-leases.ts#EndpointLeases',
        ],
        why: 'leader election, and holders of tunnel endpoints',
      },
      {
        group: '',
        resource: 'resourcequotas',
        verbs: ['get', 'create', 'delete'],
        code: ['daemon/tenant/quota-probe.ts#tryCounting'],
        why: 'a trial whether this cluster counts custom resources',
      },
    ],
  },
  {
    kind: 'Role',
    name: 'hawser-controller',
    namespace: 'kube-node-lease',
    holder: controller.holder,
    entries: controller.entries,
    rights: [
      {
        group: 'coordination.k8s.io',
        resource: 'leases',
        verbs: ['create', 'patch', 'delete'],
        code: ['daemon/vnode/lease.ts#renewLease'],
        why: 'heartbeats of virtual nodes',
      },
    ],
  },
];

const gatewayEntries = ['gateway/node.ts', 'gateway/deno.ts'];

const gateway: readonly RoleRights[] = [
  {
    kind: 'ClusterRole',
    name: 'hawser-gateway',
    holder: 'the API gateway',
    entries: gatewayEntries,
    rights: [
      {
        group: 'authentication.k8s.io',
        resource: 'tokenreviews',
        verbs: ['create'],
        code: ['gateway/http/middleware/authenticate-kubernetes.ts#reviewToken'],
        why: 'who issues, lists or revokes tokens',
      },
      {
        group: 'authorization.k8s.io',
        resource: 'subjectaccessreviews',
        verbs: ['create'],
        code: ['gateway/http/middleware/authenticate-kubernetes.ts#mayDo'],
        why: 'whether it may',
      },
      {
        group: hawser,
        resource: 'localclusters',
        verbs: watched,
        code: ['gateway/service.ts#createGatewayService'],
        why: 'this cluster’s ID, key, addresses and most that may be granted',
      },
      {
        group: hawser,
        resource: 'tunnels',
        verbs: ['get'],
        code: ['gateway/routes/peering.ts#getPeering'],
        why: 'the report to the consumer',
      },
      {
        group: hawser,
        resource: 'remoteclusters',
        verbs: ['get', 'list', 'watch', 'create', 'update'],
        alike: 'patch',
        code: [
          'gateway/service.ts#createGatewayService',
          'gateway/peerings/remote-clusters.ts#ensureRemoteCluster',
        ],
        why: 'consumers, by the key that redeemed a token, and their network documents',
      },
      {
        group: hawser,
        resource: 'incomingpeerings',
        verbs: ['get', 'list', 'watch', 'create', 'update', 'delete'],
        alike: 'patch',
        code: [
          'gateway/service.ts#createGatewayService',
          'gateway/peerings/incoming-peerings.ts#ensureIncomingPeering',
          'gateway/routes/peering.ts#deletePeering',
        ],
        why: 'the peering of a redeemed token; ended by its consumer',
      },
    ],
  },
  {
    kind: 'Role',
    name: 'hawser-gateway',
    namespace: 'hawser-system',
    holder: 'the API gateway',
    entries: gatewayEntries,
    rights: [
      {
        group: hawser,
        resource: 'peeringtokens',
        verbs: ['get', 'list', 'create', 'update'],
        alike: 'patch',
        code: ['gateway/routes/tokens.ts#tokenRoutes', 'gateway/routes/identities.ts#spend'],
        why: 'tokens are issued, listed, revoked and redeemed',
      },
      {
        group: hawser,
        resource: 'peeringtokens/status',
        verbs: ['update'],
        code: ['gateway/routes/identities.ts#spend'],
        why: 'a token is spent by compare-and-swap',
      },
      {
        group: '',
        resource: 'secrets',
        verbs: ['get'],
        names: ['hawser-gateway-tls'],
        code: ['gateway/certificates.ts#readCertificateSecret'],
        why: 'its certificate',
      },
    ],
  },
  {
    kind: 'ClusterRole',
    name: 'hawser-gateway-tenant',
    namespace: 'each tenant namespace',
    holder: 'the API gateway',
    entries: gatewayEntries,
    rights: [
      {
        group: '',
        resource: 'serviceaccounts/token',
        verbs: ['create'],
        names: ['consumer'],
        code: ['gateway/peerings/identities.ts#mintToken'],
        why: 'the identity of a consumer',
      },
    ],
  },
];

const nodeEntries = ['daemon/roles/node.ts'];
const nodeSources = 'daemon/fabric/node/sources.ts#createNodeSources';

const node: readonly RoleRights[] = [
  {
    kind: 'ClusterRole',
    name: 'hawser-node',
    holder: 'the node daemons',
    entries: nodeEntries,
    rights: [
      ...[
        'fabricnodes',
        'tunnels',
        'addressmappings',
        'localclusters',
        'outgoingpeerings',
        'incomingpeerings',
        'twinnamespaces',
      ].map((resource): Right => ({
        group: hawser,
        resource,
        verbs: watched,
        code: [nodeSources],
        why: 'what routes, translation and admission of packets are planned from',
      })),
      {
        group: hawser,
        resource: 'fabricnodes/status',
        verbs: ['patch'],
        code: ['daemon/fabric/node/status-writer.ts#writeNodeStatus'],
        why: 'its report; an admission policy limits it to the own node',
      },
      ...['pods', 'nodes', 'namespaces'].map((resource): Right => ({
        group: '',
        resource,
        verbs: watched,
        code: [nodeSources],
        why: 'addresses of pods, and whose they are',
      })),
    ],
  },
  {
    kind: 'Role',
    name: 'hawser-node',
    namespace: 'hawser-system',
    holder: 'the node daemons',
    entries: nodeEntries,
    rights: [
      {
        group: '',
        resource: 'secrets',
        verbs: watched,
        names: ['hawser-tunnel-keys', 'hawser-tunnel-endpoint-0'],
        code: [nodeSources],
        why: 'keys of the tunnel',
      },
      {
        group: 'coordination.k8s.io',
        resource: 'leases',
        verbs: ['get', 'update'],
        names: ['hawser-tunnel-endpoint-0'],
        code: ['daemon/fabric/node/endpoint-lease.ts#EndpointLease'],
        why: 'the holder of a tunnel endpoint renews it',
      },
      {
        group: 'apps',
        resource: 'daemonsets',
        verbs: ['get'],
        names: ['hawser-node'],
        code: ['daemon/roles/node.ts#daemonSetIsGone'],
        why: 'whether it is being uninstalled, and cleans up before it stops',
      },
      {
        group: 'discovery.k8s.io',
        resource: 'endpointslices',
        verbs: watched,
        code: ['daemon/inband/index.ts#createInBand'],
        why: 'in-band: where the API gateway is; the names of its slices are generated',
      },
    ],
  },
  {
    kind: 'Role',
    name: 'hawser-node',
    namespace: 'default',
    holder: 'the node daemons',
    entries: nodeEntries,
    rights: [
      {
        group: 'discovery.k8s.io',
        resource: 'endpointslices',
        verbs: watched,
        names: ['kubernetes'],
        code: ['daemon/inband/index.ts#createInBand'],
        why: 'in-band: where the API server is',
      },
    ],
  },
];

const cliEntries = ['cli/main.ts'];
const ensureRemote = 'cli/in-band/tunnel.ts#ensureRemote';
const remoteRights: Right = {
  group: hawser,
  resource: 'remoteclusters',
  verbs: ['get', 'create', 'patch'],
  code: [ensureRemote, 'cli/in-band/sides.ts#remoteOf'],
  why: 'each side gets the key and the network document of the other',
};

/** For users; the chart binds them to no subject. */
const people: readonly RoleRights[] = [
  {
    kind: 'ClusterRole',
    name: 'hawser-peer-consumer',
    holder: 'nobody, until a person binds it: for `hawser peer --in-band` at the consumer',
    entries: cliEntries,
    rights: [
      {
        group: hawser,
        resource: 'localclusters',
        verbs: ['get'],
        code: ['cli/cluster.ts#localCluster'],
        why: 'this cluster’s ID, key and ranges',
      },
      {
        group: hawser,
        resource: 'tunnels',
        verbs: ['get', 'list'],
        code: ['cli/in-band/tunnel.ts#checkTunnels', 'cli/peer-plan/show.ts#show'],
        why: 'progress; with --plan, which prefixes are taken',
      },
      {
        group: hawser,
        resource: 'fabricnodes',
        verbs: ['list'],
        code: ['cli/peer-plan/show.ts#show'],
        why: 'with --plan, what the nodes use',
      },
      {
        group: hawser,
        resource: 'outgoingpeerings',
        verbs: ['get', 'list', 'create', 'patch'],
        code: [
          'cli/in-band/peer.ts#writeToken',
          'cli/in-band/peer.ts#awaitFormer',
          'cli/peer-plan/show.ts#show',
        ],
        why: 'the peering',
      },
      remoteRights,
      {
        group: '',
        resource: 'nodes',
        verbs: ['list'],
        code: ['cli/peer-plan/show.ts#readNodes'],
        why: 'with --plan, where the nodes are',
      },
      {
        group: '',
        resource: 'secrets',
        verbs: ['create', 'patch'],
        names: ['hawser-in-band-token'],
        code: ['cli/in-band/peer.ts#writeToken'],
        why: 'the token on its way to the controller; it cannot be read',
      },
    ],
  },
  {
    kind: 'ClusterRole',
    name: 'hawser-peer-provider',
    holder: 'nobody, until a person binds it: for `hawser peer --in-band` at the provider',
    entries: cliEntries,
    rights: [
      {
        group: hawser,
        resource: 'localclusters',
        verbs: ['get'],
        code: ['cli/cluster.ts#localCluster'],
        why: 'this cluster’s ID, key and ranges',
      },
      {
        group: hawser,
        resource: 'tunnels',
        verbs: ['get'],
        code: ['cli/in-band/tunnel.ts#checkTunnels'],
        why: 'progress',
      },
      {
        group: hawser,
        resource: 'incomingpeerings',
        verbs: ['get'],
        code: ['cli/in-band/peer.ts#awaitFormer'],
        why: 'whether a former peering is still being removed',
      },
      remoteRights,
      {
        group: hawser,
        resource: 'peeringtokens',
        verbs: ['create', 'delete'],
        code: ['cli/issue-token.ts#issueToken', 'cli/in-band/peer.ts#takeBack'],
        why: 'the token of the peering, deleted when it could not be delivered',
      },
    ],
  },
];

/** The consumer's controller uses them at the provider. */
const consumerEntries = ['daemon/roles/controller.ts'];
/** Reflected objects are compared with a watch, created, replaced and deleted. */
const reflected: readonly Verb[] = ['get', 'list', 'watch', 'create', 'update', 'delete'];
const reflection = (group: string, resource: string, informer: string): Right => ({
  group,
  resource,
  verbs: reflected,
  alike: 'patch',
  code: [informer],
  through: ['daemon/reflect/apply-plan.ts#applyReflectionPlan'],
  why: 'reflection; an admission policy limits it to objects that it labelled',
});

/** Created by the provider's controller for the service account of one consumer: daemon/tenant/tenant-objects.ts. */
const consumer: readonly RoleRights[] = [
  {
    kind: 'Role',
    name: 'hawser-consumer',
    namespace: 'each tenant namespace',
    holder: 'a consumer',
    entries: consumerEntries,
    rights: [
      {
        group: hawser,
        resource: 'twinnamespaces',
        verbs: ['list', 'watch', 'create', 'delete'],
        code: ['daemon/peers/twin-namespaces.ts#twinsOf', 'daemon/vnode/offloading.ts#reconcileTwin'],
        why: 'the namespaces that it asks for',
      },
      {
        group: 'coordination.k8s.io',
        resource: 'leases',
        verbs: ['create', 'patch'],
        code: ['daemon/vnode/presence-lease.ts#runPresence'],
        why: 'the lease by which it shows that it is alive',
      },
    ],
  },
  {
    kind: 'Role',
    name: 'hawser-consumer',
    namespace: 'each twin namespace',
    holder: 'a consumer',
    entries: consumerEntries,
    rights: [
      {
        group: hawser,
        resource: 'shadowpods',
        verbs: everything,
        code: ['daemon/vnode/pods.ts#reconcileOffloadedPod', 'daemon/vnode/pod-records.ts#createShadow'],
        why: 'records of its pods',
      },
      reflection(hawser, 'shadowpolicies', 'daemon/peers/twin-namespaces.ts#shadowPoliciesOf'),
      reflection('', 'configmaps', 'daemon/reflect/index.ts#runReflection'),
      reflection('', 'secrets', 'daemon/reflect/index.ts#runReflection'),
      reflection('', 'services', 'daemon/reflect/index.ts#runReflection'),
      reflection('discovery.k8s.io', 'endpointslices', 'daemon/reflect/index.ts#runReflection'),
      {
        group: '',
        resource: 'events',
        verbs: watched,
        code: ['daemon/vnode/pod-events.ts#runPodEvents'],
        why: 'why a pod does not start',
      },
      {
        group: '',
        resource: 'pods/log',
        verbs: ['get'],
        code: ['daemon/kubelet/routes.ts#providerPath'],
        through: ['daemon/kubelet/streams.ts#streamLogs'],
        why: '`kubectl logs`',
      },
      ...['exec', 'attach', 'portforward'].map((subresource): Right => ({
        group: '',
        resource: `pods/${subresource}`,
        verbs: ['get', 'create'],
        code: ['daemon/kubelet/routes.ts#providerPath'],
        through: ['daemon/kubelet/streams.ts#joinStreams'],
        why: '`kubectl exec`, `attach` and `port-forward`; WebSockets begin with a GET (KEP-4006)',
      })),
    ],
  },
];

/** Rights that the controller holds only because it grants them: the API server checks for privilege escalation. */
export const grantedRoles = consumer;

export const roles: readonly RoleRights[] = [
  controller,
  ...controllerRoles,
  ...gateway,
  ...node,
  ...people,
  ...consumer,
];
