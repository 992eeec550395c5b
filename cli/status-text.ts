/** `hawser status` for people: one line per peering, or one screen for one peering. Pure. */
import { plainLine } from '../shared/plain-text.ts';
import { ago, bytes, spanOf } from './ages.ts';
import type { ProviderReport } from '../shared/api/peerings.ts';
import type { ConditionReport, PeeringReport, StatusReport, TunnelReport } from './status-report.ts';
import { table, type Painter } from './terminal.ts';

const arrow = { Outgoing: '→', Incoming: '←' } as const;
const role = { Outgoing: 'provider', Incoming: 'consumer' } as const;

function verdict(report: PeeringReport): string {
  if (report.deleting) return 'Ending';
  return report.ready ? 'Ready' : 'NotReady';
}

/** Why it is not Ready: the message of Ready, otherwise of the first condition that is not good. */
function whyNot(report: PeeringReport): string {
  const ready = report.conditions.find(({ type }) => type === 'Ready');
  if (ready !== undefined) return ready.status === 'True' ? '' : ready.message;
  return report.conditions.find((each) => !isGood(each))?.message ?? 'the controller has not reported yet';
}

function clusterLines(report: StatusReport, paint: Painter): string[] {
  const { cluster, nodes } = report;
  const lines = [
    `Cluster ${paint.style('bold', cluster.id ?? '(no ID yet)')}  ${cluster.version === undefined ? '' : `Hawser ${cluster.version}`}`,
    `  pods ${cluster.podCIDRs.join(', ') || 'not detected'}, services ${cluster.serviceCIDRs.join(', ') || 'not detected'}, external CIDR ${cluster.externalCIDR ?? 'none'}`,
    `  API gateway ${cluster.gatewayURL ?? 'has no address yet'}`,
  ];
  for (const condition of cluster.conditions.filter(({ status }) => status !== 'True')) {
    lines.push(`  ${paint.style('yellow', condition.type)}: ${condition.message}`);
  }
  const bad = nodes.filter(({ programmed }) => !programmed);
  const tunnelEndpoints = nodes
    .filter(({ tunnelEndpoint }) => tunnelEndpoint !== undefined)
    .map(({ name, tunnelEndpoint }) => `${name} (${tunnelEndpoint ?? ''})`);
  lines.push(
    `  data path programmed on ${nodes.length - bad.length} of ${nodes.length} nodes; gateway nodes: ${tunnelEndpoints.join(', ') || 'none (to add one: kubectl label node NODE hawser.dev/gateway=true)'}`,
  );
  for (const { name, message } of bad) lines.push(`  ${paint.style('yellow', name)}: ${message ?? ''}`);
  for (const { name, problems } of nodes)
    for (const problem of problems) lines.push(`  ${paint.style('yellow', name)}: ${problem}`);
  for (const what of report.unreadable) lines.push(`  ${paint.style('yellow', 'not readable')}: ${what}`);
  return lines.map(plainLine);
}

/** All peerings, one line each. */
export function overview(report: StatusReport, now: number, paint: Painter): string {
  const lines = clusterLines(report, paint);
  lines.push('');
  if (report.peerings.length === 0) {
    lines.push(
      'No peerings. To add one: run "hawser token create" at the provider, then "hawser peer TOKEN" here.',
    );
    return lines.join('\n');
  }
  const rows = report.peerings.map((peering) => [
    `${arrow[peering.direction]} ${peering.name}`,
    role[peering.direction],
    verdict(peering),
    peering.node ?? peering.tenantNamespace ?? '-',
    tunnelWord(peering.tunnel),
    peering.createdAt === undefined ? '-' : spanOf(now - Date.parse(peering.createdAt)),
  ]);
  lines.push(table([['PEERING', 'REMOTE IS', 'STATE', 'NODE / TENANT', 'TUNNEL', 'AGE'], ...rows]));
  const notReady = report.peerings.filter(({ ready }) => !ready);
  if (notReady.length > 0) lines.push('');
  for (const peering of notReady)
    lines.push(plainLine(`${paint.style('yellow', peering.name)}: ${whyNot(peering)}`));
  return lines.join('\n');
}

function tunnelWord(tunnel: TunnelReport | undefined): string {
  if (tunnel === undefined) return 'none yet';
  const path = tunnel.conditions.find(({ type }) => type === 'PathVerified');
  if (path?.status !== 'True') return 'path not verified';
  return tunnel.roundTripMilliseconds === undefined
    ? 'verified'
    : `${tunnel.roundTripMilliseconds.toFixed(1)} ms`;
}

