import { clusterOptions, outputOption, type Command } from '../command.ts';
import { countVerdicts, diagnose } from '../doctor/diagnose.ts';
import { gatherFacts } from '../doctor/gather.ts';
import { doctorText } from '../doctor/text.ts';
import { peeringNotFound } from '../cluster.ts';
import { exitCodes } from '../exit.ts';
import { withKube } from '../kube.ts';
import { formatOf, printFacts } from '../output.ts';

export const command: Command = {
  name: 'doctor',
  summary: 'find problems of this cluster and its peerings, and how to fix them',
  arguments: '[PEERING]',
  description: `Checks this cluster, the control plane, the tunnels and the offloaded workloads. For each problem it shows what was found, why
it matters and what to do; docs/troubleshooting.md explains every check. Access to this cluster is enough to check both
sides: the controller requests each provider's report on the peering, and node daemons report rules of other software on
their nodes that block traffic. Nothing is changed, except an annotation that makes the controller request the reports.
The exit code is 1 if there is a problem, and 0 if there are only warnings.`,
  options: {
    stored: { type: 'boolean', help: 'use the providers’ last reports instead of requesting new ones' },
    ...outputOption,
    ...clusterOptions,
  },
  examples: [
    ['Check everything', 'hawser doctor'],
    ['Check one peering', 'hawser doctor oak-2b1c'],
    [
      'List the problems for a program',
      `hawser doctor -o json | jq '.findings[] | select(.verdict == "Bad")'`,
    ],
  ],
  run: (invocation) =>
    withKube(invocation, async (kube) => {
      const [only] = invocation.arguments;
      formatOf(invocation);
      const facts = await gatherFacts(invocation, kube, only, invocation.options['stored'] !== true);
      if (only !== undefined) {
        const { outgoing, incoming } = facts.objects;
        const known = [...outgoing, ...incoming];
        if (!known.some(({ metadata, spec }) => metadata.name === only || spec.remoteCluster === only))
          throw peeringNotFound(only, known);
      }
      const findings = diagnose(facts);
      const counts = countVerdicts(findings);
      const { terminal } = invocation;
      await printFacts(invocation, { findings, counts }, () => doctorText(findings, terminal));
      invocation.exitCode = counts.Bad > 0 ? exitCodes.failed : exitCodes.done;
    }),
};
