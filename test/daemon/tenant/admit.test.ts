/** Admission of pods, as tables: what is admitted, dropped or refused, and with which message. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { admit } from '../../../daemon/tenant/admit.ts';
import { nothing, podUsage, shownUsage } from '../../../daemon/tenant/usage.ts';
import type { Grant } from '../../../shared/api/grant.ts';
import { plainLine } from '../../../shared/plain-text.ts';

const grant: Grant = { cpu: '4', memory: '8Gi', pods: 10, podSecurity: 'baseline' };
const container = { name: 'a', image: 'example.com/a:1' };
const pod = (more: object = {}) => ({ containers: [container], ...more });
const withContainer = (more: object) => ({ containers: [{ ...container, ...more }] });

const refusals = suite('refused pods');
const refused: [string, unknown, string, string][] = [
  ['no pod', null, 'pod', 'Malformed'],
  ['a list', [], 'pod', 'Malformed'],
  ['no containers', {}, 'containers', 'Malformed'],
  ['empty containers', { containers: [] }, 'containers', 'Malformed'],
  ['an unknown field', pod({ future: 1 }), 'future', 'FieldNotAllowed'],
  [
    'a prototype’s field',
    JSON.parse('{"containers":[{"name":"a"}],"__proto__":{"x":1}}'),
    '__proto__',
    'FieldNotAllowed',
  ],
  ['an empty field name', pod({ '': 1 }), 'pod', 'Malformed'],
  ['a field name with an escape sequence', pod({ '\u001B[2J': 1 }), 'pod', 'Malformed'],
  [
    'a field name with a bidirectional override',
    withContainer({ '\u202Ex': 1 }),
    'containers[0]',
    'Malformed',
  ],
  ['a field name of 64 letters', pod({ ['x'.repeat(64)]: 1 }), 'pod', 'Malformed'],
  [
    'a resource name with an escape sequence',
    withContainer({ resources: { limits: { '\u009B2J': '1' } } }),
    'containers[0].resources.limits',
    'Malformed',
  ],
  [
    'a value with an escape sequence',
    withContainer({ imagePullPolicy: '\u009B2J' }),
    'containers[0].imagePullPolicy',
    'FieldNotAllowed',
  ],
  ['an inherited name', pod({ constructor: {} }), 'constructor', 'FieldNotAllowed'],
  ['host network', pod({ hostNetwork: true }), 'hostNetwork', 'FieldNotAllowed'],
  ['host processes', pod({ hostPID: true }), 'hostPID', 'FieldNotAllowed'],
  ['host IPC', pod({ hostIPC: true }), 'hostIPC', 'FieldNotAllowed'],
  ['a node', pod({ nodeName: 'n1' }), 'nodeName', 'FieldNotAllowed'],
  ['a node selector', pod({ nodeSelector: { a: 'b' } }), 'nodeSelector', 'FieldNotAllowed'],
  [
    'a priority class',
    pod({ priorityClassName: 'system-node-critical' }),
    'priorityClassName',
    'FieldNotAllowed',
  ],
  ['a runtime class', pod({ runtimeClassName: 'kata' }), 'runtimeClassName', 'FieldNotAllowed'],
  [
    'a privileged ephemeral container',
    pod({
      ephemeralContainers: [{ name: 'debug', image: 'busybox', securityContext: { privileged: true } }],
    }),
    'ephemeralContainers[0].securityContext.privileged',
    'PodSecurity',
  ],
  [
    'an ephemeral container with ports',
    pod({ ephemeralContainers: [{ name: 'debug', image: 'busybox', ports: [{ containerPort: 1 }] }] }),
    'ephemeralContainers[0].ports',
    'FieldNotAllowed',
  ],
  [
    'a host path',
    pod({ volumes: [{ name: 'v', hostPath: { path: '/' } }] }),
    'volumes[0].hostPath',
    'FieldNotAllowed',
  ],
  [
    'a claim',
    pod({ volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'c' } }] }),
    'volumes[0].persistentVolumeClaim',
    'FieldNotAllowed',
  ],
  [
    'a token by projection',
    pod({ volumes: [{ name: 'v', projected: { sources: [{ serviceAccountToken: { path: 't' } }] } }] }),
    'volumes[0].projected.sources[0].serviceAccountToken',
    'FieldNotAllowed',
  ],
  [
    'a bundle by projection',
    pod({ volumes: [{ name: 'v', projected: { sources: [{ clusterTrustBundle: {} }] } }] }),
    'volumes[0].projected.sources[0].clusterTrustBundle',
    'FieldNotAllowed',
  ],
  [
    'a host port',
    withContainer({ ports: [{ containerPort: 80, hostPort: 80 }] }),
    'containers[0].ports[0].hostPort',
    'FieldNotAllowed',
  ],
  [
    'a host address',
    withContainer({ ports: [{ containerPort: 80, hostIP: '10.0.0.1' }] }),
    'containers[0].ports[0].hostIP',
    'FieldNotAllowed',
  ],
  [
    'a probe of another host',
    withContainer({ livenessProbe: { httpGet: { port: 80, host: '169.254.169.254' } } }),
    'containers[0].livenessProbe.httpGet.host',
    'PodSecurity',
  ],
  [
    'a hook to another host',
    withContainer({ lifecycle: { preStop: { tcpSocket: { port: 80, host: 'x' } } } }),
    'containers[0].lifecycle.preStop.tcpSocket.host',
    'PodSecurity',
  ],
  [
    'propagation of mounts',
    withContainer({ volumeMounts: [{ name: 'v', mountPath: '/v', mountPropagation: 'Bidirectional' }] }),
    'containers[0].volumeMounts[0].mountPropagation',
    'FieldNotAllowed',
  ],
  [
    'a device',
    withContainer({ resources: { limits: { 'nvidia.com/gpu': '1' } } }),
    'containers[0].resources.limits.nvidia.com/gpu',
    'FieldNotAllowed',
  ],
  [
    'a negative request',
    withContainer({ resources: { requests: { cpu: '-1' } } }),
    'containers[0].resources.requests.cpu',
    'Malformed',
  ],
  [
    'no quantity',
    withContainer({ resources: { requests: { cpu: 'much' } } }),
    'containers[0].resources.requests.cpu',
    'Malformed',
  ],
  ['text where a list is', withContainer({ command: 'sh' }), 'containers[0].command', 'Malformed'],
  [
    'too many containers',
    { containers: Array.from({ length: 65 }, () => container) },
    'containers',
    'FieldNotAllowed',
  ],
  [
    'a privileged container',
    withContainer({ securityContext: { privileged: true } }),
    'containers[0].securityContext.privileged',
    'PodSecurity',
  ],
  [
    'a capability',
    withContainer({ securityContext: { capabilities: { add: ['SYS_ADMIN'] } } }),
    'containers[0].securityContext.capabilities.add',
    'PodSecurity',
  ],
  [
    'no seccomp',
    pod({ securityContext: { seccompProfile: { type: 'Unconfined' } } }),
    'securityContext.seccompProfile.type',
    'PodSecurity',
  ],
  [
    'a local seccomp profile',
    pod({ securityContext: { seccompProfile: { type: 'Localhost', localhostProfile: 'x' } } }),
    'securityContext.seccompProfile.type',
    'PodSecurity',
  ],
  [
    'a sysctl',
    pod({ securityContext: { sysctls: [{ name: 'kernel.msgmax', value: '1' }] } }),
    'securityContext.sysctls',
    'PodSecurity',
  ],
  [
    'an SELinux user',
    withContainer({ securityContext: { seLinuxOptions: { user: 'root' } } }),
    'containers[0].securityContext.seLinuxOptions',
    'PodSecurity',
  ],
  [
    'a privileged init container',
    pod({ initContainers: [{ name: 'i', securityContext: { privileged: true } }] }),
    'initContainers[0].securityContext.privileged',
    'PodSecurity',
  ],
  [
    'more disk than a container may have unnamed',
    withContainer({ resources: { limits: { 'ephemeral-storage': '2Gi' } } }),
    'containers[0].resources.limits.ephemeral-storage',
    'FieldNotAllowed',
  ],
  [
    'more text than 32 KiB, each of it short enough',
    withContainer({ env: Array.from({ length: 64 }, (_, n) => ({ name: `V${n}`, value: 'x'.repeat(512) })) }),
    'spec',
    'FieldNotAllowed',
  ],
  [
    'more CPU than is granted',
    withContainer({ resources: { requests: { cpu: '5' } } }),
    'cpu',
    'QuotaExceeded',
  ],
  [
    'more memory than is granted',
    withContainer({ resources: { requests: { memory: '9Gi' } } }),
    'memory',
    'QuotaExceeded',
  ],
];
for (const [what, spec, field, reason] of refused) {
  refusals(what, () => {
    const admission = admit(spec, grant, nothing);
    assert.is(admission.admitted, false);
    if (admission.admitted) return;
    assert.is(admission.field, field);
    assert.is(admission.reason, reason);
    assert.ok(admission.message.length > 10 && admission.message.length < 500);
    assert.is(plainLine(admission.message), admission.message, 'an administrator reads it on a terminal');
  });
}

refusals('restricted requires the same as the Pod Security Standard', () => {
  const restricted: Grant = { ...grant, podSecurity: 'restricted' };
  const good = {
    securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    containers: [
      { ...container, securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } } },
    ],
  };
  assert.ok(admit(good, restricted, nothing).admitted);
  assert.not.ok(admit(pod(), restricted, nothing).admitted);
  assert.not.ok(
    admit({ ...good, securityContext: { ...good.securityContext, runAsUser: 0 } }, restricted, nothing)
      .admitted,
  );
  const privileged = withContainer({ securityContext: { privileged: true } });
  assert.ok(admit(privileged, { ...grant, podSecurity: 'privileged' }, nothing).admitted);
});
refusals.run();

const admissions = suite('admitted pods');
/** The pod's user decides how long it stays bound to a lost node. */
const lostNode = {
  key: 'node.kubernetes.io/unreachable',
  operator: 'Exists',
  effect: 'NoExecute',
  tolerationSeconds: 7,
};
admissions('fields that only concern the consumer are dropped, and the provider’s own fields are set', () => {
  const admission = admit(
    pod({
      tolerations: [
        { operator: 'Exists' },
        { key: 'dedicated', operator: 'Exists', effect: 'NoExecute' },
        lostNode,
      ],
      affinity: { nodeAffinity: {} },
      serviceAccountName: 'admin',
      automountServiceAccountToken: true,
      schedulerName: 'mine',
      hostNetwork: false,
      nodeSelector: {},
      priority: 0,
      volumes: [{ name: 'tmp', emptyDir: {} }],
    }),
    grant,
    nothing,
  );
  assert.ok(admission.admitted);
  if (!admission.admitted) return;
  assert.equal(Object.keys(admission.spec).sort(), [
    'automountServiceAccountToken',
    'containers',
    'enableServiceLinks',
    'serviceAccountName',
    'tolerations',
    'volumes',
  ]);
  assert.equal(admission.spec['tolerations'], [lostNode]);
  assert.is(admission.spec.serviceAccountName, 'default');
  assert.is(admission.spec['automountServiceAccountToken'], false);
  assert.equal(admission.spec.volumes, [{ name: 'tmp', emptyDir: { sizeLimit: '1Gi' } }]);
});

