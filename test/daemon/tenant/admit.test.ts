/** The gate for pods, as tables: what passes, what is dropped, what is refused and how it is said. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { admit } from '../../../daemon/tenant/admit.ts';
import { containerDefaults, nothing, podUsage, shownUsage } from '../../../daemon/tenant/usage.ts';
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
    'FieldNotAllowed',
  ],
  [
    'a hook to another host',
    withContainer({ lifecycle: { preStop: { tcpSocket: { port: 80, host: 'x' } } } }),
    'containers[0].lifecycle.preStop.tcpSocket.host',
    'FieldNotAllowed',
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
    withContainer({ resources: { limits: { cpu: '5' } } }),
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

refusals('restricted wants what the standard wants', () => {
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
/** For how long a pod stays bound to a node that is lost is its user's choice. */
const lostNode = {
  key: 'node.kubernetes.io/unreachable',
  operator: 'Exists',
  effect: 'NoExecute',
  tolerationSeconds: 7,
};
admissions('what only concerns the consumer is dropped, and what this provider decides is set', () => {
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

admissions('an ordinary pod passes whole', () => {
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
  assert.equal(shownUsage(admission.usage), { cpu: '200m', memory: '128Mi', pods: 1 });
});

admissions('a grace without end is cut', () => {
  const admission = admit(pod({ terminationGracePeriodSeconds: 10 ** 9 }), grant, nothing);
  assert.ok(admission.admitted && admission.spec.terminationGracePeriodSeconds === 3600);
});

admissions('a grace of nothing, by which the API server forgets a pod that still runs, is a second', () => {
  for (const terminationGracePeriodSeconds of [0, -1]) {
    const admission = admit(pod({ terminationGracePeriodSeconds }), grant, nothing);
    assert.ok(admission.admitted && admission.spec.terminationGracePeriodSeconds === 1);
  }
});

admissions('NET_RAW is taken from every container, unless the grant gives it', () => {
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

admissions('labels and annotations are bounded in bytes, all together', () => {
  const annotations = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, n) => [`a${n}`, 'x'.repeat(1024)]));
  assert.ok(admit(pod(), grant, nothing, { annotations: annotations(8) }).admitted);
  const admission = admit(pod(), grant, nothing, { annotations: annotations(16) });
  assert.ok(!admission.admitted && admission.field === 'metadata');
});
admissions.run();

const sums = suite('sums of a grant');
sums('containers without limits get a sixteenth of the grant', () => {
  assert.equal(containerDefaults(grant), {
    requests: { cpu: '50m', memory: '64Mi', 'ephemeral-storage': '16Mi' },
    limits: { cpu: '250m', memory: '512Mi', 'ephemeral-storage': '1Gi' },
  });
  const admission = admit(pod(), grant, nothing);
  assert.ok(admission.admitted);
  if (!admission.admitted) return;
  assert.equal(admission.spec.containers[0]?.resources, {
    requests: { cpu: '50m', memory: '64Mi', 'ephemeral-storage': '16Mi' },
    limits: { cpu: '250m', memory: '512Mi', 'ephemeral-storage': '1Gi' },
  });
});
sums('a limit of 0, which is none, is the default', () => {
  const none = { cpu: '0', memory: '0', 'ephemeral-storage': '0' };
  const admission = admit(withContainer({ resources: { limits: none } }), grant, nothing);
  assert.ok(admission.admitted);
  if (!admission.admitted) return;
  assert.equal(admission.spec.containers[0]?.resources?.limits, containerDefaults(grant).limits);
});
sums('disk counts against the grant that names it, with a share for whoever names none', () => {
  const disk: Grant = { ...grant, ephemeralStorage: '16Gi' };
  assert.is(containerDefaults(disk).limits['ephemeral-storage'], '1Gi');
  const large = withContainer({ resources: { limits: { 'ephemeral-storage': '16Gi' } } });
  assert.ok(admit(large, disk, nothing).admitted);
  const second = admit(pod(), disk, { ...nothing, ephemeralStorage: 16n * 1_000_000_000n * (1n << 30n) });
  assert.ok(!second.admitted && second.field === 'ephemeral-storage');
});
sums('every emptyDir has a size, which is never more than the pod’s own', () => {
  const volumes = [
    { name: 'a', emptyDir: {} },
    { name: 'b', emptyDir: { sizeLimit: '10Ti' } },
    { name: 'c', emptyDir: { sizeLimit: '5Mi' } },
    { name: 'd', emptyDir: { medium: 'Memory' } },
    { name: 'e', emptyDir: { sizeLimit: 0 } },
    { name: 'f', configMap: { name: 'c' } },
  ];
  const admission = admit(pod({ volumes }), grant, nothing);
  assert.ok(admission.admitted);
  if (!admission.admitted) return;
  assert.equal(
    admission.spec.volumes?.map(
      (each) => (each['emptyDir'] as { sizeLimit?: string } | undefined)?.sizeLimit,
    ),
    ['1Gi', '1Gi', '5Mi', '512Mi', '1Gi', undefined],
  );
});
sums('a request above the share is its own limit, a limit alone its own request', () => {
  const admission = admit(
    withContainer({ resources: { requests: { cpu: '2' }, limits: { memory: '1Gi' } } }),
    grant,
    nothing,
  );
  assert.ok(admission.admitted);
  if (!admission.admitted) return;
  assert.equal(admission.spec.containers[0]?.resources, {
    requests: { cpu: '2', memory: '1Gi', 'ephemeral-storage': '16Mi' },
    limits: { cpu: '2', memory: '1Gi', 'ephemeral-storage': '1Gi' },
  });
});
const sized = (cpu: string, more: object = {}) => ({ name: cpu, resources: { limits: { cpu } }, ...more });
const table: [string, object[], object[], string][] = [
  ['containers add up', [], [sized('1'), sized('500m')], '1500m'],
  ['init containers come one after another', [sized('2'), sized('3')], [sized('1')], '3'],
  ['sidecars stay', [sized('1', { restartPolicy: 'Always' })], [sized('1')], '2'],
  ['a step beside a sidecar', [sized('1', { restartPolicy: 'Always' }), sized('3')], [sized('1')], '4'],
];
for (const [what, initContainers, containers, cpu] of table) {
  sums(what, () => {
    assert.is(shownUsage(podUsage({ initContainers, containers } as never)).cpu, cpu);
  });
}
sums('the sum of all pods counts, and the last one that fits fits exactly', () => {
  const used = { ...nothing, cpu: 3_000_000_000n, pods: 3 };
  assert.ok(admit(withContainer({ resources: { limits: { cpu: '1' } } }), grant, used).admitted);
  const over = admit(withContainer({ resources: { limits: { cpu: '1001m' } } }), grant, used);
  assert.not.ok(over.admitted);
  if (!over.admitted) assert.match(over.message, /1001m of cpu.*only 1 of the granted 4 are left/);
  assert.not.ok(admit(pod(), grant, { ...nothing, pods: 10 }).admitted);
});
sums.run();
