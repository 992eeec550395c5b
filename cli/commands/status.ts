import { setTimeout as sleep } from 'node:timers/promises';
import { statusChanges } from '../status-changes.ts';
import { clusterOptions, outputOption, type Command, type Invocation } from '../command.ts';
import { peeringNotFound } from '../cluster.ts';
import { CommandError, exitCodes } from '../exit.ts';
import { withKube, type Kube } from '../kube.ts';
import { formatOf, printFacts } from '../output.ts';
import { readObjects } from '../read-objects.ts';
import { statusReport, type StatusReport } from '../status-report.ts';
import { inDepth, overview } from '../status-text.ts';

const watchMilliseconds = 1000;

async function look(invocation: Invocation, kube: Kube): Promise<StatusReport> {
  const [reference] = invocation.arguments;
  const report = statusReport(await readObjects(kube));
  if (reference === undefined) return report;
  const chosen = report.peerings.filter(
    ({ name, remoteCluster }) => name === reference || remoteCluster === reference,
  );
  if (chosen.length === 0) {
    throw peeringNotFound(
      reference,
      report.peerings.map((metadata) => ({ metadata })),
    );
  }
  return { ...report, peerings: chosen };
}

function render(invocation: Invocation, report: StatusReport): string {
  const { terminal } = invocation;
  const now = invocation.now();
  if (invocation.arguments.length === 0) return overview(report, now, terminal);
  const lines = report.unreadable.map((what) => `${terminal.style('yellow', 'not readable')}: ${what}`);
  return [...lines, ...report.peerings.map((peering) => inDepth(peering, now, terminal))].join('\n\n');
}

const verdictOf = (report: StatusReport): number =>
  report.peerings.every(({ ready }) => ready) ? exitCodes.done : exitCodes.failed;

/** Reads and shows until interrupted, which counts as success. */
async function watch(invocation: Invocation, kube: Kube): Promise<void> {
  const { terminal, signal } = invocation;
  const format = formatOf(invocation);
  const live = terminal.redraws && format === 'text';
  let last: StatusReport | undefined;
  let reported = '';
  if (live) terminal.clearScreen();
  while (!signal.aborted) {
    try {
      const report = await look(invocation, kube);
      reported = '';
      if (live) terminal.draw(render(invocation, report));
      else await append(invocation, last, report);
      last = report;
    } catch (error) {
      // An API server that does not answer at first is an error; later it may answer again.
      if (signal.aborted) break;
      if (last === undefined || !(error instanceof CommandError)) throw error;
      if (live) terminal.draw(`${error.message}\n\n${render(invocation, last)}`);
      else if (error.message !== reported) terminal.log(`hawser: ${error.message}`);
      reported = error.message;
    }
    await sleep(watchMilliseconds, undefined, { signal }).catch(() => undefined);
  }
}

/** Lines for what changed; for a program the whole report as one document, when something changed. */
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
  summary: 'show this cluster and its peerings, or one peering in detail',
  arguments: '[PEERING]',
  description: `Without an argument, shows this cluster, its nodes, and one line per peering. With the name of a peering or the ID of a
remote cluster, shows its phases with their times, its conditions, the tunnel, the remapped ranges, the grant and its use,
the identity, and the provider's report. The exit code is 1 if a peering that is shown is not Ready.
With --watch, a terminal is redrawn every second; a pipe gets one line per change, or with -o json one document per line.`,
  options: {
    watch: { type: 'boolean', short: 'w', help: 'watch for changes until interrupted' },
    ...outputOption,
    ...clusterOptions,
  },
  examples: [
    ['Show all peerings', 'hawser status'],
    ['Show one peering in detail', 'hawser status oak-2b1c'],
    ['Record changes', 'hawser status --watch | tee log'],
    ['Output for a program', 'hawser status -o json'],
  ],
  run: (invocation) =>
    withKube(invocation, async (kube) => {
      formatOf(invocation);
      if (invocation.options['watch'] === true) return watch(invocation, kube);
      const report = await look(invocation, kube);
      await printFacts(invocation, report, (facts) => render(invocation, facts));
      invocation.exitCode = verdictOf(report);
    }),
};
