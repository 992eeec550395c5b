import type { NamespaceOffloading } from '../../shared/api/offloading.ts';
import { findCondition } from '../../shared/conditions.ts';
import { localCluster } from '../cluster.ts';
import { clusterOptions, timeoutOption, type Command } from '../command.ts';
import { hawser, withKube } from '../kube.ts';
import { timeoutOf, waitUntil } from '../wait.ts';
import { namespaceArgument, offloadingName } from './offload-namespace.ts';

const defaultSeconds = 120;

export const command: Command = {
  name: 'unoffload namespace',
  summary: 'bring the pods of a namespace home and remove its twins',
  arguments: 'NAME',
  description: `Deletes the NamespaceOffloading. Pods on virtual nodes are evicted, respecting disruption budgets, and their controllers
make them again here; then the twins go. The command waits until that is true.`,
  options: { ...timeoutOption(defaultSeconds), ...clusterOptions },
  examples: [['Bring shop home', 'hawser unoffload namespace shop']],
  run: (invocation) =>
    withKube(invocation, async (kube) => {
      const name = namespaceArgument(invocation);
      const seconds = timeoutOf(invocation, defaultSeconds);
      await localCluster(kube);
      const resource = hawser('namespaceoffloadings', name);
      const existing = await kube.get<NamespaceOffloading>(resource, offloadingName);
      if (existing === undefined) {
        invocation.terminal.print(`${name} is not offloaded.`);
        return;
      }
      await kube.remove(resource, offloadingName, existing.metadata.uid);
      if (seconds === 0) return;
      await waitUntil(
        invocation,
        {
          seconds,
          advice: `It goes on by itself; kubectl describe namespaceoffloading -n ${name} shows how far.`,
        },
        async () => {
          const found = await kube.get<NamespaceOffloading>(resource, offloadingName);
          if (found === undefined) return { done: true };
          return {
            waitingFor:
              findCondition(found.status?.conditions, 'Ready')?.message ?? 'the twins to be removed',
          };
        },
      );
      invocation.terminal.print(`${name} is home.`);
    }),
};
