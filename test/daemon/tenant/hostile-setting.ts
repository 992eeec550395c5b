/**
 * A hostile consumer with a valid identity, against the provider's real API server with the chart's rights and policies, and
 * the tenant feature with the rights of the chart. Each attempt must be stopped, and the table records by what.
 */
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { kind, silentLog, type AnyObject, type KubeClient } from '../../../daemon/kube/index.ts';
import { runControllerWith } from '../../../daemon/roles/controller.ts';
import { runTenant } from '../../../daemon/tenant/index.ts';
import type { Condition } from '../../../shared/api/meta.ts';
import type { IncomingPeering } from '../../../shared/api/peerings.ts';
import { findCondition } from '../../../shared/conditions.ts';
import { tenantNamespace } from '../../../shared/names.ts';
import { ensurePrograms, upControlPlane, type ControlPlane } from '../../testbed/index.ts';
import { run } from '../../testbed/run.ts';
import { freePort } from '../clusters.ts';
import { eventually } from '../../support/eventually.ts';
import { connectKube } from '../../../daemon/clients/kubernetes/index.ts';

const chart = join(import.meta.dirname, '..', '..', '..', 'deploy', 'chart');
export const hawserNamespace = 'hawser-system';
export const apiVersion = 'hawser.dev/v1alpha1';
export const mallory = {
  id: 'mallory-aaaaaa',
  twin: 'shop-mallory-aaaaaa',
  tenant: tenantNamespace('mallory-aaaaaa', 'default'),
};
export const alice = {
  id: 'alice-bbbbbb',
  twin: 'bank-alice-bbbbbb',
  tenant: tenantNamespace('alice-bbbbbb', 'default'),
};
export const grantedPods = 5;

export let plane: ControlPlane;
/** A client of the provider's administrator. */
export let admin: KubeClient;
/** A client of the hostile consumer. */
export let hostile: KubeClient;
let metricsPort: number;
const ending = new AbortController();
export const { signal } = ending;
let controller: Promise<void> = Promise.resolve();
const table: [attempt: string, stoppedBy: string][] = [];

const peeringOf = (who: typeof mallory): IncomingPeering => ({
  apiVersion,
  kind: 'IncomingPeering',
  metadata: { name: who.id },
  spec: {
    remoteCluster: who.id,
    peering: 'default',
    grant: { cpu: '2', memory: '4Gi', pods: grantedPods, podSecurity: 'baseline' },
    desired: 'Active',
    tokenName: `token-of-${who.id}`,
  },
});
export const twinOf = (who: typeof mallory, name: string, namespace: string): AnyObject => ({
  apiVersion,
  kind: 'TwinNamespace',
  metadata: { name, namespace: who.tenant },
  spec: { sourceNamespace: name, sourceUID: 'u1', namespace },
});
export const container = { name: 'main', image: 'example.com/a:1' };
export const shadowOf = (
  who: typeof mallory,
  name: string,
  pod: object = {},
  labels: object = {},
): AnyObject => ({
  apiVersion,
  kind: 'ShadowPod',
  metadata: { name, namespace: who.twin },
  spec: { podUID: `uid-${name}`, labels, pod: { containers: [container], ...pod } },
});
const tunnelOf = (who: typeof mallory, mapped: string): AnyObject => ({
  apiVersion,
  kind: 'Tunnel',
  metadata: { name: who.id },
  spec: {
    remoteCluster: who.id,
    consumer: false,
    provider: true,
    remotePodCIDRs: ['10.244.0.0/16'],
    remoteExternalCIDR: '100.65.0.0/20',
    remoteTunnelEndpoints: [],
    remaps: [{ real: '10.244.0.0/16', mapped, state: 'InUse' }],
    remoteRemaps: [],
    mtu: 1380,
    presharedKeyRevision: '1',
  },
});

