/** One node: containerd, kubelet and kube-proxy, as on a machine of their own. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { newLeaf } from './certificate.ts';
import type { Subject } from './certificate.ts';
import type { ControlPlaneFiles } from './control-plane.ts';
import { pauseImage } from './image.ts';
import { kubeconfig } from './kubeconfig.ts';
import { cgroupOf } from './places.ts';
import { apiServerPort } from './plan.ts';
import type { BedPlan, ClusterPlan, NodePlan } from './plan.ts';
import type { ProgramName } from './programs.ts';

/** Directory of the programs of Debian's containernetworking-plugins. */
const cniPlugins = '/usr/lib/cni';

/** The usual path; each node has its own /run. */
const containerdSocket = '/run/containerd/containerd.sock';

export async function writeNodeFiles(
  bed: BedPlan,
  cluster: ClusterPlan,
  node: NodePlan,
  files: ControlPlaneFiles,
  now: number,
): Promise<void> {
  const directory = node.directory;
  await mkdir(join(directory, 'cni'), { recursive: true, mode: 0o755 });
  const write = (file: string, content: string) => writeFile(join(directory, file), content, { mode: 0o600 });
  const client = (subject: Subject) =>
    kubeconfig({
      clusterName: cluster.name,
      url: `https://${cluster.controlPlaneAddress}:${apiServerPort}`,
      authority: files.authority.certificate,
      user: {
        name: subject.commonName,
        certificate: newLeaf(files.authority, files.authorityName, { ...subject, usages: ['client'] }, now),
      },
    });
  const serving = newLeaf(
    files.authority,
    files.authorityName,
    {
      commonName: `system:node:${node.name}`,
      organizations: ['system:nodes'],
      usages: ['server'],
      dnsNames: [node.name],
      addresses: [node.address],
    },
    now,
  );
  await Promise.all([
    write('containerd.toml', containerdConfig(node)),
    write('cni/10-bed.conflist', `${JSON.stringify(cniConfig(node), null, 2)}\n`),
    write('ca.crt', files.authority.certificate),
    write('serving.crt', serving.certificate),
    write('serving.key', serving.key),
    write('kubelet.yaml', `${JSON.stringify(kubeletConfig(bed, cluster, node), null, 2)}\n`),
    write(
      'kubelet.kubeconfig',
      client({ commonName: `system:node:${node.name}`, organizations: ['system:nodes'] }),
    ),
    write('kube-proxy.yaml', `${JSON.stringify(kubeProxyConfig(cluster, node), null, 2)}\n`),
    write('kube-proxy.kubeconfig', client({ commonName: 'system:kube-proxy' })),
    // kube-router watches pods, namespaces, nodes, Services and policies: no default role has exactly these rights.
    ...(cluster.policies
      ? [
          write(
            'kube-router.kubeconfig',
            client({ commonName: 'kube-router', organizations: ['system:masters'] }),
          ),
        ]
      : []),
  ]);
}

function containerdConfig(node: NodePlan): string {
  const path = (name: string) => JSON.stringify(join(node.directory, name));
  return `version = 2
root = ${path('containerd')}
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.internal.v1.tracing",
]
[grpc]
  address = ${JSON.stringify(containerdSocket)}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pauseImage}"
  # Where the right to lower an OOM score is missing, runc would die of it.
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${cniPlugins}"
    conf_dir = ${path('cni')}
    max_conf_num = 1
`;
}

