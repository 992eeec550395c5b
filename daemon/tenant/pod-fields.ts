/** The fields of a PodSpec that a consumer may use, and the handling of the others (Kubernetes API, v1.PodSpec). */
import { lostNodeTolerations } from '../../shared/lost-node-tolerations.ts';
import {
  anything,
  clamped,
  dropped,
  flag,
  list,
  object,
  oneOf,
  quantityMap,
  refused,
  text,
  whole,
  wholeOrText,
  type Rule,
} from './fields.ts';

/** Maximum grace period: an hour. */
const longestGraceSeconds = 3600;
/** With 0 the API server deletes a pod while its containers still run (Kubernetes, Pod Lifecycle, forced termination). */
const shortestGraceSeconds = 1;

const keyReference = object({ name: text, key: text, optional: flag });
const items = list(object({ key: text, path: text, mode: whole }));
const fieldReference = object({ apiVersion: text, fieldPath: text });
const resourceReference = object({ containerName: text, resource: text, divisor: wholeOrText });
const downwardItems = list(
  object({ path: text, fieldRef: fieldReference, resourceFieldRef: resourceReference, mode: whole }),
);

const environment = list(
  object({
    name: text,
    value: text,
    valueFrom: object({
      fieldRef: fieldReference,
      resourceFieldRef: resourceReference,
      configMapKeyRef: keyReference,
      secretKeyRef: keyReference,
    }),
  }),
  1024,
);
const environmentFrom = list(
  object({
    prefix: text,
    configMapRef: object({ name: text, optional: flag }),
    secretRef: object({ name: text, optional: flag }),
  }),
);

const httpGet = object({
  path: text,
  port: wholeOrText,
  // Whether there may be one is decided by the pod security level (`pod-security.ts`).
  host: text,
  scheme: oneOf('HTTP', 'HTTPS'),
  httpHeaders: list(object({ name: text, value: text })),
});
const command = object({ command: list(text) });
const tcpSocket = object({ port: wholeOrText, host: text });
const probe = object({
  exec: command,
  httpGet,
  tcpSocket,
  grpc: object({ port: whole, service: text }),
  initialDelaySeconds: whole,
  timeoutSeconds: whole,
  periodSeconds: whole,
  successThreshold: whole,
  failureThreshold: whole,
  terminationGracePeriodSeconds: clamped(1, longestGraceSeconds),
});
const hook = object({ exec: command, httpGet, tcpSocket, sleep: object({ seconds: whole }) });

const profile = object({ type: text, localhostProfile: text });
const seLinux = object({ user: text, role: text, type: text, level: text });
const noWindows = refused('requires Windows, which this provider does not run');

/** The pod security level decides which values are allowed (`pod-security.ts`). */
const containerSecurity = object({
  privileged: flag,
  allowPrivilegeEscalation: flag,
  readOnlyRootFilesystem: flag,
  runAsNonRoot: flag,
  runAsUser: whole,
  runAsGroup: whole,
  capabilities: object({ add: list(text), drop: list(text) }),
  seccompProfile: profile,
  appArmorProfile: profile,
  seLinuxOptions: seLinux,
  procMount: oneOf('Default'),
  windowsOptions: noWindows,
});
const podSecurity = object({
  runAsNonRoot: flag,
  runAsUser: whole,
  runAsGroup: whole,
  fsGroup: whole,
  fsGroupChangePolicy: oneOf('Always', 'OnRootMismatch'),
  supplementalGroups: list(whole),
  supplementalGroupsPolicy: oneOf('Merge', 'Strict'),
  sysctls: list(object({ name: text, value: text })),
  seccompProfile: profile,
  appArmorProfile: profile,
  seLinuxOptions: seLinux,
  seLinuxChangePolicy: oneOf('Recursive', 'MountOption'),
  windowsOptions: noWindows,
});

/** Fields of every container, including ephemeral ones (core/v1, EphemeralContainerCommon). */
const commonFields = {
  name: text,
  image: text,
  imagePullPolicy: oneOf('Always', 'IfNotPresent', 'Never'),
  command: list(text, 4096),
  args: list(text, 4096),
  workingDir: text,
  env: environment,
  envFrom: environmentFrom,
  volumeMounts: list(
    object({
      name: text,
      mountPath: text,
      subPath: text,
      subPathExpr: text,
      readOnly: flag,
      recursiveReadOnly: oneOf('Disabled', 'IfPossible', 'Enabled'),
      mountPropagation: oneOf('None'),
    }),
  ),
  volumeDevices: refused('block devices are not supported by this provider'),
  terminationMessagePath: text,
  terminationMessagePolicy: oneOf('File', 'FallbackToLogsOnError'),
  securityContext: containerSecurity,
  stdin: flag,
  stdinOnce: flag,
  tty: flag,
};
const container = object({
  ...commonFields,
  ports: list(
    object({
      name: text,
      containerPort: whole,
      protocol: oneOf('TCP', 'UDP', 'SCTP'),
      hostPort: refused('would occupy a port of the provider’s node; use a Service'),
      hostIP: refused('would occupy an address of the provider’s node; use a Service'),
    }),
  ),
  resources: object({
    requests: quantityMap,
    limits: quantityMap,
    claims: refused('resource claims are not supported by this provider'),
  }),
  resizePolicy: list(object({ resourceName: text, restartPolicy: oneOf('NotRequired', 'RestartContainer') })),
  // Sidecars (KEP-753).
  restartPolicy: oneOf('Always'),
  restartPolicyRules: refused('is not admitted by this provider'),
  livenessProbe: probe,
  readinessProbe: probe,
  startupProbe: probe,
  lifecycle: object({ postStart: hook, preStop: hook, stopSignal: text }),
});
/** Without ports, probes, resources and hooks, which the API server refuses for ephemeral containers. */
const ephemeralContainer = object({ ...commonFields, targetContainerName: text });

