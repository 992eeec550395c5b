import type { LocalCluster } from '../../shared/api/clusters.ts';
import type { Tunnel } from '../../shared/api/network.ts';
import { annotations } from '../../shared/names.ts';
import { waitingText } from '../../shared/net/remapping.ts';
import { localCluster } from '../cluster.ts';
import { clusterOptions, timeoutOption, type Command, type Invocation } from '../command.ts';
import { CommandError, UsageError } from '../exit.ts';
import { hawser, withKube, type Kube } from '../kube.ts';
import { timeoutOf, waitUntil } from '../wait.ts';

const defaultSeconds = 60;

/** The annotation with these ranges added. */
export function approvalsWith(present: string | undefined, ranges: readonly string[]): string {
  const before = (present ?? '').split(',').map((each) => each.trim());
  return [...new Set([...before, ...ranges])].filter((each) => each !== '').join(',');
}

type Accepted = NonNullable<LocalCluster['spec']['acceptedRemoteCIDRs']>;

/** LocalCluster.spec.acceptedRemoteCIDRs with one more range of a remote. */
export function acceptedWith(present: Accepted | undefined, remoteCluster: string, range: string): Accepted {
  const before = present ?? [];
  const mine = before.find((each) => each.remoteCluster === remoteCluster);
  if (mine?.cidrs.includes(range) === true) return before;
  return [
    ...before.filter((each) => each !== mine),
    { remoteCluster, cidrs: [...(mine?.cidrs ?? []), range] },
  ];
}

/** What an approval changes. */
export interface Approval {
  /** Ranges to be added to the Tunnel's annotation. */
  annotated: string[];
  /** The range that is accepted without remapping. */
  accepted?: string;
  /** Declared ranges whose remap changes, with their current remap, if any. */
  moving: { real: string; from: string | undefined }[];
}

/** Pure. Throws UsageError or CommandError for a range that does not wait for approval. */
export function approvalOf(tunnel: Tunnel, range: string | undefined, asItIs: boolean): Approval {
  const { remoteCluster: id, remaps, remotePodCIDRs, remoteExternalCIDR } = tunnel.spec;
  const mappedOf = (real: string) =>
    remaps.find((each) => each.real === real && each.state === 'InUse')?.mapped;
  if (asItIs) {
    const declared = [...remotePodCIDRs, remoteExternalCIDR];
    if (range === undefined) throw new UsageError('--as-is requires RANGE');
    if (!declared.includes(range))
      throw new CommandError(`${id} does not declare ${range}; it declares: ${declared.join(', ')}`);
    const from = mappedOf(range);
    return {
      annotated: from === undefined || from === range ? [] : [from],
      accepted: range,
      moving: from === range ? [] : [{ real: range, from }],
    };
  }
  const { collisions = [], waitingRanges = [] } = tunnel.status ?? {};
  const moves = collisions
    .filter(({ mapped }) => range === undefined || mapped === range)
    .map(({ mapped }) => ({ real: remaps.find((each) => each.mapped === mapped)?.real ?? '', from: mapped }));
  if (moves.length > 0 || range === undefined)
    return { annotated: moves.map(({ from }) => from), moving: moves };
  const waiting = waitingRanges.find(({ real }) => real === range);
  if (waiting?.reason === 'NeedsApproval')
    return { annotated: [range], moving: [{ real: range, from: undefined }] };
  if (waiting?.reason === 'InUseOtherwise' && waiting.mapped !== undefined)
    return { annotated: [waiting.mapped], moving: [{ real: range, from: waiting.mapped }] };
  const others = [
    ...collisions.map(({ mapped }) => mapped),
    ...waitingRanges
      .filter(({ reason }) => reason === 'NeedsApproval' || reason === 'InUseOtherwise')
      .map(({ real }) => real),
  ];
  throw new CommandError(
    waiting === undefined
      ? `${range} does not wait for approval; those that do: ${others.join(', ') || 'none'}`
      : waitingText(id, waiting),
  );
}

async function accept(kube: Kube, local: LocalCluster, remote: string, range: string): Promise<void> {
  await kube.patch(hawser('localclusters'), 'self', {
    // The whole list is written, so the precondition protects concurrent changes.
    metadata: { resourceVersion: local.metadata.resourceVersion },
    spec: { acceptedRemoteCIDRs: acceptedWith(local.spec.acceptedRemoteCIDRs, remote, range) },
  });
}