function cniConfig(node: NodePlan): object {
  return {
    cniVersion: '1.0.0',
    name: 'bed',
    plugins: [
      {
        type: 'bridge',
        bridge: 'cni0',
        isDefaultGateway: true,
        hairpinMode: true,
        ipMasq: false,
        ipam: {
          type: 'host-local',
          ranges: [[{ subnet: node.podCIDR }]],
        },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  };
}

function kubeletConfig(bed: BedPlan, cluster: ClusterPlan, node: NodePlan): object {
  const path = (name: string) => join(node.directory, name);
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    address: node.address,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true, cacheTTL: '10s' },
      x509: { clientCAFile: path('ca.crt') },
    },
    authorization: { mode: 'Webhook', webhook: { cacheAuthorizedTTL: '10s', cacheUnauthorizedTTL: '1s' } },
    tlsCertFile: path('serving.crt'),
    tlsPrivateKeyFile: path('serving.key'),
    containerRuntimeEndpoint: `unix://${containerdSocket}`,
    clusterDNS: [cluster.dnsServiceAddress],
    clusterDomain: 'cluster.local',
    resolvConf: '',
    volumePluginDir: '/var/lib/kubelet/volume-plugins',
    cgroupDriver: 'cgroupfs',
    // Each kubelet removes unknown cgroups below its root, so no two may share one.
    cgroupRoot: cgroupOf(bed, node),
    cgroupsPerQOS: true,
    enforceNodeAllocatable: [],
    failCgroupV1: false,
    localStorageCapacityIsolation: true,
    makeIPTablesUtilChains: false,
    failSwapOn: false,
    // All testbeds share the disk: do not evict pods because other programs fill it.
    evictionHard: { 'memory.available': '50Mi' },
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    nodeStatusUpdateFrequency: '2s',
    nodeStatusReportFrequency: '10s',
    nodeLeaseDurationSeconds: 20,
    syncFrequency: '10s',
    volumeStatsAggPeriod: '0s',
    configMapAndSecretChangeDetectionStrategy: 'Watch',
    serializeImagePulls: false,
    registerNode: true,
    enableProfilingHandler: false,
    shutdownGracePeriod: '0s',
  };
}

function kubeProxyConfig(cluster: ClusterPlan, node: NodePlan): object {
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'nftables',
    clientConnection: { kubeconfig: join(node.directory, 'kube-proxy.kubeconfig') },
    hostnameOverride: node.name,
    clusterCIDR: cluster.podCIDR,
    bindAddress: node.address,
    healthzBindAddress: '0.0.0.0:10256',
    metricsBindAddress: '127.0.0.1:10249',
    // The limits of connection tracking belong to the whole machine.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
    nftables: { minSyncPeriod: '100ms', syncPeriod: '30s' },
  };
}

/** The commands of a node, in the order of their start. All run in the node's namespace. */
export function nodeCommands(
  cluster: ClusterPlan,
  node: NodePlan,
  programs: Record<ProgramName, string>,
): Record<'containerd' | 'kubelet' | 'kube-proxy' | 'kube-router', string[]> {
  const path = (name: string) => join(node.directory, name);
  return {
    containerd: ['containerd', '--config', path('containerd.toml'), '--log-level', 'warn'],
    kubelet: [
      programs.kubelet,
      `--config=${path('kubelet.yaml')}`,
      `--kubeconfig=${path('kubelet.kubeconfig')}`,
      `--hostname-override=${node.name}`,
      `--node-ip=${node.address}`,
      '--v=1',
    ],
    'kube-proxy': [programs['kube-proxy'], `--config=${path('kube-proxy.yaml')}`, '--v=1'],
    // Only its firewall: other programs handle routes and Services.
    'kube-router': [
      programs['kube-router'],
      `--kubeconfig=${path('kube-router.kubeconfig')}`,
      `--hostname-override=${node.name}`,
      `--service-cluster-ip-range=${cluster.serviceCIDR}`,
      '--run-firewall=true',
      '--run-router=false',
      '--run-service-proxy=false',
      '--health-port=0',
    ],
  };
}

/**
 * The Node, created before the kubelet starts, so that the pod range of each node is known in advance. The kubelet finds the
 * object and fills in the rest.
 */
export function nodeObject(node: NodePlan): object {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name: node.name,
      labels: {
        'kubernetes.io/hostname': node.name,
        'kubernetes.io/os': 'linux',
        'kubernetes.io/arch': process.arch === 'x64' ? 'amd64' : process.arch,
      },
    },
    spec: { podCIDR: node.podCIDR, podCIDRs: [node.podCIDR] },
  };
}
