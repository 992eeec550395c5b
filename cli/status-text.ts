/** `hawser status` for people: one line a peering at a glance, one screen a peering in depth. Pure. */
import { ago, bytes, spanOf } from './ages.ts';
import type { ProviderReport } from '../shared/api/peerings.ts';
import type { ConditionReport, PeeringReport, StatusReport, TunnelReport } from './status-report.ts';
import { table, type Style } from './terminal.ts';

export type Styler = (style: Style, text: string) => string;

const arrow = { Outgoing: '→', Incoming: '←' } as const;
const role = { Outgoing: 'provider', Incoming: 'consumer' } as const;

function verdict(report: PeeringReport): string {
  if (report.deleting) return 'Ending';
  return report.ready ? 'Ready' : 'NotReady';
}

/** Why it isn't Ready: the summed-up condition, else the first that isn't true. */
function whyNot(report: PeeringReport): string {
  const ready = report.conditions.find(({ type }) => type === 'Ready');
  if (ready !== undefined) return ready.status === 'True' ? '' : ready.message;
  return report.conditions.find((each) => !isGood(each))?.message ?? 'nothing reported yet';
}

function clusterLines(report: StatusReport, style: Styler): string[] {
  const { cluster, nodes } = report;
  const lines = [
    `Cluster ${style('bold', cluster.id ?? '(no ID yet)')}  ${cluster.version === undefined ? '' : `Hawser ${cluster.version}`}`,
    `  pods ${cluster.podCIDRs.join(', ') || 'not detected'}, services ${cluster.serviceCIDRs.join(', ') || 'not detected'}, mapped addresses ${cluster.externalCIDR ?? 'none'}`,
    `  gateway ${cluster.gatewayURL ?? 'has no address yet'}`,
  ];
  for (const condition of cluster.conditions.filter(({ status }) => status !== 'True')) {
    lines.push(`  ${style('yellow', condition.type)}: ${condition.message}`);
  }
  const bad = nodes.filter(({ programmed }) => !programmed);
  const tunnelEndpoints = nodes
    .filter(({ tunnelEndpoint }) => tunnelEndpoint !== undefined)
    .map(({ name, tunnelEndpoint }) => `${name} (${tunnelEndpoint ?? ''})`);
  lines.push(
    `  data path on ${nodes.length - bad.length} of ${nodes.length} nodes; gateway nodes: ${tunnelEndpoints.join(', ') || 'none: kubectl label node NODE hawser.dev/gateway=true'}`,
  );
  for (const { name, message } of bad) lines.push(`  ${style('yellow', name)}: ${message ?? ''}`);
  for (const { name, problems } of nodes)
    for (const problem of problems) lines.push(`  ${style('yellow', name)}: ${problem}`);
  for (const what of report.unreadable) lines.push(`  ${style('yellow', 'not readable')}: ${what}`);
  return lines;
}

