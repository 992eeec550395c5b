import { desiredCommand } from '../desire.ts';

export const command = desiredCommand({
  name: 'drain',
  desired: 'Drained',
  summary: 'move the pods away from a provider, keeping disruption budgets',
  description: `No new pods come, and those that are there are evicted by the consumer's eviction API, so that its disruption budgets are
kept. Asked for by the provider (--incoming) it reaches the consumer, which moves its own pods. Pods of DaemonSets and
finished ones stay. The peering and its twins live on; hawser activate takes it back.`,
  examples: { outgoing: 'Bring all pods home from a provider', incoming: 'Ask a consumer to move its pods' },
  seconds: 600,
  advice:
    'The wish stands, and the pods leave as their disruption budgets allow it (kubectl get pdb -A, at the consumer); hawser activate takes it back.',
});
