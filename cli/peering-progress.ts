/** Following a peering that was begun until it is Ready. */
import type { Tunnel } from '../shared/api/network.ts';
import type { OutgoingPeering } from '../shared/api/peerings.ts';
import type { Invocation } from './command.ts';
import { CommandError } from './exit.ts';
import { hawser, type Kube } from './kube.ts';
import { phasesOf } from './peering-phases.ts';
import { waitUntil } from './wait.ts';

/** Reasons of conditions that no waiting changes. */
const permanent = new Set(['TokenRefused', 'TokenInvalid', 'KeyMismatch', 'Incompatible']);

export interface Following {
  /** When the command began, milliseconds since 1970. */
  begun: number;
  seconds: number;
  /** Steps that were said already. */
  said?: readonly string[];
}

/** Follows the peering until it is Ready, and says each step once. */
export async function followPeering(
  invocation: Invocation,
  kube: Kube,
  name: string,
  { begun, seconds, said: before = [] }: Following,
): Promise<OutgoingPeering> {
  const said = new Set(before);
  const { terminal } = invocation;
  return waitUntil(
    invocation,
    {
      seconds,
      advice: `The controller goes on by itself. See hawser status ${name}; give up with hawser unpeer ${name}.`,
    },
    async () => {
      const peering = await kube.get<OutgoingPeering>(hawser('outgoingpeerings'), name);
      if (peering === undefined) throw new CommandError(`${name} was deleted meanwhile`);
      const tunnel = await kube.get<Tunnel>(hawser('tunnels'), peering.spec.remoteCluster);
      const phases = phasesOf(peering, tunnel);
      for (const phase of phases) {
        if (!phase.done || said.has(phase.name)) continue;
        said.add(phase.name);
        terminal.step('done', phase.name, invocation.now() - begun);
      }
      const refused = peering.status?.conditions?.find(({ reason }) => permanent.has(reason));
      if (refused !== undefined)
        throw new CommandError(`${refused.message}\nUndo with hawser unpeer ${name}.`);
      const missing = phases.find(({ done }) => !done);
      return missing === undefined ? { done: peering } : { waitingFor: missing.waitingFor };
    },
  );
}
