/**
 * The texts of conditions: every reason with its message, rendered by the pure functions that find conditions and compared with
 * `test/golden/conditions.txt`, so that every change of a text changes that file. Run with UPDATE_GOLDEN=1 to write it.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { mappingFinding } from '../../daemon/fabric/address-mappings.ts';
import { reportTunnel } from '../../daemon/fabric/controller/tunnel-status.ts';
import { programmedFinding } from '../../daemon/fabric/node/status.ts';
import { localFindings } from '../../daemon/peering/local-cluster.ts';
import { remapPoolFinding } from '../../daemon/peering/remap-pools.ts';
import { identityFinding, outgoingFindings } from '../../daemon/peering/outgoing-plan.ts';
import { documentsFinding, remoteFindings } from '../../daemon/peering/remote-clusters.ts';
import { carriedFinding } from '../../daemon/tenant/carried-policies.ts';
import { evaluatePresence } from '../../daemon/tenant/disconnect.ts';
import {
  incomingFindings,
  schedulableFinding as incomingSchedulable,
} from '../../daemon/tenant/incoming-findings.ts';
import { dnsFinding } from '../../daemon/tenant/name-resolution.ts';
import { objectsFinding } from '../../daemon/tenant/object-limits.ts';
import { policyFinding } from '../../daemon/tenant/policy-probe.ts';
import { runningFinding } from '../../daemon/tenant/real-pod.ts';
import { admittedFinding, stoppedFinding } from '../../daemon/tenant/shadow-pods.ts';
import { evaluateToken } from '../../daemon/tenant/tokens.ts';
import { schedulableFinding } from '../../daemon/vnode/desire.ts';
import { policiesFinding } from '../../daemon/vnode/network-policies.ts';
import { evaluateReadiness, nodeReadyFinding } from '../../daemon/vnode/readiness.ts';
import { planTwin } from '../../daemon/vnode/twin-plan.ts';
import type { Finding } from '../../shared/conditions.ts';
import type { Condition } from '../../shared/api/meta.ts';
import { condition as conditionWith } from '../support/objects.ts';

const test = suite('texts of conditions');
const golden = new URL('../golden/conditions.txt', import.meta.url);
const now = Date.parse('2026-01-01T00:00:00Z');
const at = '2026-01-01T00:00:00Z';

/** Fills in only the fields that a message uses; each function reads no others of its input. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller names the type that it fills in part
const as = <T>(value: unknown): T => value as T;
const condition = (type: string, status: Condition['status'], reason = 'Reason', message = 'detail') =>
  conditionWith(type, status, { reason, message, since: at });

function fabricNodes(): Finding[] {
  type Input = Parameters<typeof programmedFinding>;
  const node = as<Input[0]>({ spec: { externalAddress: '100.64.0.16', tunnelEndpoint: '0' } });
  return [
    programmedFinding(node, { deviceFailure: 'detail' }, []),
    programmedFinding(node, { hostFailure: 'detail' }, []),
    programmedFinding(as<Input[0]>({ spec: {} }), {}, []),
    programmedFinding(node, { endpointWaiting: 'detail' }, []),
    programmedFinding(node, {}, ['a warning']),
  ];
}

function addressMappings(): Finding[] {
  type Input = Parameters<typeof mappingFinding>;
  const mapping = (spec: object) =>
    as<Input[0]>({ metadata: { generation: 1 }, spec: { remoteClusters: ['elm', 'oak'], ...spec } });
  const gateway = (mappingRevision: string) =>
    as<Input[2]>([
      {
        metadata: { name: 'n1' },
        spec: { tunnelEndpoint: '0' },
        status: { heldTunnelEndpoint: '0', mappingRevision },
      },
    ]);
  return [
    mappingFinding(mapping({ drainingSince: at }), 'r', []),
    mappingFinding(mapping({}), 'r', []),
    mappingFinding(mapping({}), 'r', gateway('other')),
    mappingFinding(mapping({}), 'r', gateway('r')),
  ];
}

function tunnels(): Finding[] {
  type Input = Parameters<typeof reportTunnel>;
  const tunnel = (spec: object = {}) =>
    as<Input[0]>({
      spec: {
        remoteCluster: 'oak',
        remoteTunnelEndpoints: [{ name: '0', publicKey: 'key', addresses: ['198.51.100.7:7470'] }],
        presharedKeyRevision: 'r',
        ...spec,
      },
    });
  const session = { remoteCluster: 'oak', tunnelEndpoint: '0', receivedBytes: 0, sentBytes: 0 };
  const gateway = (more: object) => ({
    metadata: { name: 'n1' },
    spec: { tunnelEndpoint: '0' },
    status: { heldTunnelEndpoint: '0', sessions: [{ ...session, ...more }] },
  });
  const waiting = { metadata: { name: 'n1' }, spec: { tunnelEndpoint: '0' }, status: {} };
  const shaken = { latestHandshake: at };
  const verified = { ...shaken, pathVerified: true, pathMessage: 'oak answers', probedAt: at };
  const collision = { real: '10.0.0.0/16', mapped: '10.9.0.0/16', own: '10.9.4.0/24' };
  const report = (object: Input[0], nodes: unknown[], problems: string[] = [], collisions: unknown[] = []) =>
    reportTunnel(object, as(nodes), { problems, collisions: as(collisions) }, now).findings;
  return [
    report(tunnel({ remoteTunnelEndpoints: [] }), []),
    report(tunnel({ presharedKeyRevision: '' }), []),
    report(tunnel(), []),
    report(tunnel(), [waiting]),
    report(tunnel(), [gateway({ pathVerified: false })]),
    report(tunnel(), [gateway({ ...shaken, pathVerified: false, latestHandshake: '2025-12-31T00:00:00Z' })]),
    report(tunnel(), [gateway({ ...shaken, pathVerified: false })]),
    report(tunnel(), [gateway({ ...verified, probedAt: '2025-12-31T23:00:00Z' })]),
    report(tunnel(), [gateway(verified)]),
    report(tunnel(), [gateway(verified)], ['the problem of a document'], [collision]),
    ...(['NeedsApproval', 'NoFreeRange', 'InUseOtherwise', 'NotFree'] as const).map((reason) => {
      const range = { real: '10.42.0.0/16', reason, mapped: '100.65.0.0/16', meets: '10.42.7.0/24' };
      return reportTunnel(tunnel(), [], { problems: [], collisions: [], waiting: [range] }, now).findings;
    }),
  ].flat();
}

function localClusters(): Finding[] {
  type PoolInput = Parameters<typeof remapPoolFinding>;
  const beyond = { real: '10.42.0.0/16', mapped: '10.128.0.0/16', state: 'InUse' };
  const ranges = {
    podCIDRs: ['10.244.0.0/16'],
    serviceCIDRs: ['10.96.0.0/16'],
    nodeCIDRs: ['192.0.2.0/24'],
    podSource: 'spec.podCIDRs',
    guessed: false,
    podsOutside: [],
  };
  return [
    ...localFindings(ranges, '100.64.0.0/20', []),
    ...localFindings({ ...ranges, guessed: true }, '100.64.0.0/20', ['what is missing']),
    ...localFindings({ ...ranges, podCIDRs: [] }, undefined, []),
    ...localFindings({ ...ranges, nodeCIDRs: ['10.244.7.0/24'] }, '100.64.0.0/20', []),
    ...localFindings({ ...ranges, podsOutside: ['10.0.3.7'] }, '100.64.0.0/20', []),
    ...[[], [as<PoolInput[1][number]>({ spec: { remoteCluster: 'oak', remaps: [beyond] } })]].map((remotes) =>
      remapPoolFinding(as<PoolInput[0]>({ spec: {}, status: { clusterID: 'elm' } }), remotes, []),
    ),
  ];
}

function remoteClusters(): Finding[] {
  type Input = Parameters<typeof remoteFindings>;
  const remote = as<Input[0]>({ spec: { clusterID: 'oak' } });
  const checks = ['None', 'Valid', 'KeyMismatch', 'Invalid', 'NotUnderstood'].map((verdict) =>
    as<Input[1]>({ verdict, message: 'detail' }),
  );
  return [
    ...checks.flatMap((check) => remoteFindings(remote, check, undefined)),
    ...remoteFindings(remote, as<Input[1]>({ verdict: 'Valid' }), 'what is missing'),
    documentsFinding('oak', undefined),
    documentsFinding('oak', { count: 3, at: now, message: 'detail' }),
  ];
}

function outgoingPeerings(): Finding[] {
  type Held = Parameters<typeof identityFinding>[1]['held'];
  const held = (expiresAt: string) => as<Held>({ expiresAt });
  const problem = { reason: 'ProviderUnreachable', message: 'detail' };
  const identities = [
    { held: held('2026-01-01T01:00:00Z'), problem: undefined },
    { held: held('2026-01-01T01:00:00Z'), problem },
    { held: held('2025-12-31T23:00:00Z'), problem: undefined },
    { held: held('2025-12-31T23:00:00Z'), problem },
    { held: undefined, problem: undefined },
    { held: undefined, problem },
  ].map((state) => identityFinding('oak', state, now));
  type Peering = Parameters<typeof outgoingFindings>[0];
  const peering = (node?: Condition['status']) =>
    as<Peering>({
      metadata: { generation: 1 },
      spec: { remoteCluster: 'oak', nodeName: 'hawser-oak' },
      status: { conditions: node === undefined ? [] : [condition('NodeReady', node)] },
    });
  const [valid = identities[0]] = identities;
  if (valid === undefined) return [];
  return [
    ...identities,
    ...outgoingFindings(peering(), valid, { done: false, message: 'waiting for documents' }),
    ...outgoingFindings(peering(), valid, { done: true, message: 'documents exchanged' }),
    ...outgoingFindings(peering('False'), valid, { done: true, message: 'documents exchanged' }),
    ...outgoingFindings(peering('True'), valid, { done: true, message: 'documents exchanged' }),
  ];
}

function virtualNodes(): Finding[] {
  type Input = Parameters<typeof evaluateReadiness>;
  const peering = (
    more: { deletionTimestamp?: string; identity?: [Condition['status'], string]; spec?: object } = {},
  ) =>
    as<Input[0]>({
      metadata: { generation: 1, deletionTimestamp: more.deletionTimestamp },
      spec: { remoteCluster: 'oak', nodeName: 'hawser-oak', desired: 'Active', ...more.spec },
      status: {
        conditions: more.identity === undefined ? [] : [condition('IdentityValid', ...more.identity)],
      },
    });
  const tunnel = (status?: Condition['status']) =>
    as<Input[1]>({ status: { conditions: status === undefined ? [] : [condition('PathVerified', status)] } });
  const reachable = { state: 'Reachable', since: now, message: 'detail' } as const;
  const ready = (...input: Input) => nodeReadyFinding(input[0], evaluateReadiness(...input));
  const pods = as<Parameters<typeof schedulableFinding>[1]>([
    { metadata: { namespace: 'shop', name: 'web', uid: 'u' } },
  ]);
  const desire = (desired: string, leaving: typeof pods = []) =>
    schedulableFinding(peering({ spec: { desired } }), leaving, new Set(['u']));
  return [
    ready(peering({ deletionTimestamp: at }), tunnel('True'), reachable),
    ready(peering({ identity: ['False', 'PeeringEnded'] }), tunnel('True'), reachable),
    ready(peering({ identity: ['False', 'IdentityExpired'] }), tunnel('True'), reachable),
    ready(peering(), undefined, reachable),
    ready(peering(), tunnel(), reachable),
    ready(peering(), tunnel('False'), reachable),
    ready(peering(), tunnel('True'), reachable),
    ready(peering(), tunnel('True'), { ...reachable, state: 'Unreachable' }),
    desire('Active'),
    desire('Cordoned'),
    desire('Drained'),
    desire('Drained', pods),
  ];
}

function offloadings(): Finding[] {
  type Twin = NonNullable<Parameters<typeof planTwin>[0]>;
  const spec = { sourceNamespace: 'shop', sourceUID: 'u', namespace: 'shop-home' };
  const twin = (more: object = {}, conditions: unknown[] = [], metadata: object = {}) =>
    as<Twin>({ metadata: { name: 'shop', ...metadata }, spec: { ...spec, ...more }, status: { conditions } });
  const plan = (present: Twin | undefined) => planTwin(present, twin()).finding;
  const carried = (status: Condition['status']) =>
    new Map([['deny', as<never>(condition('Carried', status))]]);
  const enforced = (status: Condition['status']) => as<never>(condition('NetworkPoliciesEnforced', status));
  type Status = Condition['status'];
  const policies = (home: Status | undefined, there?: Status, records: Status | '' | undefined = 'True') =>
    policiesFinding(['deny'], home === undefined ? undefined : enforced(home), [
      {
        peering: 'oak',
        enforced: there === undefined ? undefined : enforced(there),
        ...(records !== '' && { carried: carried(records) }),
      },
    ]);
  return [
    plan(undefined),
    plan(twin({}, [], { deletionTimestamp: at })),
    plan(twin({ sourceUID: 'earlier' })),
    plan(twin()),
    plan(twin({}, [condition('Bound', 'True')])),
    plan(twin({}, [condition('NameConflict', 'True', 'NameConflict')])),
    policiesFinding([], undefined, []),
    policies('True', 'True'),
    policies('False', 'True'),
    policies(undefined, 'False'),
    policies('True', undefined),
    policies('True', 'True', 'False'),
    policies('True', 'True', ''),
  ];
}

function incomingPeerings(): Finding[] {
  type Input = Parameters<typeof incomingFindings>;
  const grant = { cpu: '4', memory: '8Gi', pods: 2, podSecurity: 'baseline' };
  const peering = (desired = 'Active') =>
    as<Input[0]>({
      metadata: { name: 'home' },
      spec: { remoteCluster: 'home', peering: 'default', grant, desired },
    });
  const used = (pods: number): Input[1]['used'] => ({ requests: {}, limits: {}, pods });
  const state = (more: Partial<Input[1]>) =>
    incomingFindings(peering(), { revoked: false, problem: undefined, used: used(0), ...more });
  type Lease = Parameters<typeof evaluatePresence>[1];
  const lease = as<Lease>({ spec: { holderIdentity: 'home', leaseDurationSeconds: 40, renewTime: 'a' } });
  const presence = (of: Lease, seen: number) =>
    evaluatePresence('home', of, { renewTime: 'a', at: seen, renewed: true }, undefined, now).finding;
  const quota = as<Parameters<typeof objectsFinding>[1][number]>({
    metadata: { name: 'hawser-objects', namespace: 'shop-home' },
    spec: { hard: { 'count/secrets': '10' } },
    status: { hard: { 'count/secrets': '10' }, used: { 'count/secrets': '10' } },
  });
  return [
    ...state({}),
    ...state({ used: used(2) }),
    ...state({ used: used(3) }),
    ...state({ problem: 'detail' }),
    ...state({ revoked: true }),
    ...['Active', 'Cordoned', 'Drained'].map((desired) => incomingSchedulable(peering(desired), 0)),
    incomingSchedulable(peering('Drained'), 3),
    presence(undefined, now),
    presence(lease, now),
    presence(lease, now - 60_000),
    objectsFinding(peering(), []),
    objectsFinding(peering(), [quota]),
  ];
}

function tokens(): Finding[] {
  type Token = Parameters<typeof evaluateToken>[0];
  const token = (spec: object, status?: object) => as<Token>({ spec, status });
  const later = '2026-01-01T01:00:00Z';
  return [
    token({ expiresAt: later }),
    token({ expiresAt: later, revoked: true }),
    token({ expiresAt: at }),
    token({ expiresAt: later }, { redeemedBy: { clusterID: 'home', at } }),
  ].map((each) => evaluateToken(each, now).finding);
}

function shadowPods(): Finding[] {
  type Input = Parameters<typeof runningFinding>[0];
  const pod = (phase: string, conditions: unknown[] = []) => as<Input>({ status: { phase, conditions } });
  return [
    admittedFinding(as({ admitted: true })),
    admittedFinding(as({ admitted: false, reason: 'NotAdmitted', message: 'detail' })),
    stoppedFinding(at),
    runningFinding(undefined),
    runningFinding(pod('Pending')),
    runningFinding(pod('Pending', [condition('PodScheduled', 'False', 'Unschedulable')])),
    runningFinding(pod('Running')),
    runningFinding(pod('Succeeded')),
    runningFinding(pod('Failed')),
    carriedFinding(0),
    carriedFinding(2),
  ];
}

function providers(): Finding[] {
  const probe = { policy: true, pod: true, allowed: true, forbidden: false };
  type Slices = Parameters<typeof dnsFinding>[0];
  const slice = (ready: boolean) =>
    as<Slices>([{ endpoints: [{ addresses: ['10.0.0.9'], conditions: { ready } }] }]);
  return [
    policyFinding(probe),
    policyFinding({ ...probe, forbidden: true }),
    policyFinding({ ...probe, policy: false }),
    policyFinding({ ...probe, pod: false }),
    policyFinding({ ...probe, allowed: false }),
    dnsFinding([]),
    dnsFinding(slice(false)),
    dnsFinding(slice(true)),
  ];
}

const sections: [kind: string, findings: () => Finding[]][] = [
  ['LocalCluster', () => [...localClusters(), ...providers()]],
  ['RemoteCluster', remoteClusters],
  ['OutgoingPeering', () => [...outgoingPeerings(), ...virtualNodes()]],
  ['IncomingPeering', incomingPeerings],
  ['PeeringToken', tokens],
  ['NamespaceOffloading', offloadings],
  ['ShadowPod and ShadowPolicy', shadowPods],
  ['Tunnel', tunnels],
  ['FabricNode', fabricNodes],
  ['AddressMapping', addressMappings],
];

function render(): string {
  return sections
    .map(([kind, findings]) => {
      const lines = findings().map(
        ({ type, status, reason, message }) => `${type}=${status} ${reason}: ${message}`,
      );
      return `${kind}\n${[...new Set(lines)].map((line) => `  ${line}`).join('\n')}\n`;
    })
    .join('\n');
}

test('conditions - in every state that their functions know - have the texts of the golden file', async () => {
  const text = render();
  if (process.env['UPDATE_GOLDEN'] === '1') await writeFile(golden, text);
  assert.fixture(text, await readFile(golden, 'utf8'));
});

test('messages of conditions - in every state - use no word that the glossary excludes', () => {
  const ruledOut =
    /\b(anew|nobody|somebody|told|tells|is wanted|are wanted|by itself|of its own)\b|undefined|\[object/;
  for (const line of render().split('\n')) assert.not.match(line, ruledOut);
});

test.run();
