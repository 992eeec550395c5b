import type { KubernetesObject } from '../../shared/api/meta.ts';
import type { IncomingPeering, OutgoingPeering } from '../../shared/api/peerings.ts';
import { findCondition } from '../../shared/conditions.ts';
import { labels } from '../../shared/names.ts';
import { residueConfigMap, residueOf } from '../../shared/residue.ts';
import { plainLine } from '../../shared/plain-text.ts';
import { choosePeering, directedPeeringNotFound, localCluster } from '../cluster.ts';
import { clusterOptions, timeoutOption, type Command, type Invocation } from '../command.ts';
import { CommandError, UsageError } from '../exit.ts';
import { core, hawser, withKube, type Kube } from '../kube.ts';
import { timeoutOf, waitUntil } from '../wait.ts';
import { clear, forceOption } from './clear.ts';

export const defaultSeconds = 120;
/** Objects that are still being deleted when the peering's object is gone have this long. */
const afterwardsMilliseconds = 10_000;
type Peering = OutgoingPeering | IncomingPeering;
type ResidueMap = KubernetesObject & { data?: Record<string, string> };

/** Objects that are left of a peering whose own object is gone. Empty when it is removed completely. */
async function leftovers(kube: Kube, peering: Peering): Promise<string[]> {
  const name = peering.metadata.name;
  const remote = peering.spec.remoteCluster;
  const left: string[] = [];
  const check = async (what: string, found: Promise<KubernetesObject | undefined>) => {
    if ((await found) !== undefined) left.push(what);
  };
  const others = [
    ...(await kube.list<OutgoingPeering>(hawser('outgoingpeerings'))),
    ...(await kube.list<IncomingPeering>(hawser('incomingpeerings'))),
  ].filter(({ spec }) => spec.remoteCluster === remote);
  if ('nodeName' in peering.spec) {
    const { nodeName } = peering.spec;
    await check(`node ${nodeName}`, kube.get(core('nodes'), nodeName));
    const secrets = await kube.list<KubernetesObject>(
      core('secrets', kube.namespace),
      `${labels.peering}=${name}`,
    );
    for (const { metadata } of secrets) left.push(`secret ${metadata.name} in ${kube.namespace}`);
  }
  const tenant = peering.status?.tenantNamespace;
  if (!('nodeName' in peering.spec) && tenant !== undefined) {
    await check(`namespace ${tenant}`, kube.get(core('namespaces'), tenant));
  }
  if (others.length === 0) {
    await check(`tunnel ${remote}`, kube.get(hawser('tunnels'), remote));
    await check(`remotecluster ${remote}`, kube.get(hawser('remoteclusters'), remote));
  }
  return left;
}

/** A `hawser peer` that was interrupted after its first write has left a token without a peering. */
async function removeInterrupted(invocation: Invocation, kube: Kube, reference: string): Promise<boolean> {
  const secrets = core('secrets', kube.namespace);
  const mine = await kube.list<KubernetesObject>(secrets, `${labels.managedBy}=hawser-cli`);
  const left = mine.filter(({ metadata }) =>
    [labels.peering, labels.remoteCluster].some((label) => metadata.labels?.[label] === reference),
  );
  for (const { metadata } of left) await kube.remove(secrets, metadata.name, metadata.uid);
  if (left.length === 0) return false;
  invocation.terminal.print(`Removed: the token of a peering with ${reference} that was never started.`);
  return true;
}

