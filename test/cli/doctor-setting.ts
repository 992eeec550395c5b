/** A consumer without problems, as doctor reads it; each test plants one fault. */
import * as assert from 'uvu/assert';
import { diagnose } from '../../cli/doctor/diagnose.ts';
import type { Facts } from '../../cli/doctor/facts.ts';
import { essentialRights, rightText } from '../../cli/doctor/rights.ts';
import { doctorText } from '../../cli/doctor/text.ts';
import { plain } from './run-cli.ts';
import type { LocalCluster, RemoteCluster } from '../../shared/api/clusters.ts';
import { apiVersion, type Condition } from '../../shared/api/meta.ts';
import type { FabricNode, HostProblem, Tunnel } from '../../shared/api/network.ts';
import type { IncomingPeering, OutgoingPeering } from '../../shared/api/peerings.ts';
import { condition as conditionWith } from '../support/objects.ts';

const now = Date.parse('2026-01-01T12:00:00Z');
const key = `${'A'.repeat(43)}=`;
export const grant = { cpu: '4', memory: '8Gi', pods: 10, podSecurity: 'baseline' as const };

export const condition = (type: string, status: Condition['status'], message: string, reason = 'R') =>
  conditionWith(type, status, { message, reason, since: '2026-01-01T11:00:00Z' });
/** An object of any type; the caller writes its content beside its type. */
export const object = (kind: string, name: string, rest: object): never =>
  ({ apiVersion, kind, metadata: { name }, ...rest }) as never;

/** A consumer of oak without any problem; each call returns new objects. */
export function healthy() {
  const self: LocalCluster = object('LocalCluster', 'self', {
    spec: {},
    status: {
      clusterID: 'elm',
      version: '0.9.0',
      podCIDRs: ['10.244.0.0/16'],
      serviceCIDRs: ['10.96.0.0/16'],
      externalCIDR: '100.64.0.0/20',
      conditions: [
        condition('CIDRsConsistent', 'True', 'pods have 10.244.0.0/16 by nodes'),
        condition('Ready', 'True', 'this cluster is ready to peer'),
      ],
    },
  });
  const outgoing: OutgoingPeering = object('OutgoingPeering', 'oak', {
    spec: { remoteCluster: 'oak', peering: 'default', nodeName: 'hawser-oak', desired: 'Active' },
    status: {
      conditions: [
        condition('IdentityValid', 'True', 'oak lets this cluster in'),
        condition('NodeReady', 'True', 'Node hawser-oak takes pods.'),
      ],
      identity: {
        expiresAt: '2026-01-01T12:50:00Z',
        renewAfter: '2026-01-01T12:30:00Z',
        apiServerURL: 'https://oak:6443',
        secretName: 's',
      },
      providerReport: {
        requestedAt: '2026-01-01T11:59:59Z',
        reportedAt: '2026-01-01T11:59:59Z',
        clockOffsetSeconds: 0.2,
        state: {
          version: '0.9.0',
          desired: 'Active',
          tenantReady: true,
          grant,
          used: { cpu: '1', memory: '1Gi', pods: 3 },
          tunnel: { established: true, pathVerified: true },
          problems: [],
        },
      },
    },
  });
  const incoming: IncomingPeering = object('IncomingPeering', 'fir', {
    spec: { remoteCluster: 'fir', peering: 'default', grant, desired: 'Active' },
    status: {
      used: { cpu: '1', memory: '1Gi', pods: 3 },
      conditions: [
        condition('TenantReady', 'True', 'fir can be let in'),
        condition('QuotaAvailable', 'True', 'more pods can be admitted'),
        condition('NamesResolvable', 'True', 'pods in twin namespaces can resolve names'),
      ],
    },
  });
  const remote = (id: string): RemoteCluster =>
    object('RemoteCluster', id, {
      spec: { clusterID: id, publicKey: key, controlPlane: 'OutOfBand', version: '0.9.0' },
      status: { conditions: [condition('Compatible', 'True', 'it fits')] },
    });
  const tunnel = (id: string): Tunnel =>
    object('Tunnel', id, {
      spec: {
        remoteCluster: id,
        consumer: true,
        provider: false,
        remotePodCIDRs: ['10.244.0.0/16'],
        remoteExternalCIDR: '100.64.16.0/20',
        remoteTunnelEndpoints: [{ name: '0', publicKey: key, addresses: ['192.0.2.7:7470'] }],
        remaps: [
          { real: '10.244.0.0/16', mapped: '10.128.0.0/16', state: 'InUse' },
          { real: '100.64.16.0/20', mapped: '100.64.16.0/20', state: 'InUse' },
        ],
        remoteRemaps: [],
        mtu: 1420,
        presharedKeyRevision: '1',
      },
      status: {
        endpoint: '192.0.2.7:7470',
        latestHandshake: '2026-01-01T11:59:00Z',
        probes: { sent: 64, lost: 1 },
        pathMTU: 1420,
        conditions: [
          condition('Established', 'True', 'the tunnel is up'),
          condition('PathVerified', 'True', `${id} answers through the tunnel`),
        ],
      },
    });
  const fabricNode: FabricNode = object('FabricNode', 'n1', {
    spec: { tunnelEndpoint: '0' },
    status: {
      version: '0.9.0',
      heldTunnelEndpoint: '0',
      conditions: [condition('Programmed', 'True', 'tunnel device and kernel are programmed as planned')],
    },
  });
  const facts: Facts = {
    now,
    version: '0.9.0',
    namespace: 'hawser-system',
    only: undefined,
    objects: {
      self,
      remotes: [remote('oak'), remote('fir')],
      outgoing: [outgoing],
      incoming: [incoming],
      tunnels: [tunnel('oak'), tunnel('fir')],
      fabricNodes: [fabricNode],
      offloadings: [],
    },
    tokens: [],
    nodes: [
      { name: 'n1', gateway: true, virtual: false, ready: 'True', readyMessage: '' },
      { name: 'hawser-oak', gateway: false, virtual: true, ready: 'True', readyMessage: '' },
    ],
    workloads: [{ kind: 'Deployment', name: 'hawser-controller', desired: 1, ready: 1 }],
    rights: essentialRights.map((right) => ({
      account: right.account,
      right: rightText(right),
      allowed: true,
    })),
    kubelets: { 'hawser-oak': { status: 200, message: 'ok' } },
    unanswered: [],
  };
  return { facts, self, outgoing, incoming, fabricNode, tunnel: facts.objects.tunnels[0] as Tunnel };
}

