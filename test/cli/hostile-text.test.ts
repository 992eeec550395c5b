/** Reports over objects whose texts a hostile peer chose: no control characters, no forged lines, in every report. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { diagnose } from '../../cli/doctor/diagnose.ts';
import { doctorText } from '../../cli/doctor/text.ts';
import { planPeering } from '../../cli/peer-plan/plan.ts';
import { planText } from '../../cli/peer-plan/text.ts';
import { statusChanges } from '../../cli/status-changes.ts';
import { statusReport, type ClusterObjects } from '../../cli/status-report.ts';
import { inDepth, overview } from '../../cli/status-text.ts';
import { Terminal } from '../../cli/terminal.ts';
import { traceReport } from '../../cli/trace/measured.ts';
import { traceRoute, type TracedPod } from '../../cli/trace/route.ts';
import { traceText } from '../../cli/trace/text.ts';
import { grant, healthy } from './doctor-setting.ts';

const reports = suite('reports over hostile texts');
const now = Date.parse('2026-01-01T12:00:00Z');
const attack = '\u001B[2J\u009B31m\u202Eko\n  ✓ peering is Ready\r\u2066';

/** Keys whose text a peer chooses, or a cluster reports about it. */
const chosen = new Set(
  `message version endpoint latestHandshake expiresAt renewAfter apiServerURL twinNamespace requestedAt reportedAt tenantNamespace
   gatewayURL residue readyMessage gatewayNode`
    .split(/\s+/)
    .filter((word) => word !== ''),
);

/** A copy of the object with the suffix at every such text; names of conditions and states stay unchanged. */
function poisoned<T>(value: T, suffix: string, key = ''): T {
  if (typeof value === 'string') return (chosen.has(key) ? `${value}${suffix}` : value) as T;
  if (Array.isArray(value)) return value.map((each: unknown) => poisoned(each, suffix, key)) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [name, poisoned(each, suffix, name)]),
  ) as T;
}

/** A cluster with problems, so that every report has messages to show. */
function troubled(): ClusterObjects {
  const { facts, outgoing, incoming } = healthy();
  const { objects } = facts;
  const state = outgoing.status?.providerReport?.state;
  if (state === undefined || outgoing.status === undefined || incoming.status === undefined)
    throw new Error('the setting has no provider report');
  state.problems = [{ type: 'Revoked', message: 'revoked' }];
  outgoing.status.residue = ['namespace left at oak'];
  for (const { status } of [outgoing, incoming, ...objects.tunnels])
    for (const condition of status?.conditions ?? []) condition.status = 'False';
  return objects;
}

/** The output on a terminal with colours. */
function written(text: (terminal: Terminal) => string): string {
  let out = '';
  const stream = { isTTY: true, write: (some: string) => (out += some) };
  const terminal = new Terminal(stream, stream, { LANG: 'C.UTF-8' });
  terminal.print(text(terminal));
  return out;
}

const pod = (name: string, node: string, address: string): TracedPod => ({
  name,
  node,
  address,
  phase: 'Running',
});

type Report = (objects: ClusterObjects, terminal: Terminal) => string;
const rows: [name: string, report: Report][] = [
  ['status', (objects, terminal) => overview(statusReport(objects), now, terminal)],
  [
    'status PEERING',
    (objects, terminal) =>
      statusReport(objects)
        .peerings.map((peering) => inDepth(peering, now, terminal))
        .join('\n\n'),
  ],
  ['status --watch', (objects) => statusChanges(undefined, statusReport(objects)).join('\n')],
  ['doctor', (objects, terminal) => doctorText(diagnose({ ...healthy().facts, objects }), terminal)],
  [
    'trace',
    (objects, terminal) => {
      const [from, to] = [pod('shop/web', 'n1', '10.244.1.5'), pod('shop/db', 'hawser-oak', '10.128.2.6')];
      return traceText(traceReport(traceRoute({ objects, from, to, mappings: [] }), []), terminal);
    },
  ],
  [
    'peer --plan',
    ({ self, tunnels, outgoing, remotes }, terminal) => {
      const version = remotes[0]?.spec.version ?? '';
      const preview = {
        clusterID: 'ash',
        publicKey: '',
        expiresAt: version,
        grant: { ...grant, cpu: version },
        podCIDRs: ['10.0.0.0/16'],
        externalCIDR: '100.64.32.0/20',
        tunnelAddresses: [version],
        version,
        features: [],
      };
      const plan = planPeering({
        token: { clusterID: 'ash', gatewayURL: version },
        preview,
        self,
        fabricNodes: [],
        tunnels: tunnels.filter(({ metadata }) => metadata.name === ''),
        outgoing,
        nodes: [],
        name: 'ash',
        nodeName: 'hawser-ash',
        namespace: 'hawser-system',
      });
      return planText(plan, now, terminal);
    },
  ],
];

for (const [name, report] of rows) {
  reports(`${name} writes the attack as visible escapes, in as many lines as without it`, () => {
    const plain = written((terminal) => report(poisoned(troubled(), 'x'), terminal));
    const attacked = written((terminal) => report(poisoned(troubled(), attack), terminal));
    assert.match(attacked, '\\u001b[2J\\u009b31m\\u202eko   ✓ peering is Ready\\u000d\\u2066');
    assert.is(attacked.split('\n').length, plain.split('\n').length);
    // oxlint-disable-next-line no-control-regex -- sequences of the terminal itself
    const rest = attacked.replaceAll(/\u001B\[[0-9]+m/g, '');
    // oxlint-disable-next-line no-control-regex -- these are what is looked for
    assert.not.match(rest, /[\u0000-\u0009\u000B-\u001F\u007F-\u009F\u202E\u2066]/);
    assert.not.match(attacked, /^ *✓ peering is Ready/m);
  });
}

reports.run();