admissions('a probe or hook may name a host only at the level privileged', () => {
  const hosts = {
    startupProbe: { tcpSocket: { port: 80, host: '10.0.0.1' } },
    readinessProbe: { httpGet: { port: 80, host: 'example.com' } },
    lifecycle: { postStart: { httpGet: { port: 80, host: 'example.com' } } },
  };
  const admission = admit(withContainer(hosts), { ...grant, podSecurity: 'privileged' }, nothing);
  assert.ok(admission.admitted);
  if (admission.admitted) assert.equal(admission.spec.containers[0]?.['lifecycle'], hosts.lifecycle);
  for (const podSecurity of ['baseline', 'restricted'] as const)
    for (const [name, handler] of Object.entries(hosts)) {
      const refusal = admit(withContainer({ [name]: handler }), { ...grant, podSecurity }, nothing);
      assert.ok(!refusal.admitted && refusal.field.startsWith(`containers[0].${name}`), name);
    }
  const empty = withContainer({ livenessProbe: { httpGet: { port: 80, host: '' } } });
  assert.ok(admit(empty, grant, nothing).admitted);
  const first = { initContainers: [{ name: 'i', ...hosts }], containers: [container] };
  assert.not.ok(admit(first, grant, nothing).admitted);
});

admissions('an ordinary pod is admitted unchanged', () => {
  const whole = {
    ...container,
    command: ['/bin/sh', '-c', 'true'],
    env: [
      { name: 'A', value: '1' },
      { name: 'B', valueFrom: { secretKeyRef: { name: 's', key: 'k' } } },
    ],
    envFrom: [{ configMapRef: { name: 'c' } }],
    ports: [{ name: 'http', containerPort: 80, protocol: 'TCP' }],
    readinessProbe: { httpGet: { path: '/', port: 'http' }, periodSeconds: 5 },
    volumeMounts: [{ name: 'c', mountPath: '/c', readOnly: true }],
    resources: {
      requests: { cpu: '100m', memory: '64Mi', 'ephemeral-storage': '8Mi' },
      limits: { cpu: '200m', memory: '128Mi', 'ephemeral-storage': '64Mi' },
    },
    securityContext: { runAsUser: 1000, capabilities: { drop: ['ALL'] } },
  };
  const admission = admit(
    {
      containers: [whole],
      volumes: [{ name: 'c', configMap: { name: 'c' } }],
      restartPolicy: 'Always',
      hostname: 'h',
    },
    grant,
    nothing,
  );
  assert.ok(admission.admitted);
  if (!admission.admitted) return;
  assert.equal(admission.spec.containers, [whole]);
  assert.equal(shownUsage(admission.usage), { cpu: '100m', memory: '64Mi', pods: 1 });
});

