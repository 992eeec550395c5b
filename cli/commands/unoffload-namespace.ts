import type { NamespaceOffloading } from '../../shared/api/offloading.ts';
import { findCondition } from '../../shared/conditions.ts';
import { localCluster } from '../cluster.ts';
import { clusterOptions, timeoutOption, type Command } from '../command.ts';
import { hawser, withKube } from '../kube.ts';
import { timeoutOf, waitUntil } from '../wait.ts';
import { offloadingName } from './offload-namespace.ts';

const defaultSeconds = 120;

export const command: Command = {
  name: 'unoffload namespace',
  summary: 'move the pods of a namespace back and remove its twin namespaces',
  arguments: 'NAME',
  description: `Deletes the NamespaceOffloading. Pods on virtual nodes are evicted, respecting PodDisruptionBudgets, and their controllers
recreate them in this cluster. Then the twin namespaces are deleted. The command waits until all of that is complete.`,
  options: { ...timeoutOption(defaultSeconds), ...clusterOptions },
  examples: [['Move the pods of shop back', 'hawser unoffload namespace shop']],
  run: (invocation) =>
    withKube(invocation, async (kube) => {
      const [name = ''] = invocation.arguments;
      const seconds = timeoutOf(invocation, defaultSeconds);
      await localCluster(kube);
      const resource = hawser('namespaceoffloadings', name);
      const existing = await kube.get<NamespaceOffloading>(resource, offloadingName);
      if (existing === undefined) {
        invocation.terminal.print(`Namespace ${name} is not offloaded.`);
        return;
      }
      await kube.remove(resource, offloadingName, existing.metadata.uid);
      if (seconds === 0) return;
      await waitUntil(
        invocation,
        {
          seconds,
          advice: `The controller continues. To see its progress: kubectl describe namespaceoffloading -n ${name}`,
        },
        async () => {
          const found = await kube.get<NamespaceOffloading>(resource, offloadingName);
          if (found === undefined) return { done: true };
          return {
            waitingFor:
              findCondition(found.status?.conditions, 'Ready')?.message ??
              'the deletion of the twin namespaces',
          };
        },
      );
      invocation.terminal.print(`Namespace ${name} is no longer offloaded.`);
    }),
};
