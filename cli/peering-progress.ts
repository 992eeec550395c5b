/** Follows a peering that was started until it is Ready. */
import type { Tunnel } from '../shared/api/network.ts';
import type { OutgoingPeering } from '../shared/api/peerings.ts';
import { plainLine } from '../shared/plain-text.ts';
import type { Invocation } from './command.ts';
import { CommandError } from './exit.ts';
import { hawser, type Kube } from './kube.ts';
import { phasesOf } from './peering-phases.ts';
import { waitUntil } from './wait.ts';

/** Reasons of conditions that do not change by waiting. */
const permanent = new Set(['TokenRefused', 'TokenInvalid', 'KeyMismatch', 'Incompatible']);

export interface Following {
  /** When the command started, milliseconds since 1970. */
  startedAt: number;
  seconds: number;
  /** Steps that were reported already. */
  reported?: readonly string[];
}

/** Follows the peering until it is Ready, and reports each step once. */
export async function followPeering(
  invocation: Invocation,
  kube: Kube,
  name: string,
  { startedAt, seconds, reported: before = [] }: Following,
): Promise<OutgoingPeering> {
  const reported = new Set(before);
  const { terminal } = invocation;
  return waitUntil(
    invocation,
    {
      seconds,
      advice: `The controller continues. See "hawser status ${name}"; to give up, run "hawser unpeer ${name}".`,
    },
    async () => {
      const peering = await kube.get<OutgoingPeering>(hawser('outgoingpeerings'), name);
      if (peering === undefined) throw new CommandError(`${name} was deleted while this command waited`);
      const tunnel = await kube.get<Tunnel>(hawser('tunnels'), peering.spec.remoteCluster);
      const phases = phasesOf(peering, tunnel);
      for (const phase of phases) {
        if (!phase.done || reported.has(phase.name)) continue;
        reported.add(phase.name);
        terminal.step('done', phase.name, invocation.now() - startedAt);
      }
      const refused = peering.status?.conditions?.find(({ reason }) => permanent.has(reason));
      if (refused !== undefined)
        throw new CommandError(
          `${plainLine(refused.message)}\nTo undo the peering, run "hawser unpeer ${name}".`,
        );
      const missing = phases.find(({ done }) => !done);
      return missing === undefined ? { done: peering } : { waitingFor: missing.waitingFor };
    },
  );
}