admissions('an excessive grace period is limited', () => {
  const admission = admit(pod({ terminationGracePeriodSeconds: 10 ** 9 }), grant, nothing);
  assert.ok(admission.admitted && admission.spec.terminationGracePeriodSeconds === 3600);
});

admissions(
  'a grace period of zero, with which the API server would delete a running pod’s object, becomes a second',
  () => {
    for (const terminationGracePeriodSeconds of [0, -1]) {
      const admission = admit(pod({ terminationGracePeriodSeconds }), grant, nothing);
      assert.ok(admission.admitted && admission.spec.terminationGracePeriodSeconds === 1);
    }
  },
);

admissions('NET_RAW is dropped from every container, unless the grant has it', () => {
  const spec = {
    initContainers: [{ name: 'i', image: 'x' }],
    containers: [
      container,
      { ...container, name: 'b', securityContext: { runAsUser: 7, capabilities: { drop: ['MKNOD'] } } },
      { ...container, name: 'c', securityContext: { capabilities: { drop: ['ALL'] } } },
    ],
  };
  const dropped = (more: Partial<Grant>) => {
    const admission = admit(spec, { ...grant, ...more }, nothing);
    if (!admission.admitted) throw new Error(admission.message);
    return [...(admission.spec.initContainers ?? []), ...admission.spec.containers].map((each) => {
      const context = each['securityContext'] as { capabilities?: { drop?: string[] } } | undefined;
      return context?.capabilities?.drop?.join() ?? '';
    });
  };
  assert.equal(dropped({}), ['NET_RAW', 'NET_RAW', 'MKNOD,NET_RAW', 'ALL']);
  assert.equal(dropped({ rawNetwork: true }), ['', '', 'MKNOD', 'ALL']);
  assert.equal(dropped({ podSecurity: 'privileged' }), ['', '', 'MKNOD', 'ALL']);
});

