import type { KubernetesObject } from '../../shared/api/meta.ts';
import { apiVersion } from '../../shared/api/meta.ts';
import type { NamespaceOffloading } from '../../shared/api/offloading.ts';
import { findCondition } from '../../shared/conditions.ts';
import { plainLine } from '../../shared/plain-text.ts';
import { localCluster } from '../cluster.ts';
import {
  clusterOptions,
  outputOption,
  text,
  texts,
  timeoutOption,
  type Command,
  type Invocation,
} from '../command.ts';
import { parseDuration } from '../duration.ts';
import { CommandError, UsageError } from '../exit.ts';
import { core, hawser, withKube, type Kube } from '../kube.ts';
import { formatOf, printFacts } from '../output.ts';
import { timeoutOf, waitUntil } from '../wait.ts';

const defaultSeconds = 30;
export const offloadingName = 'offloading';
type Placement = NamespaceOffloading['spec']['podPlacement'];
const placements: readonly Placement[] = ['Local', 'Remote', 'LocalAndRemote'];

function specOf(invocation: Invocation): NamespaceOffloading['spec'] {
  const requested = text(invocation, 'placement') ?? 'LocalAndRemote';
  const podPlacement = placements.find((each) => each.toLowerCase() === requested.toLowerCase());
  if (podPlacement === undefined)
    throw new UsageError(`--placement ${requested}: must be one of ${placements.join(', ')}`);
  const matchLabels: Record<string, string> = {};
  for (const selector of texts(invocation, 'selector')) {
    const [key = '', value, ...more] = selector.split('=');
    if (key === '' || value === undefined || more.length > 0) {
      throw new UsageError(`--selector ${selector}: must have the form LABEL=VALUE`);
    }
    matchLabels[key] = value;
  }
  const twinName = text(invocation, 'twin-name');
  const stopAfter = text(invocation, 'stop-after');
  const seconds =
    stopAfter === undefined
      ? undefined
      : parseDuration('stop-after', stopAfter, { least: 1, most: 31_536_000, shown: '1s to 365d' });
  return {
    podPlacement,
    ...(Object.keys(matchLabels).length > 0 && { clusterSelector: { matchLabels } }),
    ...(twinName !== undefined && { twinNamespace: twinName }),
    ...(seconds !== undefined && { onDisconnect: { policy: 'StopAfter' as const, seconds } }),
  };
}

async function write(kube: Kube, namespace: string, spec: NamespaceOffloading['spec']): Promise<void> {
  const resource = hawser('namespaceoffloadings', namespace);
  const existing = await kube.get<NamespaceOffloading>(resource, offloadingName);
  if (existing?.metadata.deletionTimestamp !== undefined) {
    throw new CommandError(
      `namespace ${namespace} is being unoffloaded; wait until its NamespaceOffloading is deleted`,
    );
  }
  if (existing === undefined) {
    await kube.create<NamespaceOffloading>(resource, {
      apiVersion,
      kind: 'NamespaceOffloading',
      metadata: { name: offloadingName, namespace },
      spec,
    });
  } else
    await kube.patch(resource, offloadingName, {
      spec: { clusterSelector: null, twinNamespace: null, onDisconnect: null, ...spec },
    });
}

export const command: Command = {
  name: 'offload namespace',
  summary: 'allow pods of a namespace to run on providers',
  arguments: 'NAME',
  description: `Creates a NamespaceOffloading: each selected provider gets a twin namespace, and new pods of the namespace can be scheduled to
virtual nodes as to any other node. Running pods stay where they are. The ConfigMaps, Secrets and Services that the pods use
are reflected into the twin namespaces.`,
  options: {
    placement: {
      type: 'string',
      value: 'WHERE',
      help: 'where new pods run: LocalAndRemote (default), Remote (only on providers) or Local',
    },
    selector: {
      type: 'string',
      short: 'l',
      multiple: true,
      value: 'LABEL=VALUE',
      help: 'only use virtual nodes with this label; can be repeated',
    },
    'twin-name': {
      type: 'string',
      value: 'NAME',
      help: 'name of the twin namespace, ending in the consumer ID or listed in the grant (default: NAME-CONSUMER)',
    },
    'stop-after': {
      type: 'string',
      value: 'DURATION',
      help: 'providers stop the pods when this cluster is unreachable for this long (default: never)',
    },
    ...timeoutOption(defaultSeconds),
    ...outputOption,
    ...clusterOptions,
  },
  examples: [
    ['Allow pods of shop to run anywhere', 'hawser offload namespace shop'],
    ['Run all new pods of shop on providers', 'hawser offload namespace shop --placement Remote'],
    ['Use one provider only', 'hawser offload namespace shop -l hawser.dev/remote-cluster=oak-2b1c'],
    ['Revert it', 'hawser unoffload namespace shop'],
  ],
  run: (invocation) =>
    withKube(invocation, async (kube) => {
      formatOf(invocation);
      const [name = ''] = invocation.arguments;
      const spec = specOf(invocation);
      const seconds = timeoutOf(invocation, defaultSeconds);
      const startedAt = invocation.now();
      await localCluster(kube);
      if ((await kube.get<KubernetesObject>(core('namespaces'), name)) === undefined) {
        throw new CommandError(
          `namespace "${name}" not found; create it first: kubectl create namespace ${name}`,
        );
      }
      await write(kube, name, spec);
      invocation.terminal.step(
        'done',
        `NamespaceOffloading created in namespace ${name}`,
        invocation.now() - startedAt,
      );
      if (seconds === 0) return;
      const ready = await waitUntil(
        invocation,
        {
          seconds,
          advice: `The controller continues. To see its progress: kubectl describe namespaceoffloading -n ${name}`,
        },
        async () => {
          const found = await kube.get<NamespaceOffloading>(
            hawser('namespaceoffloadings', name),
            offloadingName,
          );
          if (found === undefined)
            throw new CommandError(
              `the NamespaceOffloading in namespace ${name} was deleted while this command waited`,
            );
          const condition = findCondition(found.status?.conditions, 'Ready');
          const current = found.status?.observedGeneration === found.metadata.generation;
          if (condition?.status === 'True' && current) return { done: found };
          return { waitingFor: condition?.message ?? 'the controller to observe it' };
        },
      );
      for (const { peering, twinNamespace } of ready.status?.remotes ?? []) {
        invocation.terminal.step(
          'done',
          `twin namespace ${twinNamespace ?? '?'} at ${peering}`,
          invocation.now() - startedAt,
        );
      }
      const policies = findCondition(ready.status?.conditions, 'NetworkPoliciesHold');
      if (policies?.status === 'False')
        invocation.terminal.log(`Network policies: ${plainLine(policies.message)}`);
      const facts = {
        namespace: name,
        podPlacement: spec.podPlacement,
        remotes: ready.status?.remotes ?? [],
      };
      await printFacts(invocation, facts, ({ namespace, podPlacement }) =>
        podPlacement === 'Local'
          ? `New pods of ${namespace} run only in this cluster.`
          : `New pods of ${namespace} can run on ${ready.status?.remotes?.length ?? 0} provider(s).`,
      );
    }),
};