type Healthy = ReturnType<typeof healthy>;

/** Plants a fault: changes the given objects, or returns facts that replace the original ones. */
type Spoil = (all: Healthy) => Partial<Facts> | void;
/** The check that must report the fault, and the text that it must have seen. */
export type Fault = readonly [what: string, check: string, seen: RegExp, spoil: Spoil];

export function plant(spoil: Spoil): ReturnType<typeof diagnose> {
  const all = healthy();
  const changes = spoil(all);
  return diagnose({ ...all.facts, ...changes });
}

/** The fault is reported by its check, with its effect, a remedy and a reference; the text shows all of it. */
export function assertNamed([, check, seen, spoil]: Fault): void {
  const findings = plant(spoil);
  const wrong = findings.filter(({ verdict }) => verdict === 'Bad' || verdict === 'Warning');
  const found = wrong.find((finding) => finding.check === check);
  assert.ok(found, `${check} is not among ${wrong.map((each) => each.check).join(', ')}`);
  assert.match(found.seen, seen);
  assert.ok((found.why ?? '') !== '' && (found.hint ?? '') !== '', 'why it matters and what to do');
  assert.is(found.docs, `docs/troubleshooting.md#${check}`);
  const text = doctorText(findings, plain);
  assert.match(text, found.seen);
  assert.match(text, `fix: ${found.hint}`);
}

export const setCondition = (
  holder: { status?: { conditions?: Condition[] | undefined } | undefined },
  next: Condition,
): void => {
  if (holder.status === undefined) return;
  holder.status.conditions = (holder.status.conditions ?? []).map((each) =>
    each.type === next.type ? next : each,
  );
};
export const provider = ({ outgoing }: Healthy) => {
  const word = outgoing.status?.providerReport;
  if (word?.state === undefined) throw new Error('no word');
  return { word, state: word.state };
};
export const onNode = (problem: HostProblem) => (all: Healthy) => {
  if (all.fabricNode.status) all.fabricNode.status.hostProblems = [problem];
};