admissions('the total size of labels and annotations is bounded', () => {
  const annotations = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, n) => [`a${n}`, 'x'.repeat(1024)]));
  assert.ok(admit(pod(), grant, nothing, { annotations: annotations(8) }).admitted);
  const admission = admit(pod(), grant, nothing, { annotations: annotations(16) });
  assert.ok(!admission.admitted && admission.field === 'metadata');
});
admissions.run();

const sums = suite('sums of a grant');
const core = 1_000_000_000n;
const gibibyte = core << 30n;
type Resources = { requests?: Record<string, string>; limits?: Record<string, string> };
/** Resources of the only container of an admitted pod. */
function given(resources: Resources | undefined, of: Grant = grant): Resources {
  const admission = admit(withContainer(resources === undefined ? {} : { resources }), of, nothing);
  if (!admission.admitted) throw new Error(admission.message);
  return admission.spec.containers[0]?.resources ?? {};
}
/** As computed by Kubernetes (`ComputePodQOS`): zero quantities do not count. */
const isBestEffort = ({ requests = {}, limits = {} }: Resources) =>
  ['cpu', 'memory'].every((name) => (requests[name] ?? '0') === '0' && limits[name] === undefined);

const disk = { 'ephemeral-storage': '1Gi' };
const none = { cpu: '0', memory: '0', 'ephemeral-storage': '0' };
const filled: [what: string, Partial<Grant>, Resources | undefined, Resources][] = [
  ['nothing is invented but a limit of the disk', {}, undefined, { requests: none, limits: disk }],
  ['a limit of 0 is none', {}, { limits: none }, { requests: none, limits: disk }],
  [
    'a request stays without a limit',
    {},
    { requests: { cpu: '2' } },
    { requests: { ...none, cpu: '2' }, limits: disk },
  ],
  [
    'a limit alone is the request too, as in Kubernetes',
    {},
    { limits: { memory: '1Gi' } },
    { requests: { ...none, memory: '1Gi' }, limits: { ...disk, memory: '1Gi' } },
  ],
  [
    'limits are free',
    {},
    { requests: { cpu: '1' }, limits: { cpu: '400' } },
    {
      requests: { ...none, cpu: '1' },
      limits: { ...disk, cpu: '400' },
    },
  ],
  [
    'the grant’s own default limits do not become requests',
    { defaultLimits: { cpu: '500m', memory: '256Mi', ephemeralStorage: '100Mi' } },
    undefined,
    { requests: none, limits: { cpu: '500m', memory: '256Mi', 'ephemeral-storage': '100Mi' } },
  ],
  [
    'a request above the default limit is its own limit',
    { defaultLimits: { memory: '256Mi' } },
    { requests: { memory: '1Gi' } },
    { requests: { ...none, memory: '1Gi' }, limits: { ...disk, memory: '1Gi' } },
  ],
  [
    'a small grant of disk is the default limit',
    { ephemeralStorage: '100Mi' },
    undefined,
    { requests: none, limits: { 'ephemeral-storage': '100Mi' } },
  ],
  [
    'a large one is not, and larger limits may be asked for',
    { ephemeralStorage: '16Gi' },
    { requests: { 'ephemeral-storage': '2Gi' }, limits: { 'ephemeral-storage': '16Gi' } },
    { requests: { ...none, 'ephemeral-storage': '2Gi' }, limits: { 'ephemeral-storage': '16Gi' } },
  ],
  [
    'devices and huge pages that are granted',
    {
      extendedResources: [
        { name: 'nvidia.com/gpu', quantity: '2' },
        { name: 'hugepages-2Mi', quantity: '64Mi' },
      ],
    },
    { limits: { 'nvidia.com/gpu': '1', 'hugepages-2Mi': '32Mi' } },
    {
      requests: { ...none, 'nvidia.com/gpu': '1', 'hugepages-2Mi': '32Mi' },
      limits: { ...disk, 'nvidia.com/gpu': '1', 'hugepages-2Mi': '32Mi' },
    },
  ],
];
for (const [what, more, asked, expected] of filled)
  sums(what, () => {
    assert.equal(given(asked, { ...grant, ...more }), expected);
  });
