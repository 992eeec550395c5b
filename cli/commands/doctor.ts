import { clusterOptions, outputOption, type Command } from '../command.ts';
import { countVerdicts, diagnose } from '../doctor/diagnose.ts';
import { gatherFacts } from '../doctor/gather.ts';
import { doctorText } from '../doctor/text.ts';
import { CommandError, exitCodes, UsageError } from '../exit.ts';
import { withKube } from '../kube.ts';
import { formatOf, printFacts } from '../output.ts';

export const command: Command = {
  name: 'doctor',
  summary: 'find what keeps a peering from working, and say what to do',
  arguments: '[PEERING]',
  description: `Looks at this cluster, the control plane, the tunnels and what is offloaded, and says of each what was seen, why it matters
and what to do. Both sides are looked at with this cluster's kubeconfig alone: the controller asks each provider how it sees
the peering (the provider answers that to nobody else), and node daemons report what of others on their nodes is in the way.
Nothing is changed but an annotation that tells the controller to ask. Exit code 1 if there is a problem; warnings alone are 0.`,
  options: {
    stored: { type: 'boolean', help: 'judge by what the providers said last, without asking them now' },
    ...outputOption,
    ...clusterOptions,
  },
  examples: [
    ['Everything', 'hawser doctor'],
    ['One peering', 'hawser doctor oak-2b1c'],
    ['What is wrong, for a program', `hawser doctor -o json | jq '.findings[] | select(.verdict == "Bad")'`],
  ],
  run: (invocation) =>
    withKube(invocation, async (kube) => {
      const [only, ...more] = invocation.arguments;
      if (more.length > 0) throw new UsageError('one peering at most');
      formatOf(invocation);
      const facts = await gatherFacts(invocation, kube, only, invocation.options['stored'] !== true);
      if (only !== undefined) {
        const { outgoing, incoming } = facts.objects;
        const known = [...outgoing, ...incoming];
        if (!known.some(({ metadata, spec }) => metadata.name === only || spec.remoteCluster === only)) {
          const names = known.map(({ metadata }) => metadata.name).join(', ') || 'none';
          throw new CommandError(`there is no peering ${only}; there are: ${names}`);
        }
      }
      const findings = diagnose(facts);
      const counts = countVerdicts(findings);
      const { terminal } = invocation;
      await printFacts(invocation, { findings, counts }, () =>
        doctorText(findings, terminal.style.bind(terminal)),
      );
      invocation.exitCode = counts.Bad > 0 ? exitCodes.failed : exitCodes.done;
    }),
};