/** One peering on one screen. */
export function inDepth(peering: PeeringReport, now: number, paint: Painter): string {
  const lines = [
    `${arrow[peering.direction]} ${paint.style('bold', peering.name)}: ${peering.remoteCluster} is the ${role[peering.direction]}; ${verdict(peering)}, desired ${peering.desired}`,
  ];
  const fact = (name: string, value: string | undefined) => {
    if (value !== undefined) lines.push(factLine(name, value));
  };
  fact('node', peering.node);
  fact('tenant', peering.tenantNamespace);
  fact('control', peering.controlPlane);
  fact('granted', grantText(peering));
  if (peering.identity !== undefined) fact('identity', identityText(peering.identity, now));
  if (peering.offloaded !== undefined && peering.offloaded.length > 0) {
    fact(
      'offloaded',
      peering.offloaded
        .map(({ namespace, twinNamespace }) => `${namespace} as ${twinNamespace ?? '?'}`)
        .join(', '),
    );
  }
  if (peering.phases !== undefined && peering.createdAt !== undefined) {
    const start = Date.parse(peering.createdAt);
    fact('phases', `started ${clockText(peering.createdAt)}`);
    for (const { name, at } of peering.phases.filter((phase) => Date.parse(phase.at) > start))
      fact('', `${name.padEnd(14)} ${clockText(at)}, after ${precisely(Date.parse(at) - start)}`);
  }
  lines.push('', 'Conditions', ...conditionLines(peering.conditions, now, paint));
  if (peering.tunnel === undefined) lines.push('', 'Tunnel: none yet');
  else lines.push('', 'Tunnel', ...tunnelLines(peering.tunnel, now, paint));
  if (peering.provider !== undefined)
    lines.push('', `Provider ${peering.remoteCluster}`, ...providerLines(peering.provider, now, paint));
  if (peering.residue.length > 0)
    lines.push('', 'Left behind', ...peering.residue.map((line) => `  - ${line}`));
  return lines.map(plainLine).join('\n');
}

const factLine = (name: string, value: string): string => `  ${name.padEnd(12)} ${value}`;

function identityText(
  { expiresAt, renewAfter, apiServerURL }: NonNullable<PeeringReport['identity']>,
  now: number,
): string {
  const expires = Date.parse(expiresAt) > now ? 'expires' : 'expired';
  const renewal =
    Date.parse(renewAfter) > now
      ? `renewal ${ago(renewAfter, now)}`
      : `renewal was due ${ago(renewAfter, now)}`;
  return `${expires} ${ago(expiresAt, now)}, ${renewal}, API server ${apiServerURL}`;
}

function grantText({ grant, used }: PeeringReport): string | undefined {
  if (grant === undefined) return undefined;
  const of = (name: 'cpu' | 'memory' | 'pods', unit: string) =>
    `${used === undefined ? '' : `${used[name]} of `}${grant[name]}${unit}`;
  return `${of('cpu', ' CPUs')}, ${of('memory', ' memory')}, ${of('pods', ' pods')}${used === undefined ? '' : ' used'}; pod security ${grant.podSecurity}`;
}

/** The provider's report; first why the latest request for it failed, if it did. */
function providerLines(report: ProviderReport, now: number, paint: Painter): string[] {
  const lines: string[] = [];
  if (report.problem !== undefined)
    lines.push(
      `  ${paint.mark('failed')} no report ${ago(report.requestedAt, now)}: ${report.problem.message}`,
    );
  const { state } = report;
  if (state === undefined) return lines;
  const { tunnel } = state;
  const facts = [
    `Hawser ${state.version}`,
    `desired ${state.desired}`,
    state.tenantReady ? 'tenant ready' : 'tenant not ready',
    tunnel === undefined
      ? 'no tunnel yet'
      : `tunnel ${tunnel.established ? 'up' : 'down'}, path ${tunnel.pathVerified ? 'verified' : 'not verified'}`,
  ];
  const offset = report.clockOffsetSeconds ?? 0;
  if (Math.abs(offset) >= 2)
    facts.push(`its clock ${offset > 0 ? 'ahead' : 'behind'} by ${spanOf(Math.abs(offset) * 1000)}`);
  lines.push(`  reported ${ago(report.reportedAt, now)}: ${facts.join(', ')}`);
  for (const { message } of state.problems) lines.push(`  ${paint.mark('warning')} ${message}`);
  return lines;
}

