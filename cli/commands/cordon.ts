import { desireCommand } from '../desire.ts';

export const command = desireCommand({
  name: 'cordon',
  desired: 'Cordoned',
  summary: 'stop new pods from being scheduled to a provider, or from a consumer',
  description: `Running pods keep running; new pods are scheduled elsewhere. Either side can cordon a peering, and the stricter state
applies: when the provider cordons, the consumer's controller cordons the virtual node. "hawser activate" reverts it.`,
  examples: {
    outgoing: 'Schedule no new pods to a provider',
    incoming: 'Accept no new pods from a consumer',
  },
  seconds: 30,
  advice: 'The desired state is kept and the controller continues; see "hawser status".',
});
