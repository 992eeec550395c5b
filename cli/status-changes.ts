/** What is new between two looks: a line each, for `hawser status --watch` into a pipe. Pure. */
import type { ConditionReport, PeeringReport, StatusReport } from './status-report.ts';

const arrow = { Outgoing: '→', Incoming: '←' } as const;

/** Lines for what changed; at the first look, for all that is. Ages and counters are no change. */
export function statusChanges(before: StatusReport | undefined, after: StatusReport): string[] {
  const lines: string[] = [];
  const told = (who: string, was: readonly ConditionReport[] | undefined, is: readonly ConditionReport[]) => {
    for (const { type, status, message } of is) {
      const same = was?.find((each) => each.type === type);
      if (same?.status === status && same.message === message) continue;
      lines.push(`${who} ${type} ${{ True: 'yes', False: 'no', Unknown: '?' }[status]}: ${message}`);
    }
  };
  told(`cluster ${after.cluster.id ?? '(no ID yet)'}`, before?.cluster.conditions, after.cluster.conditions);
  for (const node of after.nodes) {
    const was = before?.nodes.find(({ name }) => name === node.name);
    if (was === undefined || was.programmed !== node.programmed || was.message !== node.message)
      lines.push(`node ${node.name} data path ${node.programmed ? 'yes' : `no: ${node.message ?? ''}`}`);
    for (const problem of node.problems)
      if (!was?.problems.includes(problem)) lines.push(`node ${node.name}: ${problem}`);
  }
  for (const { name } of before?.nodes ?? [])
    if (!after.nodes.some((node) => node.name === name)) lines.push(`node ${name} is gone`);
  for (const peering of after.peerings) {
    const was = before?.peerings.find((each) => isSame(each, peering));
    const who = `${arrow[peering.direction]} ${peering.name}`;
    if (was === undefined) lines.push(`${who} is there, desired ${peering.desired}`);
    else if (was.desired !== peering.desired) lines.push(`${who} desired ${peering.desired}`);
    if (peering.deleting && was?.deleting !== true) lines.push(`${who} is being removed`);
    told(who, was?.conditions, peering.conditions);
    told(`${who} tunnel`, was?.tunnel?.conditions, peering.tunnel?.conditions ?? []);
  }
  for (const peering of before?.peerings ?? [])
    if (!after.peerings.some((each) => isSame(each, peering)))
      lines.push(`${arrow[peering.direction]} ${peering.name} is gone`);
  return lines;
}

function isSame(one: PeeringReport, other: PeeringReport): boolean {
  return one.direction === other.direction && one.name === other.name;
}
