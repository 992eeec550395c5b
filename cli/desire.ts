/** Cordon, drain and activate: write the desired state of a peering, and wait until the controller reports that it holds. */
import type { IncomingPeering, OutgoingPeering } from '../shared/api/peerings.ts';
import { findCondition } from '../shared/conditions.ts';
import { plainLine } from '../shared/plain-text.ts';
import { choosePeering, directedPeeringNotFound, localCluster } from './cluster.ts';
import { clusterOptions, timeoutOption, type Command, type Invocation, type Option } from './command.ts';
import { CommandError } from './exit.ts';
import { hawser, withKube, type Kube } from './kube.ts';
import { timeoutOf, waitUntil, type Look } from './wait.ts';

type Peering = OutgoingPeering | IncomingPeering;
type Desired = Peering['spec']['desired'];

/** One of the three commands. */
export interface DesireCommand {
  name: 'cordon' | 'drain' | 'activate';
  desired: Desired;
  summary: string;
  description: string;
  /** Purposes of the examples. */
  examples: { outgoing: string; incoming: string };
  seconds: number;
  /** Shown when it is not done at the deadline. */
  advice: string;
}

/** What the condition `Schedulable` reports. Throws when the other side asks for a stricter state. */
function look(peering: Peering, desired: Desired): Look<string> {
  const condition = findCondition(peering.status?.conditions, 'Schedulable');
  const generation = peering.metadata.generation ?? 0;
  if (condition === undefined || (condition.observedGeneration ?? 0) < generation) {
    const ready = findCondition(peering.status?.conditions, 'Ready');
    return {
      waitingFor:
        ready === undefined || ready.status === 'True'
          ? 'the controller to observe the change'
          : `the controller to observe the change (${ready.message})`,
    };
  }
  const { reason, message } = condition;
  if (desired === 'Active' && reason !== 'Active') {
    throw new CommandError(
      `${peering.metadata.name} is activated here, but ${plainLine(message)}; only the administrator of the other cluster can change that`,
    );
  }
  // A stricter state than the desired one satisfies it.
  const done = desired !== 'Drained' || reason === 'Drained';
  return done ? { done: message } : { waitingFor: message };
}

async function request(invocation: Invocation, kube: Kube, command: DesireCommand): Promise<void> {
  const incoming = invocation.options['incoming'] === true;
  const [remote = ''] = invocation.arguments;
  const seconds = timeoutOf(invocation, command.seconds);
  await localCluster(kube);
  const resources = { outgoing: hawser('outgoingpeerings'), incoming: hawser('incomingpeerings') };
  const [here, there] = incoming
    ? ([resources.incoming, resources.outgoing] as const)
    : ([resources.outgoing, resources.incoming] as const);
  const peerings = await kube.list<Peering>(here);
  const peering = choosePeering(peerings, remote);
  if (peering === undefined) {
    const opposite = choosePeering(await kube.list<Peering>(there), remote);
    throw directedPeeringNotFound(remote, incoming, peerings, opposite);
  }
  const { name } = peering.metadata;
  if (peering.metadata.deletionTimestamp !== undefined) {
    throw new CommandError(`${name} is being removed, which moves its pods away too`);
  }
  const startedAt = invocation.now();
  const { desired } = command;
  const written = await kube.patch<Peering>(here, name, { spec: { desired } });
  invocation.terminal.step('done', `${name}: desired state set to ${desired}`, invocation.now() - startedAt);
  if (seconds === 0) return;
  const message = await waitUntil(invocation, { seconds, advice: command.advice }, async () => {
    const found = await kube.get<Peering>(here, name);
    if (found === undefined || found.metadata.uid !== written.metadata.uid) {
      throw new CommandError(`${name} was removed while this command waited`);
    }
    return look(found, desired);
  });
  invocation.terminal.step('done', message, invocation.now() - startedAt);
  invocation.terminal.print(`${desired}: ${name}.`);
}

const incomingOption: Record<string, Option> = {
  incoming: { type: 'boolean', help: 'act as the provider, on an incoming peering' },
};

/** The command for one desired state. */
export const desireCommand = (command: DesireCommand): Command => ({
  name: command.name,
  summary: command.summary,
  arguments: 'REMOTE',
  description: `${command.description}
REMOTE is the ID of a cluster or the name of a peering, as "hawser status" shows them.`,
  options: { ...incomingOption, ...timeoutOption(command.seconds), ...clusterOptions },
  examples: [
    [command.examples.outgoing, `hawser ${command.name} oak-2b1c`],
    [command.examples.incoming, `hawser ${command.name} elm-7d3k --incoming`],
  ],
  run: (invocation) => withKube(invocation, (kube) => request(invocation, kube, command)),
});
