/** `hawser peer --plan` for people. Pure. */
import { ago } from '../ages.ts';
import { plainLine } from '../../shared/plain-text.ts';
import type { Painter } from '../terminal.ts';
import type { PeeringPlan } from './plan.ts';

export function planText(plan: PeeringPlan, now: number, paint: Painter): string {
  const { provider, grant } = plan;
  const lines = [
    `Plan for a peering with ${paint.style('bold', provider.id)}${provider.gatewayURL === undefined ? ', in-band' : ` at ${provider.gatewayURL}`} (Hawser ${provider.version}). Nothing was changed.`,
  ];
  const section = (title: string, items: readonly string[]) => {
    if (items.length > 0) lines.push('', paint.style('bold', title), ...items.map((item) => `  ${item}`));
  };
  section(
    'Remappings',
    plan.remappings.map(
      ({ real, mapped, new: fresh }) =>
        `remote ${real} ${real === mapped ? 'not remapped here, as LocalCluster.spec.acceptedRemoteCIDRs says' : `remapped here to ${mapped}`}${fresh ? '' : ' (in use already)'}`,
    ),
  );
  section('Waiting ranges', plan.waiting);
  section('Grant', [
    `${grant.cpu} CPUs, ${grant.memory} memory, ${grant.pods} pods; pod security ${grant.podSecurity}`,
    `by a token that expires ${ago(provider.tokenExpiresAt, now)} and can be redeemed once`,
  ]);
  section('Rights of this cluster at the provider', plan.rights.held);
  section('Rights of the provider in this cluster', plan.rights.given);
  section('Connections from this cluster', plan.endpoints.dialled);
  section('Reachable from the provider', plan.endpoints.exposed);
  section('Objects that the command creates', plan.writes);
  section('Effects on existing peerings', plan.disturbed);
  section(
    paint.style('red', 'Problems'),
    plan.problems.map((problem) => `${paint.mark('failed')} ${problem}`),
  );
  return lines.map(plainLine).join('\n');
}