async function clientOf(who: typeof mallory): Promise<KubeClient> {
  const answer = await eventually('an identity', () =>
    admin
      .createSubresource<{ status: { token: string } }>(
        { kind: kind.serviceAccount, namespace: who.tenant, name: 'consumer' },
        'token',
        {
          apiVersion: 'authentication.k8s.io/v1',
          kind: 'TokenRequest',
          spec: {
            expirationSeconds: 3600,
            boundObjectRef: { apiVersion: 'v1', kind: 'Secret', name: 'hawser-identity' },
          },
        },
        signal,
      )
      .catch(() => undefined),
  );
  return connectKube({ url: plane.url, ca: plane.ca, token: () => answer.status.token });
}

/** Sends one request as the hostile consumer; returns the API server's answer. */
export async function send(
  method: string,
  path: string,
  body?: object,
  more: { contentType?: string; headers?: Record<string, string> } = {},
  by: KubeClient = hostile,
): Promise<{ status: number; message: string; text: string }> {
  const { status, text } = await by.text(
    method,
    path,
    { ...more, maximumBytes: 4 << 20, ...(body !== undefined && { body: JSON.stringify(body) }) },
    signal,
  );
  let message = text.slice(0, 300);
  try {
    message = (JSON.parse(text) as { message?: string }).message ?? '';
  } catch {
    // Not every answer is JSON.
  }
  return { status, message, text };
}

export function recordAttempt(attempt: string, stoppedBy: string): void {
  table.push([attempt, stoppedBy]);
}

/** Asserts that the API server refuses a request, by RBAC or by a policy. */
export async function assertRefused(
  attempt: string,
  pattern: RegExp,
  request: Promise<{ status: number; message: string }>,
): Promise<void> {
  const { status, message } = await request;
  assert.ok([403, 422, 400].includes(status), `${attempt}: ${status} ${message}`);
  assert.match(message, pattern, attempt);
  const by = message.includes('ValidatingAdmissionPolicy')
    ? `ValidatingAdmissionPolicy: ${message.replace(/^.* denied request: /, '')}`
    : /cannot \w+ resource|cannot impersonate/.test(message)
      ? 'RBAC'
      : `API server: ${message.slice(-100)}`;
  recordAttempt(attempt, by);
}

export const core = (namespace: string, resource: string) => `/api/v1/namespaces/${namespace}/${resource}`;
export const group = (name: string, namespace: string, resource: string) =>
  `/apis/${name}/namespaces/${namespace}/${resource}`;
export const merge = { contentType: 'application/merge-patch+json' };

/** A provider with two tenants with a twin namespace each; the honest one has a pod, at 10.244.1.99. */
export async function startHostileConsumer(): Promise<void> {
  plane = await upControlPlane({ name: 'hostile', controllerManager: true });
  const { helm } = await ensurePrograms({ only: ['helm'] });
  await run([helm, 'install', 'hawser', chart, '-n', hawserNamespace, '--create-namespace'], {
    env: { KUBECONFIG: plane.kubeconfig },
  });
  await plane.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=30s']);
  admin = connectKube({ url: plane.url, ca: plane.ca, token: () => plane.adminToken });
  await admin.patch(
    { kind: kind.localCluster, name: 'self' },
    {
      status: {
        clusterID: 'oak-cccccc',
        podCIDRs: ['10.244.0.0/16'],
        serviceCIDRs: ['10.96.0.0/16'],
        nodeCIDRs: ['192.0.2.0/24'],
      },
    },
    { type: 'merge', subresource: 'status' },
    signal,
  );
  const token = await plane.kubectl(['create', 'token', 'hawser-controller', '-n', hawserNamespace]);
  metricsPort = await freePort();
  controller = runControllerWith(
    {
      kube: connectKube({ url: plane.url, ca: plane.ca, token: () => token.trim() }),
      log: silentLog,
      environment: { HAWSER_NAMESPACE: hawserNamespace, POD_NAME: 'controller' },
      features: { tenant: runTenant },
      probePort: metricsPort,
    },
    signal,
  );
  controller.catch(() => undefined);
  for (const [who, mapped] of [
    [mallory, '10.128.0.0/16'],
    [alice, '10.129.0.0/16'],
  ] as const) {
    await admin.create(tunnelOf(who, mapped), signal);
    await admin.create(peeringOf(who), signal);
  }
  hostile = await clientOf(mallory);
  const honest = await clientOf(alice);
  const beginTwin = async (by: KubeClient, who: typeof mallory, source: string) => {
    await eventually('rights in the tenant namespace', () =>
      by.create(twinOf(who, source, who.twin), signal).catch(() => undefined),
    );
    await eventually('rights in the twin', async () =>
      by.list(kind.shadowPod, { namespace: who.twin }, signal).catch(() => undefined),
    );
  };
  await beginTwin(hostile, mallory, 'shop');
  await beginTwin(honest, alice, 'bank');
  await honest.create(shadowOf(alice, 'ledger'), signal);
  const usage = await eventually('the pod of another tenant', () =>
    admin.get({ kind: kind.pod, namespace: alice.twin, name: 'ledger' }, signal),
  );
  await admin.patch(
    { kind: kind.pod, namespace: alice.twin, name: usage.metadata.name },
    { status: { phase: 'Running', podIP: '10.244.1.99', podIPs: [{ ip: '10.244.1.99' }] } },
    { type: 'merge', subresource: 'status' },
    signal,
  );
  honest.close();
}

