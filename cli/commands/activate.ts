import { desireCommand } from '../desire.ts';

export const command = desireCommand({
  name: 'activate',
  desired: 'Active',
  summary: 'allow new pods again after cordon or drain',
  description: `Reverts this side's cordon or drain. If the other side has cordoned or drained the peering, that stays in effect and
the command says so. Pods that were moved away do not return; their controllers may schedule new pods there again.`,
  examples: {
    outgoing: 'Schedule pods to a provider again',
    incoming: 'Accept pods from a consumer again',
  },
  seconds: 30,
  advice: 'The desired state is kept and the controller continues; see "hawser status".',
});
