import type { Condition, KubernetesObject } from '../../shared/api/meta.ts';
import { findCondition } from '../../shared/conditions.ts';
import { labels } from '../../shared/names.ts';
import { residueConfigMap, residueOf } from '../../shared/residue.ts';
import { clusterOptions, timeoutOption, type Command, type Invocation } from '../command.ts';
import { CommandError, exitCodes, UsageError } from '../exit.ts';
import { core, hawser, withKube, type Kube, type Resource } from '../kube.ts';
import { timeoutOf, waitUntil } from '../wait.ts';

const defaultSeconds = 120;
/** Named in a message; more are counted. */
const mostNamed = 5;
const finalizerPrefix = 'hawser.dev/';

interface Held {
  resource: Resource;
  kind: string;
  object: KubernetesObject;
}

/** What is ended by hand, and with it all else. */
const roots = ['namespaceoffloadings', 'outgoingpeerings', 'incomingpeerings'] as const;
/** What goes with them. */
const followers = ['twinnamespaces', 'shadowpods', 'tunnels', 'remoteclusters'] as const;

async function held(kube: Kube): Promise<Held[]> {
  const of = async (resource: Resource, kind: string, selector?: string): Promise<Held[]> =>
    (await kube.list<KubernetesObject>(resource, selector)).map((object) => ({ resource, kind, object }));
  const all = await Promise.all([
    ...[...roots, ...followers].map((plural) => of(hawser(plural), plural.replace(/s$/, ''))),
    of(core('nodes'), 'node', `${labels.virtualNode}=true`),
    // Tenant namespaces and twins.
    of(core('namespaces'), 'namespace', `${labels.managedBy}=hawser,${labels.origin}`),
  ]);
  return all.flat();
}

const nameOf = ({ kind, object: { metadata } }: Held): string =>
  `${kind} ${metadata.namespace === undefined ? '' : `${metadata.namespace}/`}${metadata.name}`;

const named = (objects: readonly Held[]): string =>
  `${objects
    .slice(0, mostNamed)
    .map((each) => nameOf(each))
    .join(', ')}${objects.length > mostNamed ? ` and ${objects.length - mostNamed} more` : ''}`;

const placeOf = ({ resource, object }: Held): Resource => ({
  ...resource,
  ...(object.metadata.namespace !== undefined && { namespace: object.metadata.namespace }),
});

/** Marks all peerings and offloadings, once. Returns what they were. */
async function mark(kube: Kube): Promise<KubernetesObject[]> {
  const marked: KubernetesObject[] = [];
  for (const plural of roots) {
    for (const object of await kube.list<KubernetesObject>(hawser(plural))) {
      const { name, uid } = object.metadata;
      await kube.remove(placeOf({ resource: hawser(plural), kind: plural, object }), name, uid);
      marked.push(object);
    }
  }
  return marked;
}

/** Takes what is stuck away without its controller. Returns what may be left elsewhere. */
async function force(kube: Kube, stuck: readonly Held[]): Promise<string[]> {
  const left: string[] = [];
  for (const each of stuck) {
    const { metadata, spec } = each.object as KubernetesObject & { spec?: { remoteCluster?: string } };
    const place = placeOf(each);
    await kube.remove(place, metadata.name, metadata.uid);
    const finalizers = metadata.finalizers ?? [];
    const others = finalizers.filter((finalizer) => !finalizer.startsWith(finalizerPrefix));
    if (others.length < finalizers.length) {
      await kube.patch(place, metadata.name, { metadata: { finalizers: others } }).catch((error: unknown) => {
        // It ended by itself meanwhile.
        if ((error as { status?: number }).status !== 404) throw error;
      });
    }
    if (each.kind === 'outgoingpeering') {
      left.push(
        `at the provider ${spec?.remoteCluster ?? ''}: what it made for ${metadata.name}; its administrator removes it with hawser unpeer --incoming`,
      );
    }
  }
  return left;
}

async function clear(invocation: Invocation, kube: Kube): Promise<void> {
  if (invocation.arguments.length > 0) throw new UsageError('no argument is wanted');
  const seconds = timeoutOf(invocation, defaultSeconds);
  const begun = invocation.now();
  const { terminal } = invocation;
  const marked = await mark(kube);
  terminal.step(
    'done',
    `${marked.length} peerings and offloadings marked for removal`,
    invocation.now() - begun,
  );
  const left: string[] = [];
  try {
    await waitUntil(
      invocation,
      {
        seconds,
        advice:
          'The controller goes on by itself, if it runs. hawser clear --force takes away what nobody ends any more.',
      },
      async () => {
        const objects = await held(kube);
        if (objects.length === 0) return { done: true };
        const said = objects
          .map(({ object }) => {
            const { conditions } = (object.status ?? {}) as { conditions?: Condition[] };
            return findCondition(conditions, 'Ready')?.message;
          })
          .find((message) => message !== undefined);
        return { waitingFor: `${named(objects)} to go${said === undefined ? '' : ` (${said})`}` };
      },
    );
  } catch (error) {
    const late = error instanceof CommandError && error.exitCode === exitCodes.late;
    if (!late || invocation.options['force'] !== true) throw error;
    const stuck = await held(kube);
    left.push(...(await force(kube, stuck)));
    terminal.step('done', `taken away by force: ${named(stuck)}`, invocation.now() - begun);
  }
  const kept = await kube.get<KubernetesObject & { data?: Record<string, string> }>(
    core('configmaps', kube.namespace),
    residueConfigMap,
  );
  for (const { metadata } of marked) left.push(...residueOf(kept?.data, metadata.uid ?? ''));
  terminal.print('Cleared: no peering is left in this cluster. Next: helm uninstall');
  if (left.length > 0) terminal.print(`Left elsewhere:\n${left.map((line) => `  - ${line}`).join('\n')}`);
}

export const command: Command = {
  name: 'clear',
  summary: 'end every peering of this cluster, before Hawser is uninstalled',
  description: `Ends all offloadings, outgoing and incoming peerings, and waits until their pods, twins, nodes and tunnels are gone, so that
nothing of them is left that nobody removes any more. What could not be removed at other clusters is listed, with
the command that removes it there.`,
  options: {
    force: {
      type: 'boolean',
      help: 'when the time is over, take away what is still there, whoever was to end it',
    },
    ...timeoutOption(defaultSeconds),
    ...clusterOptions,
  },
  examples: [
    ['Leave all peerings', 'hawser clear'],
    ['The controller is gone already', 'hawser clear --timeout 10 --force'],
  ],
  run: (invocation) => withKube(invocation, (kube) => clear(invocation, kube)),
};