sums('a pod that is BestEffort at home is BestEffort here', () => {
  assert.ok(isBestEffort(given(undefined)));
  assert.not.ok(isBestEffort(given(undefined, { ...grant, defaultLimits: { memory: '1Gi' } })));
});

const gpus = { extendedResources: [{ name: 'nvidia.com/gpu', quantity: '2' }] };
const used = (requests: Record<string, bigint>, limits: Record<string, bigint> = {}) => ({
  requests,
  limits,
  pods: 3,
});
const hard = { enforcement: 'Hard' } as const;
const both = (cpu: string) => ({ requests: { cpu: '0' }, limits: { cpu, memory: '1Gi' } });
const counted: [
  what: string,
  Partial<Grant>,
  Resources,
  ReturnType<typeof used>,
  refused: RegExp | undefined,
][] = [
  ['Soft: the last request that fits', {}, { requests: { cpu: '1' } }, used({ cpu: 3n * core }), undefined],
  [
    'Soft: a request beyond the rest',
    {},
    { requests: { cpu: '1001m' } },
    used({ cpu: 3n * core }),
    /requests 1001m of cpu, but only 1 of the granted 4 are left/,
  ],
  ['Soft: limits beyond the grant', {}, both('100'), used({}, { cpu: 1000n * core }), undefined],
  ['Soft: nothing requested fits a full grant', {}, {}, used({ cpu: 5n * core }), undefined],
  ['Hard: limits within the rest', hard, both('1'), used({}, { cpu: 3n * core }), undefined],
  [
    'Hard: limits beyond the rest',
    hard,
    both('2'),
    used({}, { cpu: 3n * core }),
    /limits of the pod are 2 of cpu/,
  ],
  [
    'Hard: no limit',
    hard,
    { limits: { cpu: '1' } },
    nothing,
    /limits.memory: must be set: the grant counts limits/,
  ],
  [
    'Hard: the default limit counts',
    { ...hard, defaultLimits: { cpu: '1', memory: '5Gi' } },
    {},
    used({}, { memory: 4n * gibibyte }),
    /limits of the pod are 5Gi of memory, but only 4Gi/,
  ],
  [
    'None: requests beyond the grant',
    { enforcement: 'None' },
    { requests: { cpu: '100' } },
    used({}),
    undefined,
  ],
  [
    'None: devices are counted all the same',
    { ...gpus, enforcement: 'None' },
    { limits: { 'nvidia.com/gpu': '3' } },
    used({}),
    /requests 3 of nvidia.com\/gpu, but only 2/,
  ],
  [
    'the last device is taken',
    gpus,
    { limits: { 'nvidia.com/gpu': '1' } },
    used({ 'nvidia.com/gpu': 2n * core }),
    /only 0 of the granted 2 are left/,
  ],
  ['half a device', gpus, { limits: { 'nvidia.com/gpu': '500m' } }, nothing, /must be a whole number/],
  [
    'a device that is requested and not limited',
    gpus,
    { requests: { 'nvidia.com/gpu': '1' } },
    nothing,
    /must be requested by a limit/,
  ],
  [
    'a device of another kind',
    gpus,
    { limits: { 'amd.com/gpu': '1' } },
    nothing,
    /not a resource of the grant \(cpu, memory, ephemeral-storage, nvidia.com\/gpu\)/,
  ],
  [
    'more disk for one container than all may request',
    { ephemeralStorage: '10Gi' },
    { requests: { 'ephemeral-storage': '1Gi' }, limits: { 'ephemeral-storage': '11Gi' } },
    nothing,
    /is more than 10Gi, all that is granted/,
  ],
  [
    'disk that others requested',
    { ephemeralStorage: '10Gi' },
    { requests: { 'ephemeral-storage': '3Gi' } },
    used({ 'ephemeral-storage': 8n * gibibyte }),
    /only 2Gi of the granted 10Gi/,
  ],
];
for (const [what, more, resources, ledger, refusal] of counted)
  sums(what, () => {
    const admission = admit(withContainer({ resources }), { ...grant, ...more }, ledger);
    if (refusal === undefined) assert.ok(admission.admitted, admission.admitted ? '' : admission.message);
    else if (admission.admitted) assert.unreachable('it is admitted');
    else assert.match(admission.message, refusal);
  });
