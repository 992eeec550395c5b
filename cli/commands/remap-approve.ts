import type { Tunnel } from '../../shared/api/network.ts';
import { annotations } from '../../shared/names.ts';
import { localCluster } from '../cluster.ts';
import { clusterOptions, timeoutOption, type Command, type Invocation } from '../command.ts';
import { CommandError, UsageError } from '../exit.ts';
import { hawser, withKube, type Kube } from '../kube.ts';
import { timeoutOf, waitUntil } from '../wait.ts';

const defaultSeconds = 60;

/** The annotation with one more range. */
export function approvalsWith(present: string | undefined, ranges: readonly string[]): string {
  const before = (present ?? '').split(',').map((each) => each.trim());
  return [...new Set([...before, ...ranges])].filter((each) => each !== '').join(',');
}

async function approve(invocation: Invocation, kube: Kube): Promise<void> {
  const [remote, range, ...more] = invocation.arguments;
  if (remote === undefined || more.length > 0)
    throw new UsageError('one remote cluster is wanted, and at most one range');
  const seconds = timeoutOf(invocation, defaultSeconds);
  await localCluster(kube);
  const tunnels = hawser('tunnels');
  const tunnel = await kube.get<Tunnel>(tunnels, remote);
  if (tunnel === undefined) {
    const known = (await kube.list<Tunnel>(tunnels)).map(({ metadata }) => metadata.name);
    throw new CommandError(`there is no tunnel to ${remote}; there are: ${known.join(', ') || 'none'}`);
  }
  const collisions = tunnel.status?.collisions ?? [];
  const chosen = collisions.filter(({ mapped }) => range === undefined || mapped === range);
  if (chosen.length === 0) {
    if (range !== undefined) {
      const waiting = collisions.map(({ mapped }) => mapped).join(', ') || 'none';
      throw new CommandError(`${range} does not wait for approval; those that do: ${waiting}`);
    }
    invocation.terminal.print(`No range of ${remote} waits for approval.`);
    return;
  }
  const begun = invocation.now();
  const ranges = chosen.map(({ mapped }) => mapped);
  const approved = approvalsWith(tunnel.metadata.annotations?.[annotations.approvedRemaps], ranges);
  await kube.patch(tunnels, remote, {
    metadata: { annotations: { [annotations.approvedRemaps]: approved } },
  });
  const names = await waitUntil(
    invocation,
    { seconds, advice: `the approval stays; see kubectl describe tunnel ${remote}` },
    async () => {
      const { spec } = (await kube.get<Tunnel>(tunnels, remote)) ?? tunnel;
      const old = spec.remaps.filter(({ mapped }) => ranges.includes(mapped));
      const next = ranges.map((mapped) => {
        const real = tunnel.spec.remaps.find((each) => each.mapped === mapped)?.real;
        return spec.remaps.find((each) => each.real === real && each.state === 'InUse')?.mapped;
      });
      const moved = old.every(({ state }) => state === 'Draining') && !next.includes(undefined);
      return moved ? { done: next } : { waitingFor: `another range for ${ranges.join(', ')}` };
    },
  );
  for (const [index, old] of ranges.entries())
    invocation.terminal.step(
      'done',
      `what was known as ${old} is ${names[index]} now; pods that run keep their addresses until they end`,
      invocation.now() - begun,
    );
}

export const command: Command = {
  name: 'remap approve',
  summary: 'let a range by which a remote is known here move',
  arguments: 'REMOTE [RANGE]',
  description: `When this cluster comes to use a range by which it already knows a remote (new pod ranges, Services, nodes, reserved
ranges), nothing moves by itself, since addresses would change under running connections: the Tunnel's condition RemapsFree names
what meets what. This lets it move. New pods get addresses of another range; those that run at the remote keep theirs until they
end, and then the old range is gone. Connections that pods of the remote have with pods here by the old range end.`,
  options: { ...timeoutOption(defaultSeconds), ...clusterOptions },
  examples: [
    ['All that meets something of this cluster', 'hawser remap approve milan-4q7xkd'],
    ['One range', 'hawser remap approve milan-4q7xkd 10.128.0.0/16'],
  ],
  run: (invocation) => withKube(invocation, (kube) => approve(invocation, kube)),
};