/** Huge pages are mounted by their size where a pod has several. */
const medium: Rule = (value, path) =>
  typeof value === 'string' && /^HugePages-[1-9][0-9]{0,5}(Ki|Mi|Gi)$/.test(value)
    ? value
    : oneOf('', 'Memory', 'HugePages')(value, path);

const notOfferedVolume = refused(
  'volumes of this type are not supported; supported: emptyDir, configMap, secret, downwardAPI, projected',
);
const volumeItems = { items, defaultMode: whole, optional: flag };
const volume = object({
  name: text,
  emptyDir: object({ medium, sizeLimit: wholeOrText }),
  configMap: object({ name: text, ...volumeItems }),
  secret: object({ secretName: text, ...volumeItems }),
  downwardAPI: object({ items: downwardItems, defaultMode: whole }),
  projected: object({
    defaultMode: whole,
    sources: list(
      object({
        configMap: object({ name: text, items, optional: flag }),
        secret: object({ name: text, items, optional: flag }),
        downwardAPI: object({ items: downwardItems }),
        serviceAccountToken: refused('tokens of the provider’s API server are not issued to consumers'),
      }),
    ),
  }),
  hostPath: refused('files of the provider’s nodes are not accessible'),
  persistentVolumeClaim: notOfferedVolume,
  ephemeral: notOfferedVolume,
  csi: notOfferedVolume,
  nfs: notOfferedVolume,
  image: notOfferedVolume,
});

/**
 * How long a pod stays bound to a lost node is the user's choice; other tolerations concern the consumer's nodes, since
 * taints here belong to the provider.
 */
const ofLostNodes: Rule = (value, path) => {
  const kept = lostNodeTolerations(list(anything)(value, path));
  return kept.length === 0 ? undefined : kept;
};

/**
 * The whole PodSpec. `emptyDir: {}` stays an object. Scheduling fields are dropped, since the provider schedules, but fields
 * that would bypass its scheduler are refused.
 */
export const podFields: Rule = object({
  containers: list(container, 64),
  initContainers: list(container, 64),
  ephemeralContainers: list(ephemeralContainer, 32),
  volumes: list(volume),
  restartPolicy: oneOf('Always', 'OnFailure', 'Never'),
  terminationGracePeriodSeconds: clamped(shortestGraceSeconds, longestGraceSeconds),
  activeDeadlineSeconds: whole,
  hostname: text,
  subdomain: text,
  setHostnameAsFQDN: flag,
  hostAliases: list(object({ ip: text, hostnames: list(text) })),
  dnsPolicy: oneOf('ClusterFirst', 'Default', 'None'),
  dnsConfig: object({
    nameservers: list(text, 3),
    searches: list(text, 32),
    options: list(object({ name: text, value: text })),
  }),
  enableServiceLinks: flag,
  shareProcessNamespace: flag,
  imagePullSecrets: list(object({ name: text })),
  securityContext: podSecurity,
  os: object({ name: oneOf('linux') }),

  // Decided by this provider.
  tolerations: ofLostNodes,
  affinity: dropped,
  topologySpreadConstraints: dropped,
  schedulerName: dropped,
  schedulingGates: dropped,
  priority: dropped,
  preemptionPolicy: dropped,
  readinessGates: dropped,
  overhead: dropped,
  serviceAccountName: dropped,
  serviceAccount: dropped,
  automountServiceAccountToken: dropped,
  hostUsers: dropped,

  hostNetwork: refused('the network of the provider’s nodes is not accessible'),
  hostPID: refused('the processes of the provider’s nodes are not accessible'),
  hostIPC: refused('the IPC of the provider’s nodes is not accessible'),
  nodeName: refused('would bypass the provider’s scheduler'),
  nodeSelector: refused('node labels belong to the provider; select the virtual node instead'),
  priorityClassName: refused('priority classes belong to the provider'),
  runtimeClassName: refused('runtime classes belong to the provider'),
  resourceClaims: refused('resource claims are not supported by this provider'),
  resources: refused('pod-level resources are not admitted by this provider; set them per container'),
  hostnameOverride: refused('is not admitted by this provider; use hostname'),
});