export async function stopHostileConsumer(): Promise<void> {
  ending.abort(new Error('the test has ended'));
  await controller.catch(() => undefined);
  hostile?.close();
  admin?.close();
  await plane?.stop();
}

/** Gets another identity for the hostile consumer, after its access was restored. */
export async function renewIdentity(): Promise<void> {
  hostile.close();
  hostile = await clientOf(mallory);
}

interface Rule {
  verbs: string[];
  apiGroups: string[];
  resources: string[];
  resourceNames?: string[];
}

/** All rights of the hostile consumer in a namespace, as reported by the API server. */
export async function rulesIn(namespace: string): Promise<string[]> {
  const { text } = await send('POST', '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews', {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectRulesReview',
    spec: { namespace },
  });
  const { status } = JSON.parse(text) as { status: { resourceRules: Rule[]; incomplete: boolean } };
  assert.is(status.incomplete, false);
  const all = status.resourceRules.flatMap(({ verbs, apiGroups, resources, resourceNames = ['*'] }) =>
    verbs.flatMap((verb) =>
      apiGroups.flatMap((apiGroup) =>
        resources.flatMap((resource) =>
          resourceNames.map((name) => `${verb} ${apiGroup}/${resource} ${name}`),
        ),
      ),
    ),
  );
  return [...new Set(all)].sort();
}

/** The peering's condition about its consumer's compliance with the grant. */
export async function withinGrant(who: typeof mallory): Promise<Condition | undefined> {
  const found = await admin.get({ kind: kind.incomingPeering, name: who.id }, signal);
  return findCondition(found?.status?.conditions, 'WithinGrant');
}

/** How many such refusals the controller has counted for the hostile consumer. */
export async function refusalsCounted(what: string): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  const line = new RegExp(
    `^hawser_refusals_total\\{remote_cluster="${mallory.id}",reason="${what}"\\} (\\d+)$`,
    'm',
  );
  return Number(line.exec(metrics)?.[1] ?? 0);
}

/** The sum of matching values in the API server's own metrics; the pattern's group is the value. */
export async function countedByServer(pattern: RegExp): Promise<number> {
  const { text } = await send('GET', '/metrics', undefined, {}, admin);
  return [...text.matchAll(pattern)].reduce((total, [, value]) => total + Number(value), 0);
}

/** Prints what stopped each attempt; there must be at least so many. */
export function printAttempts(atLeast: number): void {
  const width = Math.max(...table.map(([attempt]) => attempt.length));
  console.log(`\n${table.map(([attempt, by]) => `  ${attempt.padEnd(width)}  ${by}`).join('\n')}`);
  assert.ok(table.length >= atLeast, `${table.length} attempts`);
}
