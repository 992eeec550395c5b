import type { Condition, KubernetesObject } from '../../shared/api/meta.ts';
import { findCondition } from '../../shared/conditions.ts';
import { labels } from '../../shared/names.ts';
import { residueConfigMap, residueOf } from '../../shared/residue.ts';
import { plainLine } from '../../shared/plain-text.ts';
import { clusterOptions, timeoutOption, type Command, type Invocation, type Option } from '../command.ts';
import { CommandError, exitCodes } from '../exit.ts';
import { core, hawser, withKube, type Kube, type Resource } from '../kube.ts';
import { timeoutOf, waitUntil } from '../wait.ts';

const defaultSeconds = 120;
/** The number of objects that a message names; the others are counted. */
const mostNamed = 5;
const finalizerPrefix = 'hawser.dev/';

interface Remaining {
  resource: Resource;
  kind: string;
  object: KubernetesObject;
}

/** Deleted by this command; the controller then deletes what depends on them. */
const roots = ['namespaceoffloadings', 'outgoingpeerings', 'incomingpeerings'] as const;
/** Deleted by the controller. */
const followers = ['twinnamespaces', 'shadowpods', 'tunnels', 'remoteclusters'] as const;

async function remaining(kube: Kube): Promise<Remaining[]> {
  const of = async (resource: Resource, kind: string, selector?: string): Promise<Remaining[]> =>
    (await kube.list<KubernetesObject>(resource, selector)).map((object) => ({ resource, kind, object }));
  const all = await Promise.all([
    ...[...roots, ...followers].map((plural) => of(hawser(plural), plural.replace(/s$/, ''))),
    of(core('nodes'), 'node', `${labels.virtualNode}=true`),
    // Real pods, while their final status is still to be recorded.
    of(core('pods'), 'pod', labels.origin).then((pods) => pods.filter(isHeld)),
    // Tenant namespaces and twin namespaces.
    of(core('namespaces'), 'namespace', `${labels.managedBy}=hawser,${labels.origin}`),
  ]);
  return all.flat();
}

const isHeld = ({ object }: Remaining): boolean =>
  object.metadata.finalizers?.some((finalizer) => finalizer.startsWith(finalizerPrefix)) ?? false;

const nameOf = ({ kind, object: { metadata } }: Remaining): string =>
  `${kind} ${metadata.namespace === undefined ? '' : `${metadata.namespace}/`}${metadata.name}`;

const named = (objects: readonly Remaining[]): string =>
  `${objects
    .slice(0, mostNamed)
    .map((each) => nameOf(each))
    .join(', ')}${objects.length > mostNamed ? ` and ${objects.length - mostNamed} more` : ''}`;

const placeOf = ({ resource, object }: Remaining): Resource => ({
  ...resource,
  ...(object.metadata.namespace !== undefined && { namespace: object.metadata.namespace }),
});

/** Deletes all peerings and offloadings: the controller finalizes them. Returns what they were. */
async function deleteRoots(kube: Kube): Promise<KubernetesObject[]> {
  const deleted: KubernetesObject[] = [];
  for (const plural of roots) {
    for (const object of await kube.list<KubernetesObject>(hawser(plural))) {
      const { name, uid } = object.metadata;
      await kube.remove(placeOf({ resource: hawser(plural), kind: plural, object }), name, uid);
      deleted.push(object);
    }
  }
  return deleted;
}

/** Deletes stuck objects and Hawser's finalizers on them. Returns what may be left at other clusters. */
async function force(kube: Kube, stuck: readonly Remaining[]): Promise<string[]> {
  const left: string[] = [];
  for (const each of stuck) {
    const { metadata, spec } = each.object as KubernetesObject & { spec?: { remoteCluster?: string } };
    const place = placeOf(each);
    await kube.remove(place, metadata.name, metadata.uid);
    const finalizers = metadata.finalizers ?? [];
    const others = finalizers.filter((finalizer) => !finalizer.startsWith(finalizerPrefix));
    if (others.length < finalizers.length) {
      await kube.patch(place, metadata.name, { metadata: { finalizers: others } }).catch((error: unknown) => {
        // The controller deleted it first.
        if ((error as { status?: number }).status !== 404) throw error;
      });
    }
    if (each.kind === 'outgoingpeering') {
      left.push(
        `at the provider ${spec?.remoteCluster ?? ''}: the objects of ${metadata.name}; its administrator removes them with "hawser unpeer --incoming"`,
      );
    }
  }
  return left;
}

/** Removes every peering and offloading of this cluster. */
export async function clear(invocation: Invocation, kube: Kube): Promise<void> {
  const seconds = timeoutOf(invocation, defaultSeconds);
  const startedAt = invocation.now();
  const { terminal } = invocation;
  const deleted = await deleteRoots(kube);
  terminal.step(
    'done',
    `${deleted.length} peerings and offloadings marked for deletion`,
    invocation.now() - startedAt,
  );
  const left: string[] = [];
  try {
    await waitUntil(
      invocation,
      {
        seconds,
        advice:
          'The controller continues, if it runs. To delete objects that no controller finalizes any more: hawser clear --force',
      },
      async () => {
        const objects = await remaining(kube);
        if (objects.length === 0) return { done: true };
        const message = objects
          .map(({ object }) => {
            const { conditions } = (object.status ?? {}) as { conditions?: Condition[] };
            return findCondition(conditions, 'Ready')?.message;
          })
          .find((each) => each !== undefined);
        return {
          waitingFor: `the deletion of ${named(objects)}${message === undefined ? '' : ` (${message})`}`,
        };
      },
    );
  } catch (error) {
    const late = error instanceof CommandError && error.exitCode === exitCodes.late;
    if (!late || invocation.options['force'] !== true) throw error;
    const stuck = await remaining(kube);
    left.push(...(await force(kube, stuck)));
    terminal.step('done', `deleted by force: ${named(stuck)}`, invocation.now() - startedAt);
  }
  const kept = await kube.get<KubernetesObject & { data?: Record<string, string> }>(
    core('configmaps', kube.namespace),
    residueConfigMap,
  );
  for (const { metadata } of deleted) left.push(...residueOf(kept?.data, metadata.uid ?? ''));
  terminal.print('Cleared: this cluster has no peerings. Next: helm uninstall');
  if (left.length > 0)
    terminal.print(`Left at other clusters:\n${left.map((line) => `  - ${plainLine(line)}`).join('\n')}`);
}

export const forceOption = {
  force: {
    type: 'boolean',
    help: 'after the timeout, force-delete the remaining objects and their finalizers',
  },
} as const satisfies Record<string, Option>;

export const command: Command = {
  name: 'clear',
  summary: 'remove every peering of this cluster; same as "unpeer --all"',
  description: `Run it before Hawser is uninstalled. Deletes all offloadings and all outgoing and incoming peerings, and waits until their
pods, twin namespaces, virtual nodes and tunnels are deleted, so that no finalizer is left behind. Lists what could not be
removed at other clusters, with the command that removes it there.`,
  options: {
    ...forceOption,
    ...timeoutOption(defaultSeconds),
    ...clusterOptions,
  },
  examples: [
    ['Remove all peerings', 'hawser clear'],
    ['Remove all peerings when the controller no longer runs', 'hawser clear --timeout 10s --force'],
  ],
  run: (invocation) => withKube(invocation, (kube) => clear(invocation, kube)),
};