/** Deletes the peering, waits until it is removed, and reports what is left. */
export async function unpeer(invocation: Invocation, kube: Kube, incoming: boolean): Promise<void> {
  const [reference] = invocation.arguments;
  if (reference === undefined)
    throw new UsageError(
      '"hawser unpeer" requires REMOTE, or --all\nUse "hawser unpeer --help" for more information.',
    );
  const seconds = timeoutOf(invocation, defaultSeconds);
  await localCluster(kube);
  const outgoingPeerings = await kube.list<OutgoingPeering>(hawser('outgoingpeerings'));
  const incomingPeerings = await kube.list<IncomingPeering>(hawser('incomingpeerings'));
  const resource = hawser(incoming ? 'incomingpeerings' : 'outgoingpeerings');
  const peerings: Peering[] = incoming ? incomingPeerings : outgoingPeerings;
  const peering = choosePeering<Peering>(peerings, reference);
  if (peering === undefined) {
    if (!incoming && (await removeInterrupted(invocation, kube, reference))) return;
    const opposite = choosePeering<Peering>(incoming ? outgoingPeerings : incomingPeerings, reference);
    throw directedPeeringNotFound(reference, incoming, peerings, opposite);
  }
  const { name, uid } = peering.metadata;
  const startedAt = invocation.now();
  const { terminal } = invocation;
  await kube.remove(resource, name, uid);
  terminal.step('done', `${name} marked for deletion`, invocation.now() - startedAt);
  if (seconds === 0) return;
  let last: Peering = peering;
  let goneAt: number | undefined;
  const left = await waitUntil(
    invocation,
    { seconds, advice: `The controller continues; see "hawser status ${name}".` },
    async () => {
      const found = await kube.get<Peering>(resource, name);
      if (found !== undefined && found.metadata.uid === uid) {
        last = found;
        const message = findCondition(found.status?.conditions, 'Ready')?.message;
        return { waitingFor: message ?? 'the controller to remove it' };
      }
      const here = await leftovers(kube, last);
      goneAt ??= invocation.now();
      if (here.length > 0 && invocation.now() - goneAt < afterwardsMilliseconds) {
        return { waitingFor: `the deletion of ${here.join(', ')}` };
      }
      return { done: here };
    },
  );
  const kept = await kube.get<ResidueMap>(core('configmaps', kube.namespace), residueConfigMap);
  const residue = [...residueOf(kept?.data, uid ?? ''), ...left.map((each) => `${each} still exists`)];
  if (residue.length === 0) {
    terminal.step('done', 'all its objects are deleted', invocation.now() - startedAt);
    terminal.print(`Removed: ${name}.`);
    return;
  }
  throw new CommandError(
    `${name} was removed, but these objects are left:\n${residue.map((line) => `  - ${plainLine(line)}`).join('\n')}`,
  );
}

export const command: Command = {
  name: 'unpeer',
  summary: 'remove a peering and everything that it created',
  arguments: '[REMOTE]',
  description: `Evicts the pods from the virtual node, deletes the twin namespaces, returns the identity, and closes the tunnel unless
another peering uses it. The command prints "Removed" only once everything is removed. If the other cluster is unreachable it
still completes, and lists what it could not remove there.
REMOTE is the ID of a cluster or the name of a peering, as "hawser status" shows them.`,
  options: {
    incoming: { type: 'boolean', help: 'act as the provider: remove an incoming peering' },
    all: { type: 'boolean', help: 'remove every peering of this cluster, in both directions' },
    force: { ...forceOption.force, help: `with --all: ${forceOption.force.help}` },
    ...timeoutOption(defaultSeconds),
    ...clusterOptions,
  },
  examples: [
    ['Remove the peering with a provider', 'hawser unpeer oak-2b1c'],
    ['Remove the peering of a consumer', 'hawser unpeer elm-7d3k --incoming'],
    ['Remove all peerings before Hawser is uninstalled', 'hawser unpeer --all'],
  ],
  run: (invocation) => {
    const { all, incoming, force } = invocation.options;
    if (all === true && (invocation.arguments.length > 0 || incoming === true))
      throw new UsageError('--all removes every peering in both directions; omit REMOTE and --incoming');
    if (all !== true && force === true) throw new UsageError('--force requires --all');
    return withKube(invocation, (kube) =>
      all === true ? clear(invocation, kube) : unpeer(invocation, kube, incoming === true),
    );
  },
};
