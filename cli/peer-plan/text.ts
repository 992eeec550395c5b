/** `hawser peer --plan` for people. Pure. */
import { ago } from '../ages.ts';
import type { Styler } from '../status-text.ts';
import type { PeeringPlan } from './plan.ts';

export function planText(plan: PeeringPlan, now: number, style: Styler): string {
  const { provider, grant } = plan;
  const lines = [
    `Peering with ${style('bold', provider.id)}${provider.gatewayURL === undefined ? ', in-band' : ` at ${provider.gatewayURL}`} (Hawser ${provider.version}) would be so. Nothing was changed.`,
  ];
  const section = (title: string, items: readonly string[]) => {
    if (items.length > 0) lines.push('', style('bold', title), ...items.map((item) => `  ${item}`));
  };
  section(
    'Remappings',
    plan.remappings.map(
      ({ real, mapped, new: fresh }) =>
        `theirs ${real} ${real === mapped ? 'would be known here as it is' : `would be known here as ${mapped}`}${fresh ? '' : ' (in use already)'}`,
    ),
  );
  section('Granted', [
    `${grant.cpu} CPUs, ${grant.memory} memory, ${grant.pods} pods; pod security ${grant.podSecurity}${grant.storageClasses?.length ? `; storage classes ${grant.storageClasses.join(', ')}` : ''}`,
    `by a token that expires ${ago(provider.tokenExpiresAt, now)} and works once`,
  ]);
  section('Rights of this cluster there', plan.rights.held);
  section('Rights of the provider here', plan.rights.given);
  section('This cluster would connect to', plan.endpoints.dialled);
  section('What could be reached', plan.endpoints.exposed);
  section('Written here at once', plan.writes);
  section('Disturbed', plan.disturbed);
  section(
    style('red', 'In the way'),
    plan.problems.map((problem) => style('red', problem)),
  );
  return lines.join('\n');
}
