/** Texts for people: ages, steps, tables, status, completion. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ago, bytes, spanOf } from '../../cli/ages.ts';
import { parseLife } from '../../cli/issue-token.ts';
import { phasesOf } from '../../cli/peering-phases.ts';
import { statusChanges } from '../../cli/status-changes.ts';
import { statusReport, type ClusterObjects } from '../../cli/status-report.ts';
import { inDepth, overview } from '../../cli/status-text.ts';
import { table } from '../../cli/terminal.ts';
import type { RemoteCluster } from '../../shared/api/clusters.ts';
import type { Tunnel } from '../../shared/api/network.ts';
import type { IncomingPeering, OutgoingPeering } from '../../shared/api/peerings.ts';
import { hawser, plain } from './run-cli.ts';
import { condition as conditionWith } from '../support/objects.ts';

const texts = suite('texts');
const now = Date.parse('2026-01-01T12:00:00Z');

texts('ago writes a time relative to now', () => {
  const rows: [string | undefined, string][] = [
    [undefined, '-'],
    ['2026-01-01T12:00:00Z', 'now'],
    ['2026-01-01T11:59:18Z', '42 s ago'],
    ['2026-01-01T12:14:00Z', 'in 14 min'],
    ['2026-01-01T09:00:00Z', '3 h ago'],
    ['2025-12-22T12:00:00Z', '10 days ago'],
    ['no time', 'no time'],
  ];
  for (const [time, text] of rows) assert.is(ago(time, now), text);
  assert.is(spanOf(0), '0 s');
});

texts('bytes writes a size with its binary unit', () => {
  assert.equal([0, 1023, 1024, 1536, 5 * 1024 ** 3].map(bytes), [
    '0 B',
    '1023 B',
    '1.0 KiB',
    '1.5 KiB',
    '5.0 GiB',
  ]);
});

texts('parseLife accepts durations from 60s to 24h', () => {
  assert.equal(['15m', '90s', '90', '24h'].map(parseLife), [900, 90, 90, 86_400]);
  for (const bad of ['', '59s', '25h', '2d', '-5m', '1.5h'])
    assert.throws(() => parseLife(bad), /must be a duration from 60s to 24h/);
  assert.is(parseLife('1d'), 86_400);
});

texts('a table has columns as wide as their widest cell', () => {
  assert.is(
    table([
      ['A', 'LONG'],
      ['longer', 'x'],
    ]),
    'A       LONG\nlonger  x',
  );
});

const condition = (type: string, status: 'True' | 'False', message: string) =>
  conditionWith(type, status, { message, since: '2026-01-01T11:59:30Z' });

const outgoing: OutgoingPeering = {
  apiVersion: 'hawser.dev/v1alpha1',
  kind: 'OutgoingPeering',
  metadata: { name: 'oak', creationTimestamp: '2026-01-01T11:00:00Z' },
  spec: { remoteCluster: 'oak', peering: 'default', nodeName: 'hawser-oak', desired: 'Active' },
  status: {
    conditions: [
      condition('IdentityValid', 'True', 'oak lets this cluster in'),
      condition('Negotiated', 'False', 'oak has not answered for 30 s; is its gateway reachable?'),
    ],
    identity: {
      expiresAt: '2026-01-01T12:50:00Z',
      renewAfter: '2026-01-01T12:30:00Z',
      apiServerURL: 'https://oak:6443',
      secretName: 'x',
    },
    phases: [
      { name: 'Requested', at: '2026-01-01T11:00:00Z' },
      { name: 'IdentityValid', at: '2026-01-01T11:00:01.400Z' },
    ],
    providerReport: {
      requestedAt: '2026-01-01T11:59:50Z',
      reportedAt: '2026-01-01T11:59:50Z',
      clockOffsetSeconds: -90,
      state: {
        version: '0.1.0',
        desired: 'Active',
        tenantReady: true,
        grant: { cpu: '4', memory: '8Gi', pods: 10, podSecurity: 'baseline' },
        used: { cpu: '1', memory: '1Gi', pods: 3 },
        tunnel: { established: true, pathVerified: false },
        problems: [{ type: 'PathVerified', message: 'no answer of elm at 10.9.0.1 yet' }],
      },
    },
  },
};
const tunnel: Tunnel = {
  apiVersion: 'hawser.dev/v1alpha1',
  kind: 'Tunnel',
  metadata: { name: 'oak' },
  spec: {
    remoteCluster: 'oak',
    consumer: true,
    provider: false,
    remotePodCIDRs: ['10.244.0.0/16'],
    remoteExternalCIDR: '100.64.0.0/20',
    remoteTunnelEndpoints: [],
    remaps: [{ real: '10.244.0.0/16', mapped: '10.128.0.0/16', state: 'InUse' }],
    remoteRemaps: [{ real: '10.244.0.0/16', mapped: '10.244.0.0/16' }],
    mtu: 1420,
    presharedKeyRevision: '1',
  },
  status: {
    conditions: [condition('Established', 'True', 'the tunnel is up')],
    roundTripMilliseconds: 0.42,
    probes: { sent: 64, lost: 2 },
    pathMTU: 1280,
  },
};
const objects: ClusterObjects = {
  self: {
    apiVersion: 'hawser.dev/v1alpha1',
    kind: 'LocalCluster',
    metadata: { name: 'self' },
    spec: {},
    status: { clusterID: 'elm', podCIDRs: ['10.244.0.0/16'] },
  },
  remotes: [],
  outgoing: [outgoing],
  incoming: [],
  tunnels: [tunnel],
  fabricNodes: [
    {
      apiVersion: 'hawser.dev/v1alpha1',
      kind: 'FabricNode',
      metadata: { name: 'n1' },
      spec: { tunnelEndpoint: '0' },
      status: {
        heldTunnelEndpoint: '0',
        conditions: [condition('Programmed', 'True', '')],
        sessions: [
          {
            remoteCluster: 'oak',
            pathVerified: true,
            receivedBytes: 1,
            sentBytes: 1,
            drops: { admission: 3 },
          },
        ],
      },
    },
  ],
  offloadings: [],
};

texts('phases of a peering take what they wait for from the conditions', () => {
  const phases = phasesOf(outgoing, tunnel);
  assert.equal(
    phases.map(({ done }) => done),
    [true, false, true, false, false, false],
  );
  assert.is(phases[1]?.waitingFor, 'oak has not answered for 30 s; is its gateway reachable?');
  assert.is(phases[3]?.waitingFor, 'the reply to a path probe');
  assert.ok(phasesOf(undefined, undefined).every(({ done, waitingFor }) => !done && waitingFor !== ''));
});

texts('the overview has one line per peering, and why a peering is not Ready', () => {
  const text = overview(statusReport(objects), now, plain);
  assert.match(text, /→ oak +provider +NotReady +hawser-oak +path not verified +60 min/);
  assert.match(text, 'oak: oak has not answered for 30 s; is its gateway reachable?');
  assert.match(text, 'gateway nodes: n1 (0)');
});

texts('the details of a peering show conditions, ranges, drops and identity', () => {
  const [report] = statusReport(objects).peerings;
  assert.ok(report);
  const text = inDepth(report, now, plain);
  assert.match(text, '✓ IdentityValid  True     oak lets this cluster in (30 s ago)');
  assert.match(text, '✗ Negotiated     False    oak');
  assert.match(text, 'identity     expires in 50 min, renewal in 30 min, API server https://oak:6443');
  assert.match(text, 'remote 10.244.0.0/16 remapped here to 10.128.0.0/16');
  assert.match(text, 'local 10.244.0.0/16 not remapped there');
  assert.match(text, 'round trip   0.42 ms, loss 3.1 % of 64 probes');
  assert.match(text, 'dropped      admission 3');
  assert.match(text, 'MTU          1420, path MTU 1280');
  assert.match(text, 'phases       started 2026-01-01 11:00:00Z');
  assert.match(text, 'IdentityValid  2026-01-01 11:00:01Z, after 1.4 s');
});

texts('the details show an expired identity, draining ranges, and a cluster whose gateway node moved', () => {
  const late = Date.parse('2026-01-01T13:00:00Z');
  const moved = structuredClone(objects);
  const [holder] = moved.fabricNodes;
  if (holder !== undefined) holder.spec = {};
  const [draining] = moved.tunnels;
  draining?.spec.remaps.unshift(
    { real: '10.244.0.0/16', mapped: '10.77.0.0/16', state: 'Draining' },
    { real: '10.78.0.0/16', mapped: '10.78.0.0/16', state: 'Draining' },
  );
  const report = statusReport(moved);
  const [peering] = report.peerings;
  assert.ok(peering);
  const text = inDepth(peering, late, plain);
  assert.match(text, 'identity     expired 10 min ago, renewal was due 30 min ago, API server');
  assert.match(text, 'remapped here to 10.77.0.0/16 (draining: removed with the last pod');
  assert.match(text, 'not remapped here (draining: the remote no longer declares it');
  assert.match(overview(report, late, plain), 'gateway nodes: none');
});

texts(
  'the details of an incoming peering show Ready first, Revoked=False as good, and the control plane',
  () => {
    const incoming: IncomingPeering = {
      apiVersion: 'hawser.dev/v1alpha1',
      kind: 'IncomingPeering',
      metadata: { name: 'oak' },
      spec: {
        remoteCluster: 'oak',
        peering: 'default',
        desired: 'Active',
        grant: { cpu: '4', memory: '8Gi', pods: 10, podSecurity: 'baseline' },
      },
      status: {
        conditions: [
          condition('Revoked', 'False', 'its identity is valid'),
          condition('TenantReady', 'True', 'it can be let in'),
          condition('Ready', 'True', 'all is well'),
        ],
      },
    };
    const remote: RemoteCluster = {
      apiVersion: 'hawser.dev/v1alpha1',
      kind: 'RemoteCluster',
      metadata: { name: 'oak' },
      spec: { clusterID: 'oak', publicKey: '', controlPlane: 'OutOfBand', servesInBand: true },
    };
    const [report] = statusReport({
      ...objects,
      remotes: [remote],
      outgoing: [],
      incoming: [incoming],
    }).peerings;
    assert.ok(report);
    const text = inDepth(report, now, plain);
    assert.match(text, 'control      InBand');
    const inOrder = [...text.matchAll(/^ {2}(.) (Ready|TenantReady|Revoked) +(\w+)/gm)].map((match) =>
      match.slice(1),
    );
    assert.equal(inOrder, [
      ['✓', 'Ready', 'True'],
      ['✓', 'TenantReady', 'True'],
      ['✓', 'Revoked', 'False'],
    ]);
  },
);

texts('the details show the provider’s report and its age', () => {
  const [report] = statusReport(objects).peerings;
  assert.equal(report?.used, { cpu: '1', memory: '1Gi', pods: 3 });
  assert.ok(report);
  const text = inDepth(report, now, plain);
  assert.match(
    text,
    'reported 10 s ago: Hawser 0.1.0, desired Active, tenant ready, tunnel up, path not verified',
  );
  assert.match(text, 'its clock behind by 2 min');
  assert.match(text, '! no answer of elm at 10.9.0.1 yet');
  const silent = {
    requestedAt: '2026-01-01T11:59:50Z',
    problem: { reason: 'WrongPin', message: 'another key' },
  };
  assert.match(inDepth({ ...report, provider: silent }, now, plain), '✗ no report 10 s ago: another key');
});

texts('statusChanges reports everything first, then changes, but no ages and counters', () => {
  const first = statusReport(objects);
  const initial = statusChanges(undefined, first);
  assert.ok(initial.includes('→ oak created, desired Active'));
  assert.ok(initial.includes('→ oak tunnel Established=True: the tunnel is up'));
  const counted = structuredClone(objects);
  const [session] = counted.fabricNodes[0]?.status?.sessions ?? [];
  if (session !== undefined) session.receivedBytes = 12_345;
  assert.equal(statusChanges(first, statusReport(counted)), []);
  const cordoned = { ...outgoing, spec: { ...outgoing.spec, desired: 'Cordoned' as const } };
  assert.equal(statusChanges(first, statusReport({ ...objects, outgoing: [cordoned] })), [
    '→ oak desired Cordoned',
  ]);
  assert.equal(statusChanges(first, statusReport({ ...objects, outgoing: [], fabricNodes: [] })), [
    'node n1 deleted',
    '→ oak deleted',
  ]);
});

texts('the overview names objects that this user may not read', () => {
  const report = statusReport({ ...objects, tunnels: [], unreadable: ['tunnels: forbidden'] });
  assert.match(overview(report, now, plain), 'not readable: tunnels: forbidden');
});

texts('the overview of a cluster without status says what is missing', () => {
  const empty: ClusterObjects = {
    ...objects,
    outgoing: [],
    tunnels: [],
    fabricNodes: [],
    self: { ...objects.self, status: {} },
  };
  const text = overview(statusReport(empty), now, plain);
  assert.match(text, '(no ID yet)');
  assert.match(text, 'No peerings.');
  assert.match(text, 'kubectl label node NODE hawser.dev/gateway=true');
  const bare = statusReport({
    ...objects,
    outgoing: [{ ...outgoing, status: undefined as never }],
    tunnels: [],
  });
  assert.match(inDepth(bare.peerings[0] as never, now, plain), 'Tunnel: none yet');
});

texts('completion for bash completes words and options', async () => {
  const { stdout: script } = await hawser(['completion', 'bash']);
  const complete = async (...words: string[]) => {
    const probe = `${script}
COMP_WORDS=(hawser ${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}; _hawser; echo "\${COMPREPLY[@]}"`;
    return (await promisify(execFile)('bash', ['-c', probe])).stdout.trim().split(' ').toSorted();
  };
  assert.equal(await complete('tok'), ['token']);
  assert.equal(await complete('token', ''), ['create', 'list', 'revoke']);
  assert.equal(await complete('token', 'create', '--c'), ['--consumer', '--context', '--cpu']);
  assert.equal(await complete('status', 'oak', '--wa'), ['--watch']);
  const commands = await complete('');
  for (const word of ['unpeer', 'uncordon']) assert.ok(commands.includes(word), word);
  for (const hidden of ['daemon', 'gateway', 'tunnel']) assert.not.ok(commands.includes(hidden), hidden);
});

texts('completion for zsh and fish names options and their values', async () => {
  for (const shell of ['zsh', 'fish']) {
    const { stdout } = await hawser(['completion', shell]);
    for (const word of ['unoffload', 'expires-in', 'placement']) assert.match(stdout, word);
  }
});

texts.run();
