/**
 * A control plane: etcd, kube-apiserver, kube-controller-manager, kube-scheduler. This file computes files and commands; the
 * caller decides where they run (loopback or a namespace).
 */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { newAuthority, newKeyPair, newLeaf } from './certificate.ts';
import type { Certificate, LeafRequest, Subject } from './certificate.ts';
import { kubeconfig } from './kubeconfig.ts';
import type { ProgramName } from './programs.ts';

export interface ControlPlanePlan {
  clusterName: string;
  /** Holds keys, certificates, etcd's data and logs. */
  directory: string;
  /** The address that the API server listens on and that the Endpoints of `default/kubernetes` contain. */
  address: string;
  port: number;
  etcdPort: number;
  etcdPeerPort: number;
  /** Further addresses by which clients reach the API server. */
  moreAddresses: readonly string[];
  podCIDR: string;
  serviceCIDR: string;
  /** The first address of the Service range, the one of `default/kubernetes`. */
  kubernetesServiceAddress: string;
  /** Ports of the other components; 0 disables the server. */
  controllerManagerPort: number;
  schedulerPort: number;
  programs: Record<ProgramName, string>;
  /** True in a cluster where the API server reaches pods, but not Service addresses. */
  routeToEndpoints: boolean;
}

export interface ControlPlaneFiles {
  authority: Certificate;
  authorityName: string;
  adminToken: string;
  admin: Certificate;
}

const authorityName = 'kubernetes';

/** Writes new keys, certificates and kubeconfigs of a control plane; nothing is reused. */
export async function writeControlPlaneFiles(
  plan: ControlPlanePlan,
  now: number,
): Promise<ControlPlaneFiles> {
  const directory = plan.directory;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const authority = newAuthority(authorityName, now);
  const write = (file: string, content: string) => writeFile(join(directory, file), content, { mode: 0o600 });
  const serviceAccounts = newKeyPair();
  const client = (subject: Subject) =>
    newLeaf(authority, authorityName, { ...subject, usages: ['client'] }, now);
  const server = newLeaf(authority, authorityName, serverSubject(plan), now);
  const kubeletClient = client({ commonName: 'kube-apiserver-kubelet-client' });
  const admin = client({ commonName: 'kubernetes-admin', organizations: ['system:masters'] });
  const adminToken = randomBytes(24).toString('base64url');
  const url = `https://${plan.address}:${plan.port}`;
  const config = (name: string, subject: Subject) =>
    write(
      `${name}.kubeconfig`,
      kubeconfig({
        clusterName: plan.clusterName,
        url,
        authority: authority.certificate,
        user: { name: subject.commonName, certificate: client(subject) },
      }),
    );
  await Promise.all([
    write('ca.crt', authority.certificate),
    write('ca.key', authority.key),
    write('apiserver.crt', server.certificate),
    write('apiserver.key', server.key),
    write('kubelet-client.crt', kubeletClient.certificate),
    write('kubelet-client.key', kubeletClient.key),
    write('service-accounts.pub', serviceAccounts.publicKey),
    write('service-accounts.key', serviceAccounts.privateKey),
    write('tokens.csv', `${adminToken},hawser-testbed-admin,hawser-testbed-admin,"system:masters"\n`),
    config('controller-manager', { commonName: 'system:kube-controller-manager' }),
    config('scheduler', { commonName: 'system:kube-scheduler' }),
  ]);
  return { authority, authorityName, adminToken, admin };
}

function serverSubject(plan: ControlPlanePlan): LeafRequest {
  return {
    commonName: 'kube-apiserver',
    usages: ['server'],
    dnsNames: [
      'kubernetes',
      'kubernetes.default',
      'kubernetes.default.svc',
      'kubernetes.default.svc.cluster.local',
      'localhost',
    ],
    addresses: [
      ...new Set([plan.address, '127.0.0.1', plan.kubernetesServiceAddress, ...plan.moreAddresses]),
    ],
  };
}

/** Issues another certificate and key for the API server from the same CA. It uses them from its next start on. */
export async function renewServerCertificate(plan: ControlPlanePlan, now: number): Promise<void> {
  const { directory } = plan;
  const [certificate, key] = await Promise.all(
    ['ca.crt', 'ca.key'].map((file) => readFile(join(directory, file), 'utf8')),
  );
  if (certificate === undefined || key === undefined) throw new Error(`no authority in ${directory}`);
  const renewed = newLeaf({ certificate, key }, authorityName, serverSubject(plan), now);
  await writeFile(join(directory, 'apiserver.crt'), renewed.certificate, { mode: 0o600 });
  await writeFile(join(directory, 'apiserver.key'), renewed.key, { mode: 0o600 });
}

