import { setTimeout as sleep } from 'node:timers/promises';
import { statusChanges } from '../status-changes.ts';
import { clusterOptions, outputOption, type Command, type Invocation } from '../command.ts';
import { CommandError, exitCodes, UsageError } from '../exit.ts';
import { withKube, type Kube } from '../kube.ts';
import { formatOf, printFacts } from '../output.ts';
import { readObjects } from '../read-objects.ts';
import { statusReport, type StatusReport } from '../status-report.ts';
import { inDepth, overview } from '../status-text.ts';

const watchMilliseconds = 1000;

async function look(invocation: Invocation, kube: Kube): Promise<StatusReport> {
  const [wanted] = invocation.arguments;
  const report = statusReport(await readObjects(kube));
  if (wanted === undefined) return report;
  const chosen = report.peerings.filter(
    ({ name, remoteCluster }) => name === wanted || remoteCluster === wanted,
  );
  if (chosen.length === 0) {
    const names = report.peerings.map(({ name }) => name).join(', ') || 'none';
    throw new CommandError(`there is no peering ${wanted}; there are: ${names}`);
  }
  return { ...report, peerings: chosen };
}

function render(invocation: Invocation, report: StatusReport): string {
  const style = invocation.terminal.style.bind(invocation.terminal);
  const now = invocation.now();
  if (invocation.arguments.length === 0) return overview(report, now, style);
  const lines = report.unreadable.map((what) => `${style('yellow', 'not readable')}: ${what}`);
  return [...lines, ...report.peerings.map((peering) => inDepth(peering, now, style))].join('\n\n');
}

const verdictOf = (report: StatusReport): number =>
  report.peerings.every(({ ready }) => ready) ? exitCodes.done : exitCodes.failed;

/** Looks again and again until it is interrupted, which is how it ends well. */
async function watch(invocation: Invocation, kube: Kube): Promise<void> {
  const { terminal, signal } = invocation;
  const format = formatOf(invocation);
  const live = terminal.redraws && format === 'text';
  let last: StatusReport | undefined;
  let trouble = '';
  if (live) terminal.clearScreen();
  while (!signal.aborted) {
    try {
      const report = await look(invocation, kube);
      trouble = '';
      if (live) terminal.draw(render(invocation, report));
      else await append(invocation, last, report);
      last = report;
    } catch (error) {
      // What cannot be seen at the beginning is an error; later it may come back.
      if (signal.aborted) break;
      if (last === undefined || !(error instanceof CommandError)) throw error;
      if (live) terminal.draw(`${error.message}\n\n${render(invocation, last)}`);
      else if (error.message !== trouble) terminal.say(`hawser: ${error.message}`);
      trouble = error.message;
    }
    await sleep(watchMilliseconds, undefined, { signal }).catch(() => undefined);
  }
}

/** What is new, in lines; for a program the whole report as one document, when something is. */
async function append(
  invocation: Invocation,
  before: StatusReport | undefined,
  report: StatusReport,
): Promise<void> {
  const { terminal } = invocation;
  const changes = statusChanges(before, report);
  if (changes.length === 0 && before !== undefined) return;
  const format = formatOf(invocation);
  if (format === 'json') terminal.print(JSON.stringify(report));
  else if (format === 'yaml') {
    terminal.print('---');
    await printFacts(invocation, report, () => '');
  } else {
    const time = new Date(invocation.now()).toISOString().slice(0, 19);
    for (const line of changes) terminal.print(`${time}Z ${line}`);
  }
}

export const command: Command = {
  name: 'status',
  summary: 'show this cluster and its peerings, or one peering in depth',
  arguments: '[PEERING]',
  description: `Without an argument: this cluster, its nodes, and one line a peering. With a peering or the ID of a remote cluster: its
phases with their times, conditions as sentences, the tunnel, how each side knows the other's ranges, what is granted and
used, the identity, and what the provider says of it. Exit code 1 if something that is shown is not Ready.
With --watch a terminal shows it anew each second; into a pipe go lines for what changes, or with -o json one document a
line. It ends with Ctrl-C.`,
  options: {
    watch: { type: 'boolean', short: 'w', help: 'go on showing what changes until interrupted' },
    ...outputOption,
    ...clusterOptions,
  },
  examples: [
    ['All at a glance', 'hawser status'],
    ['One in depth', 'hawser status oak-2b1c'],
    ['What happens from now on, as lines', 'hawser status --watch | tee log'],
    ['For a program', 'hawser status -o json'],
  ],
  run: (invocation) =>
    withKube(invocation, async (kube) => {
      if (invocation.arguments.length > 1) throw new UsageError('one peering at most');
      formatOf(invocation);
      if (invocation.options['watch'] === true) return watch(invocation, kube);
      const report = await look(invocation, kube);
      await printFacts(invocation, report, (facts) => render(invocation, facts));
      invocation.exitCode = verdictOf(report);
    }),
};
