import { desiredCommand } from '../desire.ts';

export const command = desiredCommand({
  name: 'cordon',
  desired: 'Cordoned',
  summary: 'let no new pods come to a provider, or from a consumer',
  description: `Pods that run there go on; new ones are placed elsewhere. Either side may ask for it, and the stricter wish holds: the
provider's reaches the consumer, which cordons its virtual node for it. hawser activate takes it back.`,
  examples: { outgoing: 'Place no new pods on a provider', incoming: 'Take no new pods of a consumer' },
  seconds: 30,
  advice: 'The wish stands, and the controller goes on by itself; hawser status shows what it says.',
});