async function approve(invocation: Invocation, kube: Kube): Promise<void> {
  const [remote = '', range] = invocation.arguments;
  const seconds = timeoutOf(invocation, defaultSeconds);
  const local = await localCluster(kube);
  const tunnels = hawser('tunnels');
  const tunnel = await kube.get<Tunnel>(tunnels, remote);
  if (tunnel === undefined) {
    const known = (await kube.list<Tunnel>(tunnels)).map(({ metadata }) => metadata.name);
    throw new CommandError(`tunnel to "${remote}" not found (existing: ${known.join(', ') || 'none'})`);
  }
  const { annotated, accepted, moving } = approvalOf(tunnel, range, invocation.options['as-is'] === true);
  if (annotated.length === 0 && accepted === undefined) {
    invocation.terminal.print(`No range of ${remote} waits for approval.`);
    return;
  }
  const startedAt = invocation.now();
  if (accepted !== undefined) await accept(kube, local, remote, accepted);
  if (annotated.length > 0)
    await kube.patch(tunnels, remote, {
      metadata: {
        annotations: {
          [annotations.approvedRemaps]: approvalsWith(
            tunnel.metadata.annotations?.[annotations.approvedRemaps],
            annotated,
          ),
        },
      },
    });
  const names = await waitUntil(
    invocation,
    { seconds, advice: `The approval is kept. To see the progress: kubectl describe tunnel ${remote}` },
    async () => {
      const { spec, status } = (await kube.get<Tunnel>(tunnels, remote)) ?? tunnel;
      const next = moving.map(({ real, from }) =>
        spec.remaps.find((each) => each.real === real && each.state === 'InUse' && each.mapped !== from),
      );
      if (!next.includes(undefined)) return { done: next.map((each) => each?.mapped ?? '') };
      const met = status?.waitingRanges?.find(
        ({ real, reason }) => real === accepted && reason === 'NotFree',
      );
      if (met !== undefined) throw new CommandError(waitingText(remote, met));
      return {
        waitingFor: `the controller to choose another range for ${moving.map(({ real }) => real).join(', ')}`,
      };
    },
  );
  for (const [index, { real, from }] of moving.entries())
    invocation.terminal.step(
      'done',
      from === undefined
        ? `${real} of ${remote} remapped to ${names[index]}`
        : `${from} reassigned to ${names[index]}; running pods keep their addresses until they end`,
      invocation.now() - startedAt,
    );
  if (moving.length === 0)
    invocation.terminal.step(
      'done',
      `${accepted} of ${remote} is accepted without remapping`,
      invocation.now() - startedAt,
    );
}

export const command: Command = {
  name: 'remap approve',
  summary: 'approve how a range of a remote is remapped here',
  arguments: 'REMOTE [RANGE]',
  description: `The ranges that a remote declares do not decide where traffic of this cluster goes: they are remapped into a pool of
this cluster. Three cases need approval; hawser status REMOTE lists the ranges that wait.

A remapped range can come into conflict with this cluster: with new pod, Service, node or reserved ranges. The controller does
not reassign it without approval, since that changes addresses under running connections; the Tunnel's condition RemapsFree names
the ranges that overlap. After approval, new pods at the remote get addresses of another range. Running pods keep their addresses
until they end, and then the old range is removed. Connections from pods of the remote to pods here through the old range are
closed.

A declared RANGE with which the remote would exceed its share of addresses is not remapped before it is approved.

With --as-is, a declared RANGE is used without remapping: it is added to LocalCluster.spec.acceptedRemoteCIDRs for this remote.
Traffic of this cluster to such addresses goes to the remote then, and to no other network that has them. A range that overlaps
what this cluster uses is remapped nevertheless.`,
  options: {
    'as-is': { type: 'boolean', help: 'use RANGE as the remote declares it, without remapping' },
    ...timeoutOption(defaultSeconds),
    ...clusterOptions,
  },
  examples: [
    ['Approve all ranges that conflict', 'hawser remap approve milan-4q7xkd'],
    ['Approve one range', 'hawser remap approve milan-4q7xkd 100.65.0.0/16'],
    ['Use a range without remapping', 'hawser remap approve milan-4q7xkd 10.42.0.0/16 --as-is'],
  ],
  run: (invocation) => withKube(invocation, (kube) => approve(invocation, kube)),
};