/** The command of etcd. It only loses data in a crash of the whole machine. */
export function etcdCommand(plan: ControlPlanePlan): string[] {
  const url = `http://127.0.0.1:${plan.etcdPort}`;
  const peer = `http://127.0.0.1:${plan.etcdPeerPort}`;
  return [
    plan.programs.etcd,
    '--name=default',
    `--data-dir=${join(plan.directory, 'etcd')}`,
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
    '--unsafe-no-fsync',
    '--log-level=warn',
  ];
}

export function apiServerCommand(plan: ControlPlanePlan): string[] {
  const file = (name: string) => join(plan.directory, name);
  return [
    plan.programs['kube-apiserver'],
    `--etcd-servers=http://127.0.0.1:${plan.etcdPort}`,
    `--bind-address=${plan.address}`,
    `--advertise-address=${plan.address}`,
    `--secure-port=${plan.port}`,
    `--tls-cert-file=${file('apiserver.crt')}`,
    `--tls-private-key-file=${file('apiserver.key')}`,
    `--client-ca-file=${file('ca.crt')}`,
    `--token-auth-file=${file('tokens.csv')}`,
    `--service-cluster-ip-range=${plan.serviceCIDR}`,
    '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
    `--service-account-key-file=${file('service-accounts.pub')}`,
    `--service-account-signing-key-file=${file('service-accounts.key')}`,
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    '--allow-privileged=true',
    `--kubelet-certificate-authority=${file('ca.crt')}`,
    `--kubelet-client-certificate=${file('kubelet-client.crt')}`,
    `--kubelet-client-key=${file('kubelet-client.key')}`,
    // Otherwise logs and exec look the node's name up in DNS, which does not have it.
    '--kubelet-preferred-address-types=InternalIP',
    ...(plan.routeToEndpoints ? ['--enable-aggregator-routing=true'] : []),
    '--endpoint-reconciler-type=lease',
    '--profiling=false',
    '--shutdown-delay-duration=0s',
    '--v=1',
  ];
}

export function controllerManagerCommand(plan: ControlPlanePlan): string[] {
  const file = (name: string) => join(plan.directory, name);
  return [
    plan.programs['kube-controller-manager'],
    `--kubeconfig=${file('controller-manager.kubeconfig')}`,
    '--leader-elect=false',
    '--bind-address=127.0.0.1',
    `--secure-port=${plan.controllerManagerPort}`,
    '--use-service-account-credentials=true',
    `--service-account-private-key-file=${file('service-accounts.key')}`,
    `--root-ca-file=${file('ca.crt')}`,
    `--cluster-signing-cert-file=${file('ca.crt')}`,
    `--cluster-signing-key-file=${file('ca.key')}`,
    '--allocate-node-cidrs=true',
    `--cluster-cidr=${plan.podCIDR}`,
    `--service-cluster-ip-range=${plan.serviceCIDR}`,
    `--cluster-name=${plan.clusterName}`,
    // With its default limit of 20 requests per second, starting its controllers takes five seconds.
    '--kube-api-qps=1000',
    '--kube-api-burst=1000',
    '--node-monitor-grace-period=20s',
    '--node-monitor-period=2s',
    '--profiling=false',
    '--v=1',
  ];
}

export function schedulerCommand(plan: ControlPlanePlan): string[] {
  return [
    plan.programs['kube-scheduler'],
    `--kubeconfig=${join(plan.directory, 'scheduler.kubeconfig')}`,
    '--leader-elect=false',
    '--bind-address=127.0.0.1',
    `--secure-port=${plan.schedulerPort}`,
    '--profiling=false',
    '--v=1',
  ];
}

/** Roles that installers create in a new control plane: here, the API server's access to kubelets. */
export const bootstrapObjects: readonly object[] = [
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name: 'kube-apiserver-kubelet-client' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'system:kubelet-api-admin' },
    subjects: [
      { apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'kube-apiserver-kubelet-client' },
    ],
  },
];
