/** Changes between two reports, one line each, for `hawser status --watch` into a pipe. Pure. */
import { plainLine } from '../shared/plain-text.ts';
import type { ConditionReport, PeeringReport, StatusReport } from './status-report.ts';

const arrow = { Outgoing: '→', Incoming: '←' } as const;

/** Lines for what changed; for the first report, for everything. Ages and counters do not count as changes. */
export function statusChanges(before: StatusReport | undefined, after: StatusReport): string[] {
  const lines: string[] = [];
  const report = (
    who: string,
    was: readonly ConditionReport[] | undefined,
    is: readonly ConditionReport[],
  ) => {
    for (const { type, status, message } of is) {
      const same = was?.find((each) => each.type === type);
      if (same?.status === status && same.message === message) continue;
      lines.push(`${who} ${type}=${status}: ${message}`);
    }
  };
  report(
    `cluster ${after.cluster.id ?? '(no ID yet)'}`,
    before?.cluster.conditions,
    after.cluster.conditions,
  );
  for (const node of after.nodes) {
    const was = before?.nodes.find(({ name }) => name === node.name);
    if (was === undefined || was.programmed !== node.programmed || was.message !== node.message)
      lines.push(
        `node ${node.name} data path ${node.programmed ? 'programmed' : `not programmed: ${node.message ?? ''}`}`,
      );
    for (const problem of node.problems)
      if (!was?.problems.includes(problem)) lines.push(`node ${node.name}: ${problem}`);
  }
  for (const { name } of before?.nodes ?? [])
    if (!after.nodes.some((node) => node.name === name)) lines.push(`node ${name} deleted`);
  for (const peering of after.peerings) {
    const was = before?.peerings.find((each) => isSame(each, peering));
    const who = `${arrow[peering.direction]} ${peering.name}`;
    if (was === undefined) lines.push(`${who} created, desired ${peering.desired}`);
    else if (was.desired !== peering.desired) lines.push(`${who} desired ${peering.desired}`);
    if (peering.deleting && was?.deleting !== true) lines.push(`${who} is being removed`);
    report(who, was?.conditions, peering.conditions);
    report(`${who} tunnel`, was?.tunnel?.conditions, peering.tunnel?.conditions ?? []);
  }
  for (const peering of before?.peerings ?? [])
    if (!after.peerings.some((each) => isSame(each, peering)))
      lines.push(`${arrow[peering.direction]} ${peering.name} deleted`);
  return lines.map(plainLine);
}

function isSame(one: PeeringReport, other: PeeringReport): boolean {
  return one.direction === other.direction && one.name === other.name;
}
