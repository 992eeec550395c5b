import type { KubernetesObject } from '../../shared/api/meta.ts';
import { apiVersion } from '../../shared/api/meta.ts';
import type { NamespaceOffloading } from '../../shared/api/offloading.ts';
import { findCondition } from '../../shared/conditions.ts';
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
import { CommandError, UsageError } from '../exit.ts';
import { core, hawser, withKube, type Kube } from '../kube.ts';
import { formatOf, printFacts } from '../output.ts';
import { timeoutOf, waitUntil } from '../wait.ts';

const defaultSeconds = 30;
export const offloadingName = 'offloading';
type Placement = NamespaceOffloading['spec']['podPlacement'];
const placements: readonly Placement[] = ['Local', 'Remote', 'LocalAndRemote'];

function specOf(invocation: Invocation): NamespaceOffloading['spec'] {
  const wanted = text(invocation, 'placement') ?? 'LocalAndRemote';
  const podPlacement = placements.find((each) => each.toLowerCase() === wanted.toLowerCase());
  if (podPlacement === undefined)
    throw new UsageError(`--placement ${wanted}: there are ${placements.join(', ')}`);
  const matchLabels: Record<string, string> = {};
  for (const selector of texts(invocation, 'selector')) {
    const [key = '', value, ...more] = selector.split('=');
    if (key === '' || value === undefined || more.length > 0) {
      throw new UsageError(`--selector ${selector}: LABEL=VALUE is wanted`);
    }
    matchLabels[key] = value;
  }
  const twinName = text(invocation, 'twin-name');
  const stopAfter = text(invocation, 'stop-after');
  const seconds = Number((stopAfter ?? '1').replace(/s$/, ''));
  if (!(Number.isInteger(seconds) && seconds >= 1 && seconds <= 31_536_000)) {
    throw new UsageError(`--stop-after ${stopAfter ?? ''}: seconds are wanted, 1 to 31536000`);
  }
  return {
    podPlacement,
    ...(Object.keys(matchLabels).length > 0 && { clusterSelector: { matchLabels } }),
    ...(twinName !== undefined && { twinName }),
    ...(stopAfter !== undefined && { onDisconnect: { policy: 'StopAfter' as const, seconds } }),
  };
}

async function write(kube: Kube, namespace: string, spec: NamespaceOffloading['spec']): Promise<void> {
  const resource = hawser('namespaceoffloadings', namespace);
  const existing = await kube.get<NamespaceOffloading>(resource, offloadingName);
  if (existing?.metadata.deletionTimestamp !== undefined) {
    throw new CommandError(`${namespace} is being brought home; wait until hawser status no longer shows it`);
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
      spec: { clusterSelector: null, twinName: null, onDisconnect: null, ...spec },
    });
}

/** The namespace that the arguments name: `namespace NAME` was taken as the command, NAME is left. */
export function namespaceArgument(invocation: Invocation): string {
  const [name, ...more] = invocation.arguments;
  if (name === undefined || more.length > 0) throw new UsageError('one namespace is wanted');
  return name;
}

export const command: Command = {
  name: 'offload namespace',
  summary: 'let the pods of a namespace run on providers',
  arguments: 'NAME',
  description: `Writes a NamespaceOffloading: every provider that is selected gets a twin of the namespace, and new pods of it may be
scheduled to the virtual nodes like to any other node. Pods that run already stay where they are. What the pods use
(ConfigMaps, Secrets, Services) follows them.`,
  options: {
    placement: {
      type: 'string',
      value: 'WHERE',
      help: 'LocalAndRemote: anywhere (default); Remote: only on providers; Local: only here',
    },
    selector: {
      type: 'string',
      short: 'l',
      multiple: true,
      value: 'LABEL=VALUE',
      help: 'only to such virtual nodes',
    },
    'twin-name': {
      type: 'string',
      value: 'NAME',
      help: 'name of the twin at the provider (default: NAME-CONSUMER)',
    },
    'stop-after': {
      type: 'string',
      value: 'SECONDS',
      help: 'let providers stop the pods when this cluster has been away for so long (default: they go on)',
    },
    ...timeoutOption(defaultSeconds),
    ...outputOption,
    ...clusterOptions,
  },
  examples: [
    ['Pods of shop may run anywhere', 'hawser offload namespace shop'],
    ['All of them at providers', 'hawser offload namespace shop --placement Remote'],
    ['Back again', 'hawser unoffload namespace shop'],
  ],
  run: (invocation) =>
    withKube(invocation, async (kube) => {
      formatOf(invocation);
      const name = namespaceArgument(invocation);
      const spec = specOf(invocation);
      const seconds = timeoutOf(invocation, defaultSeconds);
      const begun = invocation.now();
      await localCluster(kube);
      if ((await kube.get<KubernetesObject>(core('namespaces'), name)) === undefined) {
        throw new CommandError(
          `there is no namespace ${name}; make it first: kubectl create namespace ${name}`,
        );
      }
      await write(kube, name, spec);
      invocation.terminal.step('done', `NamespaceOffloading in ${name} written`, invocation.now() - begun);
      if (seconds === 0) return;
      const ready = await waitUntil(
        invocation,
        {
          seconds,
          advice: `The controller goes on by itself; kubectl describe namespaceoffloading -n ${name} shows how far.`,
        },
        async () => {
          const found = await kube.get<NamespaceOffloading>(
            hawser('namespaceoffloadings', name),
            offloadingName,
          );
          if (found === undefined)
            throw new CommandError(`the NamespaceOffloading in ${name} was deleted meanwhile`);
          const condition = findCondition(found.status?.conditions, 'Ready');
          const current = found.status?.observedGeneration === found.metadata.generation;
          if (condition?.status === 'True' && current) return { done: found };
          return { waitingFor: condition?.message ?? 'the controller to see it' };
        },
      );
      for (const { peering, twin } of ready.status?.remotes ?? []) {
        invocation.terminal.step('done', `twin ${twin ?? '?'} at ${peering}`, invocation.now() - begun);
      }
      const policies = findCondition(ready.status?.conditions, 'NetworkPoliciesHold');
      if (policies?.status === 'False') invocation.terminal.say(`Network policies: ${policies.message}`);
      const facts = {
        namespace: name,
        podPlacement: spec.podPlacement,
        remotes: ready.status?.remotes ?? [],
      };
      await printFacts(invocation, facts, ({ namespace, podPlacement }) =>
        podPlacement === 'Local'
          ? `New pods of ${namespace} run here only.`
          : `New pods of ${namespace} may run at ${ready.status?.remotes?.length ?? 0} provider(s).`,
      );
    }),
};