sums('pods are counted in every mode', () => {
  for (const enforcement of ['None', 'Soft', 'Hard'] as const) {
    const admission = admit(
      withContainer({ resources: both('1') }),
      { ...grant, enforcement },
      { ...nothing, pods: 10 },
    );
    assert.ok(!admission.admitted && admission.field === 'pods');
  }
});

sums('every emptyDir has a size limit, at most that of the pod', () => {
  const volumes = [
    { name: 'a', emptyDir: {} },
    { name: 'b', emptyDir: { sizeLimit: '10Ti' } },
    { name: 'c', emptyDir: { sizeLimit: '5Mi' } },
    { name: 'd', emptyDir: { medium: 'Memory' } },
    { name: 'e', emptyDir: { sizeLimit: 0 } },
    { name: 'f', configMap: { name: 'c' } },
    { name: 'g', emptyDir: { medium: 'HugePages-2Mi' } },
  ];
  const sizes = (resources: Resources) => {
    const admission = admit({ ...withContainer({ resources }), volumes }, grant, nothing);
    if (!admission.admitted) throw new Error(admission.message);
    return admission.spec.volumes?.map(
      (each) => (each['emptyDir'] as { sizeLimit?: string } | undefined)?.sizeLimit,
    );
  };
  assert.equal(
    sizes({}),
    ['1Gi', '1Gi', '5Mi', '8Gi', '1Gi', undefined, undefined],
    'memory: all that is granted',
  );
  assert.is(sizes({ limits: { memory: '64Mi' } })?.[3], '64Mi');
});