/** All peerings, one line each. */
export function overview(report: StatusReport, now: number, style: Styler): string {
  const lines = clusterLines(report, style);
  lines.push('');
  if (report.peerings.length === 0) {
    lines.push('No peerings. A provider issues a token with hawser token create; here: hawser peer TOKEN');
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
  for (const peering of notReady) lines.push(`${style('yellow', peering.name)}: ${whyNot(peering)}`);
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
export function inDepth(peering: PeeringReport, now: number, style: Styler): string {
  const lines = [
    `${arrow[peering.direction]} ${style('bold', peering.name)}: ${peering.remoteCluster} is the ${role[peering.direction]}; ${verdict(peering)}, desired ${peering.desired}`,
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
      peering.offloaded.map(({ namespace, twin }) => `${namespace} as ${twin ?? '?'}`).join(', '),
    );
  }
  if (peering.phases !== undefined && peering.createdAt !== undefined) {
    const start = Date.parse(peering.createdAt);
    fact('phases', `begun ${clockText(peering.createdAt)}`);
    for (const { name, at } of peering.phases.filter((phase) => Date.parse(phase.at) > start))
      fact('', `${name.padEnd(14)} ${clockText(at)}, after ${precisely(Date.parse(at) - start)}`);
  }
  lines.push('', 'Conditions', ...conditionLines(peering.conditions, now, style));
  if (peering.tunnel === undefined) lines.push('', 'Tunnel: none yet');
  else lines.push('', 'Tunnel', ...tunnelLines(peering.tunnel, now, style));
  if (peering.provider !== undefined)
    lines.push('', `Provider ${peering.remoteCluster}`, ...providerLines(peering.provider, now, style));
  if (peering.residue.length > 0)
    lines.push('', 'Left behind', ...peering.residue.map((line) => `  - ${line}`));
  return lines.join('\n');
}

const factLine = (name: string, value: string): string => `  ${name.padEnd(12)} ${value}`;

function identityText(
  { expiresAt, renewAfter, apiServerURL }: NonNullable<PeeringReport['identity']>,
  now: number,
): string {
  const expires = Date.parse(expiresAt) > now ? 'expires' : 'expired';
  const renewal =
    Date.parse(renewAfter) > now
      ? `is renewed ${ago(renewAfter, now)}`
      : `was to be renewed ${ago(renewAfter, now)}`;
  return `${expires} ${ago(expiresAt, now)}, ${renewal}, for ${apiServerURL}`;
}

function grantText({ grant, used }: PeeringReport): string | undefined {
  if (grant === undefined) return undefined;
  const of = (name: 'cpu' | 'memory' | 'pods', unit: string) =>
    `${used === undefined ? '' : `${used[name]} of `}${grant[name]}${unit}`;
  return `${of('cpu', ' CPUs')}, ${of('memory', ' memory')}, ${of('pods', ' pods')}${used === undefined ? '' : ' used'}; pod security ${grant.podSecurity}`;
}

/** What the other side says of the peering; a problem of now before what it told last. */
function providerLines(word: ProviderReport, now: number, style: Styler): string[] {
  const lines: string[] = [];
  if (word.problem !== undefined)
    lines.push(
      `  ${style('red', 'no ')} told nothing ${ago(word.requestedAt, now)}: ${word.problem.message}`,
    );
  const { state } = word;
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
  if (Math.abs(word.clockOffsetSeconds ?? 0) >= 2)
    facts.push(
      `its clock ${(word.clockOffsetSeconds ?? 0) > 0 ? 'ahead' : 'behind'} by ${spanOf(Math.abs(word.clockOffsetSeconds ?? 0) * 1000)}`,
    );
  lines.push(`  said ${ago(word.reportedAt, now)}: ${facts.join(', ')}`);
  for (const { message } of state.problems) lines.push(`  ${style('yellow', '-')} ${message}`);
  return lines;
}

/** `13:37:08Z` of today and `2026-01-01 13:37:08Z` of other days would be guessing: the whole of it. */
function clockText(time: string): string {
  return time.replace('T', ' ').replace(/\.\d+Z$/, 'Z');
}

/** Parts of seconds matter while it is young. */
function precisely(milliseconds: number): string {
  return milliseconds < 60_000 ? `${(milliseconds / 1000).toFixed(1)} s` : spanOf(milliseconds);
}

/** The sum first, and then in the order in which one rests on the other. */
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
/** Of these it is well when they are not so. */
const negativePolarity: ReadonlySet<string> = new Set(['Revoked']);
const isGood = ({ type, status }: ConditionReport): boolean =>
  status === (negativePolarity.has(type) ? 'False' : 'True');

function conditionLines(conditions: readonly ConditionReport[], now: number, style: Styler): string[] {
  if (conditions.length === 0) return ['  none reported yet'];
  const width = Math.max(...conditions.map(({ type }) => type.length));
  const words = { True: 'yes', False: 'no ', Unknown: '?  ' } as const;
  const inOrder = conditions.toSorted((one, next) => placeOf(one) - placeOf(next));
  return inOrder.map((condition) => {
    const { type, status, since, message } = condition;
    const colour = status === 'Unknown' ? 'yellow' : isGood(condition) ? 'green' : 'red';
    const word = style(colour, words[status]);
    return `  ${word} ${type.padEnd(width)}  ${message} (${ago(since, now)})`;
  });
}

function lossText(probes: TunnelReport['probes']): string | undefined {
  if (probes === undefined || probes.asked === 0) return undefined;
  const percent = (100 * probes.lost) / probes.asked;
  return `loss ${percent.toFixed(percent > 0 && percent < 10 ? 1 : 0)} % of ${probes.asked} probes`;
}

function tunnelLines(tunnel: TunnelReport, now: number, style: Styler): string[] {
  const { endpoint, gatewayNode, latestHandshake, roundTripMilliseconds, receivedBytes } = tunnel;
  const lines = conditionLines(tunnel.conditions, now, style);
  const fact = (name: string, ...parts: (string | undefined)[]) => {
    const said = parts.filter((each) => each !== undefined);
    if (said.length > 0) lines.push(factLine(name, said.join(', ')));
  };
  fact('endpoint', endpoint, gatewayNode && `through node ${gatewayNode}`);
  fact('handshake', latestHandshake && ago(latestHandshake, now));
  fact(
    'round trip',
    roundTripMilliseconds === undefined ? undefined : `${roundTripMilliseconds.toFixed(2)} ms`,
    lossText(tunnel.probes),
  );
  fact(
    'MTU',
    String(tunnel.mtu),
    tunnel.pathMTU === undefined ? undefined : `the path takes ${tunnel.pathMTU}`,
  );
  if (receivedBytes !== undefined)
    fact('passed', `${bytes(receivedBytes)} in`, `${bytes(tunnel.sentBytes ?? 0)} out`);
  const drops = Object.entries(tunnel.drops).filter(([, count]) => count > 0);
  fact('dropped', ...drops.map(([reason, count]) => `${reason} ${count}`));
  return [...lines, ...rangeLines(tunnel)];
}

/** How each side knows the other's ranges. */
function rangeLines({ remaps, remoteRemaps }: TunnelReport): string[] {
  const inUse = new Set(remaps.filter(({ state }) => state === 'InUse').map(({ real }) => real));
  const end = (real: string) =>
    inUse.has(real)
      ? '; it drains, and goes with the last pod that has an address of it'
      : '; they declare it no longer, and it is kept in case that they do again';
  const texts = [
    ...remaps.map(({ real, mapped, state }) => {
      const how = real === mapped ? 'is known here as it is' : `is known here as ${mapped}`;
      return `theirs ${real} ${how}${state === 'Draining' ? end(real) : ''}`;
    }),
    ...remoteRemaps.map(
      ({ real, mapped }) => `ours ${real} is known there as ${real === mapped ? 'it is' : mapped}`,
    ),
  ];
  return texts.map((text, index) => factLine(index === 0 ? 'ranges' : '', text));
}
