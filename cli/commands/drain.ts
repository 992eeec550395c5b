import { desireCommand } from '../desire.ts';

export const command = desireCommand({
  name: 'drain',
  desired: 'Drained',
  summary: 'evict the pods from a provider, respecting disruption budgets',
  description: `Cordons the peering and evicts its pods through the consumer's eviction API, which respects the consumer's
PodDisruptionBudgets. With --incoming the provider requests it, and the consumer's controller evicts the pods. Pods of
DaemonSets and finished pods stay. The peering and its twin namespaces are kept. "hawser activate" reverts it.`,
  examples: {
    outgoing: 'Move all pods away from a provider',
    incoming: 'Request that a consumer moves its pods away',
  },
  seconds: 600,
  advice:
    'The desired state is kept, and pods are evicted as their disruption budgets allow (at the consumer: kubectl get pdb -A). "hawser activate" reverts it.',
});
