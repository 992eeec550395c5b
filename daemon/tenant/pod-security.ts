/**
 * The Pod Security Standards, as far as the allow-list does not already enforce them. The namespace's label makes the API
 * server check them too; this check comes earlier and names the field.
 */
import type { Grant } from '../../shared/api/grant.ts';
import type { Container, PodSpec } from '../../shared/kube/types.ts';
import { Refusal } from './fields.ts';

interface Profile {
  type?: string;
}
interface Security {
  privileged?: boolean;
  allowPrivilegeEscalation?: boolean;
  runAsNonRoot?: boolean;
  runAsUser?: number;
  capabilities?: { add?: string[]; drop?: string[] };
  seccompProfile?: Profile;
  appArmorProfile?: Profile;
  seLinuxOptions?: { user?: string; role?: string; type?: string };
  sysctls?: { name: string }[];
}
interface Handler {
  httpGet?: { host?: string };
  tcpSocket?: { host?: string };
}
interface SecurableContainer {
  securityContext?: Security;
  livenessProbe?: Handler;
  readinessProbe?: Handler;
  startupProbe?: Handler;
  lifecycle?: { postStart?: Handler; preStop?: Handler };
}
/** The fields of a PodSpec that the standards restrict. */
export interface Securable {
  securityContext?: Security;
  containers?: SecurableContainer[];
  initContainers?: SecurableContainer[];
  ephemeralContainers?: { securityContext?: Security }[];
}

/** Pod Security Standards, Baseline, "Capabilities". */
const baselineCapabilities = new Set([
  'AUDIT_WRITE',
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'MKNOD',
  'NET_BIND_SERVICE',
  'SETFCAP',
  'SETGID',
  'SETPCAP',
  'SETUID',
  'SYS_CHROOT',
]);
/** Baseline, "Sysctls". */
const safeSysctls = new Set([
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.ip_unprivileged_port_start',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.ping_group_range',
  'net.ipv4.ip_local_reserved_ports',
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
]);
/** Baseline, "SELinux". */
const seLinuxTypes = new Set([
  '',
  'container_t',
  'container_init_t',
  'container_kvm_t',
  'container_engine_t',
]);

/** Throws a Refusal when the pod is beyond the level. */
export function checkPodSecurity(pod: Securable, level: Grant['podSecurity']): void {
  if (level === 'privileged') return;
  const refuse = (field: string, why: string): never => {
    throw new Refusal(field, `${why} (pod security level ${level})`, 'PodSecurity');
  };
  const contexts: [string, Security | undefined, boolean][] = [
    ['securityContext', pod.securityContext, false],
    ...(['initContainers', 'containers', 'ephemeralContainers'] as const).flatMap((list) =>
      (pod[list] ?? []).map((each, index): [string, Security | undefined, boolean] => [
        `${list}[${index}].securityContext`,
        each.securityContext,
        true,
      ]),
    ),
  ];
  for (const [path, context] of contexts) {
    if (context !== undefined) checkBaseline(path, context, refuse);
  }
  for (const list of ['initContainers', 'containers'] as const)
    (pod[list] ?? []).forEach((container, index) => checkHosts(`${list}[${index}]`, container, refuse));
  if (level === 'restricted') checkRestricted(pod, contexts, refuse);
}

/** Baseline, "Host Probes / Lifecycle Hooks": with a host the node itself sends requests to any address. */
function checkHosts(
  path: string,
  container: SecurableContainer,
  refuse: (field: string, why: string) => never,
): void {
  const { livenessProbe, readinessProbe, startupProbe, lifecycle } = container;
  const handlers: [string, Handler | undefined][] = [
    ['livenessProbe', livenessProbe],
    ['readinessProbe', readinessProbe],
    ['startupProbe', startupProbe],
    ['lifecycle.postStart', lifecycle?.postStart],
    ['lifecycle.preStop', lifecycle?.preStop],
  ];
  for (const [name, handler] of handlers)
    for (const action of ['httpGet', 'tcpSocket'] as const)
      if ((handler?.[action]?.host ?? '') !== '')
        refuse(
          `${path}.${name}.${action}.host`,
          'would make the provider’s node probe another host; omit it to probe the pod itself',
        );
}

