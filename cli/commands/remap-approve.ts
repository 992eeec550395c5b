import type { Tunnel } from '../../shared/api/network.ts';
import { annotations } from '../../shared/names.ts';
import { localCluster } from '../cluster.ts';
import { clusterOptions, timeoutOption, type Command, type Invocation } from '../command.ts';
import { CommandError } from '../exit.ts';
import { hawser, withKube, type Kube } from '../kube.ts';
import { timeoutOf, waitUntil } from '../wait.ts';

const defaultSeconds = 60;

/** The annotation with these ranges added. */
export function approvalsWith(present: string | undefined, ranges: readonly string[]): string {
  const before = (present ?? '').split(',').map((each) => each.trim());
  return [...new Set([...before, ...ranges])].filter((each) => each !== '').join(',');
}

async function approve(invocation: Invocation, kube: Kube): Promise<void> {
  const [remote = '', range] = invocation.arguments;
  const seconds = timeoutOf(invocation, defaultSeconds);
  await localCluster(kube);
  const tunnels = hawser('tunnels');
  const tunnel = await kube.get<Tunnel>(tunnels, remote);
  if (tunnel === undefined) {
    const known = (await kube.list<Tunnel>(tunnels)).map(({ metadata }) => metadata.name);
    throw new CommandError(`tunnel to "${remote}" not found (existing: ${known.join(', ') || 'none'})`);
  }
  const collisions = tunnel.status?.collisions ?? [];
  const chosen = collisions.filter(({ mapped }) => range === undefined || mapped === range);
  if (chosen.length === 0) {
    if (range !== undefined) {
      const waiting = collisions.map(({ mapped }) => mapped).join(', ') || 'none';
      throw new CommandError(`${range} does not wait for approval (waiting: ${waiting})`);
    }
    invocation.terminal.print(`No remapped range of ${remote} waits for approval.`);
    return;
  }
  const startedAt = invocation.now();
  const ranges = chosen.map(({ mapped }) => mapped);
  const approved = approvalsWith(tunnel.metadata.annotations?.[annotations.approvedRemaps], ranges);
  await kube.patch(tunnels, remote, {
    metadata: { annotations: { [annotations.approvedRemaps]: approved } },
  });
  const names = await waitUntil(
    invocation,
    { seconds, advice: `The approval is kept. To see the progress: kubectl describe tunnel ${remote}` },
    async () => {
      const { spec } = (await kube.get<Tunnel>(tunnels, remote)) ?? tunnel;
      const old = spec.remaps.filter(({ mapped }) => ranges.includes(mapped));
      const next = ranges.map((mapped) => {
        const real = tunnel.spec.remaps.find((each) => each.mapped === mapped)?.real;
        return spec.remaps.find((each) => each.real === real && each.state === 'InUse')?.mapped;
      });
      const moved = old.every(({ state }) => state === 'Draining') && !next.includes(undefined);
      return moved
        ? { done: next }
        : { waitingFor: `the controller to choose another range for ${ranges.join(', ')}` };
    },
  );
  for (const [index, old] of ranges.entries())
    invocation.terminal.step(
      'done',
      `${old} reassigned to ${names[index]}; running pods keep their addresses until they end`,
      invocation.now() - startedAt,
    );
}

export const command: Command = {
  name: 'remap approve',
  summary: 'allow a conflicting remapped range to be reassigned',
  arguments: 'REMOTE [RANGE]',
  description: `A remapped range of a remote can come into conflict with this cluster: with new pod, Service, node or reserved ranges. The
controller does not reassign it without approval, since that changes addresses under running connections; the Tunnel's
condition RemapsFree names the ranges that overlap. This command approves it. New pods at the remote get addresses of another
range. Running pods keep their addresses until they end, and then the old range is removed. Connections from pods of the
remote to pods here through the old range are closed.`,
  options: { ...timeoutOption(defaultSeconds), ...clusterOptions },
  examples: [
    ['Approve all ranges that conflict', 'hawser remap approve milan-4q7xkd'],
    ['Approve one range', 'hawser remap approve milan-4q7xkd 10.128.0.0/16'],
  ],
  run: (invocation) => withKube(invocation, (kube) => approve(invocation, kube)),
};
