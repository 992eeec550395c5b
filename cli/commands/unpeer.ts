import type { KubernetesObject } from '../../shared/api/meta.ts';
import type { IncomingPeering, OutgoingPeering } from '../../shared/api/peerings.ts';
import { findCondition } from '../../shared/conditions.ts';
import { labels } from '../../shared/names.ts';
import { residueConfigMap, residueOf } from '../../shared/residue.ts';
import { choosePeering, localCluster } from '../cluster.ts';
import { clusterOptions, timeoutOption, type Command, type Invocation } from '../command.ts';
import { CommandError, UsageError } from '../exit.ts';
import { core, hawser, withKube, type Kube } from '../kube.ts';
import { timeoutOf, waitUntil } from '../wait.ts';

export const defaultSeconds = 120;
/** What is on its way out when the peering's object is gone has this long to be gone too. */
const afterwardsMilliseconds = 10_000;
type Peering = OutgoingPeering | IncomingPeering;
type ResidueMap = KubernetesObject & { data?: Record<string, string> };

/** What is still here of a peering whose object is gone. Empty when it is true that it was removed. */
async function leftovers(kube: Kube, peering: Peering): Promise<string[]> {
  const name = peering.metadata.name;
  const remote = peering.spec.remoteCluster;
  const left: string[] = [];
  const see = async (what: string, found: Promise<KubernetesObject | undefined>) => {
    if ((await found) !== undefined) left.push(what);
  };
  const others = [
    ...(await kube.list<OutgoingPeering>(hawser('outgoingpeerings'))),
    ...(await kube.list<IncomingPeering>(hawser('incomingpeerings'))),
  ].filter(({ spec }) => spec.remoteCluster === remote);
  if ('nodeName' in peering.spec) {
    const { nodeName } = peering.spec;
    await see(`node ${nodeName}`, kube.get(core('nodes'), nodeName));
    const secrets = await kube.list<KubernetesObject>(
      core('secrets', kube.namespace),
      `${labels.peering}=${name}`,
    );
    for (const { metadata } of secrets) left.push(`secret ${metadata.name} in ${kube.namespace}`);
  }
  const tenant = peering.status?.tenantNamespace;
  if (!('nodeName' in peering.spec) && tenant !== undefined) {
    await see(`namespace ${tenant}`, kube.get(core('namespaces'), tenant));
  }
  if (others.length === 0) {
    await see(`tunnel ${remote}`, kube.get(hawser('tunnels'), remote));
    await see(`remotecluster ${remote}`, kube.get(hawser('remoteclusters'), remote));
  }
  return left;
}

/** A `hawser peer` that was interrupted in its first moment has left a token and no peering. */
async function removeInterrupted(invocation: Invocation, kube: Kube, wanted: string): Promise<boolean> {
  const secrets = core('secrets', kube.namespace);
  const mine = await kube.list<KubernetesObject>(secrets, `${labels.managedBy}=hawser-cli`);
  const left = mine.filter(({ metadata }) =>
    [labels.peering, labels.remoteCluster].some((label) => metadata.labels?.[label] === wanted),
  );
  for (const { metadata } of left) await kube.remove(secrets, metadata.name, metadata.uid);
  if (left.length === 0) return false;
  invocation.terminal.print(`Removed: the token of a peering with ${wanted} that was never begun.`);
  return true;
}

/** Marks for removal, waits, and says what is left. */
export async function unpeer(invocation: Invocation, kube: Kube, incoming: boolean): Promise<void> {
  const [wanted, ...more] = invocation.arguments;
  if (wanted === undefined || more.length > 0)
    throw new UsageError('one remote cluster or peering is wanted');
  const seconds = timeoutOf(invocation, defaultSeconds);
  await localCluster(kube);
  const outgoingPeerings = await kube.list<OutgoingPeering>(hawser('outgoingpeerings'));
  const incomingPeerings = await kube.list<IncomingPeering>(hawser('incomingpeerings'));
  const resource = hawser(incoming ? 'incomingpeerings' : 'outgoingpeerings');
  const peerings: Peering[] = incoming ? incomingPeerings : outgoingPeerings;
  const peering = choosePeering<Peering>(peerings, wanted);
  if (peering === undefined) {
    if (!incoming && (await removeInterrupted(invocation, kube, wanted))) return;
    const other = choosePeering<Peering>(incoming ? outgoingPeerings : incomingPeerings, wanted);
    const hint =
      other === undefined
        ? `there are: ${peerings.map(({ metadata }) => metadata.name).join(', ') || 'none'}`
        : `there is one the other way: ${incoming ? 'leave out --incoming' : 'add --incoming'}`;
    throw new CommandError(`there is no ${incoming ? 'incoming' : 'outgoing'} peering ${wanted}; ${hint}`);
  }
  const { name, uid } = peering.metadata;
  const begun = invocation.now();
  const { terminal } = invocation;
  await kube.remove(resource, name, uid);
  terminal.step('done', `${name} marked for removal`, invocation.now() - begun);
  if (seconds === 0) return;
  let last: Peering = peering;
  let goneAt: number | undefined;
  const left = await waitUntil(
    invocation,
    { seconds, advice: `It goes on by itself; see hawser status ${name}.` },
    async () => {
      const found = await kube.get<Peering>(resource, name);
      if (found !== undefined && found.metadata.uid === uid) {
        last = found;
        const message = findCondition(found.status?.conditions, 'Ready')?.message;
        return { waitingFor: message ?? 'the controller to undo it' };
      }
      const here = await leftovers(kube, last);
      goneAt ??= invocation.now();
      if (here.length > 0 && invocation.now() - goneAt < afterwardsMilliseconds) {
        return { waitingFor: `${here.join(', ')} to be gone` };
      }
      return { done: here };
    },
  );
  const kept = await kube.get<ResidueMap>(core('configmaps', kube.namespace), residueConfigMap);
  const residue = [...residueOf(kept?.data, uid ?? ''), ...left.map((each) => `${each} is still here`)];
  if (residue.length === 0) {
    terminal.step('done', 'everything of it is gone', invocation.now() - begun);
    terminal.print(`Removed: ${name}.`);
    return;
  }
  throw new CommandError(
    `${name} ended, but something of it is left:\n${residue.map((line) => `  - ${line}`).join('\n')}`,
  );
}

export const command: Command = {
  name: 'unpeer',
  summary: 'end a peering and remove everything it made',
  arguments: 'REMOTE',
  description: `Pods leave the virtual node, the twins go, the identity is given back, the tunnel is closed unless another peering needs
it. Ends in bounded time even when the other cluster is gone; then it lists what it could not remove there. "Removed" is
said when it is true, and not before. REMOTE is a cluster's ID or a peering's name, as hawser status shows them.`,
  options: {
    incoming: { type: 'boolean', help: 'as the provider: end what a consumer has here' },
    ...timeoutOption(defaultSeconds),
    ...clusterOptions,
  },
  examples: [
    ['Leave a provider', 'hawser unpeer oak-2b1c'],
    ['Put a consumer out', 'hawser unpeer elm-7d3k --incoming'],
  ],
  run: (invocation) =>
    withKube(invocation, (kube) => unpeer(invocation, kube, invocation.options['incoming'] === true)),
};