function checkBaseline(path: string, context: Security, refuse: (field: string, why: string) => never): void {
  if (context.privileged === true) refuse(`${path}.privileged`, 'privileged containers are not allowed');
  for (const capability of context.capabilities?.add ?? []) {
    if (!baselineCapabilities.has(capability)) {
      refuse(`${path}.capabilities.add`, `the capability ${capability.slice(0, 40)} is not allowed`);
    }
  }
  for (const name of ['seccompProfile', 'appArmorProfile'] as const) {
    const type = context[name]?.type;
    // A Localhost profile refers to files of the provider's nodes.
    if (type !== undefined && type !== 'RuntimeDefault')
      refuse(`${path}.${name}.type`, 'only RuntimeDefault is allowed');
  }
  const label = context.seLinuxOptions;
  if (label?.user || label?.role || !seLinuxTypes.has(label?.type ?? '')) {
    refuse(`${path}.seLinuxOptions`, 'user, role, and types other than those of containers are not allowed');
  }
  for (const { name } of context.sysctls ?? []) {
    if (!safeSysctls.has(name)) refuse(`${path}.sysctls`, `the sysctl ${name.slice(0, 60)} is not allowed`);
  }
}

function checkRestricted(
  pod: Securable,
  contexts: readonly [string, Security | undefined, boolean][],
  refuse: (field: string, why: string) => never,
): void {
  const whole = pod.securityContext;
  for (const [path, context, isContainer] of contexts) {
    if (context?.runAsUser === 0) refuse(`${path}.runAsUser`, 'must not be 0');
    if (!isContainer) continue;
    if (context?.allowPrivilegeEscalation !== false)
      refuse(`${path}.allowPrivilegeEscalation`, 'must be false');
    if ((context?.runAsNonRoot ?? whole?.runAsNonRoot) !== true)
      refuse(`${path}.runAsNonRoot`, 'must be true');
    if (!context?.capabilities?.drop?.includes('ALL'))
      refuse(`${path}.capabilities.drop`, 'must include ALL');
    if (context?.capabilities?.add?.some((each) => each !== 'NET_BIND_SERVICE')) {
      refuse(`${path}.capabilities.add`, 'only NET_BIND_SERVICE may be added');
    }
    if ((context?.seccompProfile ?? whole?.seccompProfile)?.type !== 'RuntimeDefault') {
      refuse(`${path}.seccompProfile.type`, 'must be RuntimeDefault');
    }
  }
}

/**
 * Drops the capability NET_RAW from every container, unless the grant allows it. Runtimes grant it by default, and a pod with
 * it can answer ARP for other pods or send from their addresses, on which the isolation relies (the Pod Security Standards
 * drop it only in Restricted). Privileged containers have every capability anyway.
 */
export function withoutRawNetwork(spec: PodSpec, grant: Grant): PodSpec {
  if (grant.rawNetwork === true || grant.podSecurity === 'privileged') return spec;
  const drop = (container: Container): Container => {
    const context = container['securityContext'] as Security | undefined;
    const dropped = context?.capabilities?.drop ?? [];
    if (dropped.some((each) => each === 'ALL' || each === 'NET_RAW')) return container;
    const capabilities = { ...context?.capabilities, drop: [...dropped, 'NET_RAW'] };
    return { ...container, securityContext: { ...context, capabilities } };
  };
  return {
    ...spec,
    containers: spec.containers.map(drop),
    ...(spec.initContainers && { initContainers: spec.initContainers.map(drop) }),
    ...(spec.ephemeralContainers && { ephemeralContainers: spec.ephemeralContainers.map(drop) }),
  };
}