const sized = (cpu: string, more: object = {}) => ({ name: cpu, resources: { requests: { cpu } }, ...more });
const table: [string, object[], object[], object, string][] = [
  ['containers add up', [], [sized('1'), sized('500m')], {}, '1500m'],
  ['init containers come one after another', [sized('2'), sized('3')], [sized('1')], {}, '3'],
  ['sidecars stay', [sized('1', { restartPolicy: 'Always' })], [sized('1')], {}, '2'],
  ['a step beside a sidecar', [sized('1', { restartPolicy: 'Always' }), sized('3')], [sized('1')], {}, '4'],
  ['overhead of a runtime', [], [sized('1')], { overhead: { cpu: '250m' } }, '1250m'],
  ['what is given for the pod', [], [sized('1')], { resources: { requests: { cpu: '3' } } }, '3'],
];
for (const [what, initContainers, containers, more, cpu] of table) {
  sums(what, () => {
    assert.is(shownUsage(podUsage({ initContainers, containers, ...more } as never)).cpu, cpu);
  });
}
sums('a request is not a limit, and overhead adds none', () => {
  const usage = podUsage({ containers: [sized('1')] as never, overhead: { cpu: '1' } });
  assert.equal(usage, { requests: { cpu: 2n * core }, limits: { cpu: 0n }, pods: 1 });
});
sums('devices are reported as used', () => {
  const shown = shownUsage(used({ 'nvidia.com/gpu': core }), gpus);
  assert.equal(shown.extendedResources, [{ name: 'nvidia.com/gpu', quantity: '1' }]);
});
sums.run();