/** Date and time: without the date a reader would have to guess the day. */
function clockText(time: string): string {
  return time.replace('T', ' ').replace(/\.\d+Z$/, 'Z');
}

/** Below a minute with tenths of seconds. */
function precisely(milliseconds: number): string {
  return milliseconds < 60_000 ? `${(milliseconds / 1000).toFixed(1)} s` : spanOf(milliseconds);
}

/** Order of conditions: the summary first, then each after those that it depends on. */
const conditionOrder = [
  'Ready',
  'TenantReady',
  'IdentityValid',
  'Negotiated',
  'Established',
  'PathVerified',
  'NodeReady',
  'Schedulable',
];
function placeOf({ type }: ConditionReport): number {
  const place = conditionOrder.indexOf(type);
  return place < 0 ? conditionOrder.length : place;
}
/** False is the good status of these. */
const negativePolarity: ReadonlySet<string> = new Set(['Revoked']);
const isGood = ({ type, status }: ConditionReport): boolean =>
  status === (negativePolarity.has(type) ? 'False' : 'True');

function conditionLines(conditions: readonly ConditionReport[], now: number, paint: Painter): string[] {
  if (conditions.length === 0) return ['  none reported yet'];
  const width = Math.max(...conditions.map(({ type }) => type.length));
  const inOrder = conditions.toSorted((one, next) => placeOf(one) - placeOf(next));
  return inOrder.map((condition) => {
    const { type, status, since, message } = condition;
    const mark = paint.mark(status === 'Unknown' ? 'unknown' : isGood(condition) ? 'done' : 'failed');
    return `  ${mark} ${type.padEnd(width)}  ${status.padEnd(7)}  ${message} (${ago(since, now)})`;
  });
}

function lossText(probes: TunnelReport['probes']): string | undefined {
  if (probes === undefined || probes.sent === 0) return undefined;
  const percent = (100 * probes.lost) / probes.sent;
  return `loss ${percent.toFixed(percent > 0 && percent < 10 ? 1 : 0)} % of ${probes.sent} probes`;
}

function tunnelLines(tunnel: TunnelReport, now: number, paint: Painter): string[] {
  const { endpoint, gatewayNode, latestHandshake, roundTripMilliseconds, receivedBytes } = tunnel;
  const lines = conditionLines(tunnel.conditions, now, paint);
  const fact = (name: string, ...parts: (string | undefined)[]) => {
    const known = parts.filter((each) => each !== undefined);
    if (known.length > 0) lines.push(factLine(name, known.join(', ')));
  };
  fact('endpoint', endpoint, gatewayNode && `from gateway node ${gatewayNode}`);
  fact('handshake', latestHandshake && ago(latestHandshake, now));
  fact(
    'round trip',
    roundTripMilliseconds === undefined ? undefined : `${roundTripMilliseconds.toFixed(2)} ms`,
    lossText(tunnel.probes),
  );
  fact('MTU', String(tunnel.mtu), tunnel.pathMTU === undefined ? undefined : `path MTU ${tunnel.pathMTU}`);
  if (receivedBytes !== undefined)
    fact('traffic', `${bytes(receivedBytes)} received`, `${bytes(tunnel.sentBytes ?? 0)} sent`);
  const drops = Object.entries(tunnel.drops).filter(([, count]) => count > 0);
  fact('dropped', ...drops.map(([reason, count]) => `${reason} ${count}`));
  return [...lines, ...rangeLines(tunnel)];
}

/** The prefix by which each side knows each range of the other, and the ranges that wait. */
function rangeLines({ remaps, remoteRemaps, waitingRanges }: TunnelReport): string[] {
  const inUse = new Set(remaps.filter(({ state }) => state === 'InUse').map(({ real }) => real));
  const end = (real: string) =>
    inUse.has(real)
      ? ' (draining: removed with the last pod that has an address in it)'
      : ' (draining: the remote no longer declares it; kept in case it declares it again)';
  const texts = [
    ...remaps.map(({ real, mapped, state }) => {
      const how = real === mapped ? 'not remapped here' : `remapped here to ${mapped}`;
      return `remote ${real} ${how}${state === 'Draining' ? end(real) : ''}`;
    }),
    ...remoteRemaps.map(
      ({ real, mapped }) =>
        `local ${real} ${real === mapped ? 'not remapped there' : `remapped there to ${mapped}`}`,
    ),
    ...waitingRanges.map((text) => `waiting: ${text}`),
  ];
  return texts.map((text, index) => factLine(index === 0 ? 'ranges' : '', text));
}
