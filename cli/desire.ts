/** Cordon, drain and activate: a wish in a peering's spec, and the wait until the controller says that it holds. */
import type { IncomingPeering, OutgoingPeering } from '../shared/api/peerings.ts';
import { findCondition } from '../shared/conditions.ts';
import { choosePeering, localCluster } from './cluster.ts';
import { clusterOptions, timeoutOption, type Command, type Invocation, type Option } from './command.ts';
import { CommandError, UsageError } from './exit.ts';
import { hawser, withKube, type Kube } from './kube.ts';
import { timeoutOf, waitUntil, type Look } from './wait.ts';

type Peering = OutgoingPeering | IncomingPeering;
type Desired = Peering['spec']['desired'];

/** One of the three commands. */
export interface Request {
  name: 'cordon' | 'drain' | 'activate';
  desired: Desired;
  summary: string;
  description: string;
  /** What the examples are for. */
  examples: { outgoing: string; incoming: string };
  seconds: number;
  /** What is said while it is not done at the deadline. */
  advice: string;
}

/** What the condition `Schedulable` says of the wish. Throws when the other side's wish is the stricter one. */
function look(peering: Peering, desired: Desired): Look<string> {
  const condition = findCondition(peering.status?.conditions, 'Schedulable');
  const generation = peering.metadata.generation ?? 0;
  if (condition === undefined || (condition.observedGeneration ?? 0) < generation) {
    const ready = findCondition(peering.status?.conditions, 'Ready');
    return {
      waitingFor:
        ready === undefined || ready.status === 'True'
          ? 'the controller to take notice'
          : `the controller to take notice (${ready.message})`,
    };
  }
  const { reason, message } = condition;
  if (desired === 'Active' && reason !== 'Active') {
    throw new CommandError(
      `${peering.metadata.name} is activated here, but ${message}; its administrator alone can change that`,
    );
  }
  // Who asks for less than what holds has it.
  const done = desired !== 'Drained' || reason === 'Drained';
  return done ? { done: message } : { waitingFor: message };
}

async function request(invocation: Invocation, kube: Kube, wanted: Request): Promise<void> {
  const incoming = invocation.options['incoming'] === true;
  const [remote, ...more] = invocation.arguments;
  if (remote === undefined || more.length > 0)
    throw new UsageError('one remote cluster or peering is wanted');
  const seconds = timeoutOf(invocation, wanted.seconds);
  await localCluster(kube);
  const resources = { outgoing: hawser('outgoingpeerings'), incoming: hawser('incomingpeerings') };
  const [here, there] = incoming
    ? ([resources.incoming, resources.outgoing] as const)
    : ([resources.outgoing, resources.incoming] as const);
  const peerings = await kube.list<Peering>(here);
  const peering = choosePeering(peerings, remote);
  if (peering === undefined) {
    const other = choosePeering(await kube.list<Peering>(there), remote);
    const names = peerings.map(({ metadata }) => metadata.name).join(', ') || 'none';
    const hint =
      other === undefined
        ? `there are: ${names}`
        : `there is one the other way: ${incoming ? 'leave out --incoming' : 'add --incoming'}`;
    throw new CommandError(`there is no ${incoming ? 'incoming' : 'outgoing'} peering ${remote}; ${hint}`);
  }
  const { name } = peering.metadata;
  if (peering.metadata.deletionTimestamp !== undefined) {
    throw new CommandError(`${name} is being removed; its pods leave anyway`);
  }
  const begun = invocation.now();
  const { desired } = wanted;
  const written = await kube.patch<Peering>(here, name, { spec: { desired } });
  invocation.terminal.step('done', `${name}: ${desired} is wanted`, invocation.now() - begun);
  if (seconds === 0) return;
  const said = await waitUntil(invocation, { seconds, advice: wanted.advice }, async () => {
    const found = await kube.get<Peering>(here, name);
    if (found === undefined || found.metadata.uid !== written.metadata.uid) {
      throw new CommandError(`${name} was removed meanwhile`);
    }
    return look(found, desired);
  });
  invocation.terminal.step('done', said, invocation.now() - begun);
  invocation.terminal.print(`${desired}: ${name}.`);
}

const incomingOption: Record<string, Option> = {
  incoming: { type: 'boolean', help: 'as the provider: for what a consumer has here' },
};

/** The command for one wish. */
export const desiredCommand = (wanted: Request): Command => ({
  name: wanted.name,
  summary: wanted.summary,
  arguments: 'REMOTE',
  description: `${wanted.description} REMOTE is a cluster's ID or a peering's name, as
hawser status shows them.`,
  options: { ...incomingOption, ...timeoutOption(wanted.seconds), ...clusterOptions },
  examples: [
    [wanted.examples.outgoing, `hawser ${wanted.name} oak-2b1c`],
    [wanted.examples.incoming, `hawser ${wanted.name} elm-7d3k --incoming`],
  ],
  run: (invocation) => withKube(invocation, (kube) => request(invocation, kube, wanted)),
});
