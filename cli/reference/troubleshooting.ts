/** docs/troubleshooting.md: one section per check of `hawser doctor`, whose heading is the check's name. Pure. */
import { checkTexts, type CheckName } from '../doctor/catalog.ts';
import { groups, type Group } from '../doctor/finding.ts';
import { generatedNote } from './commands.ts';

export function troubleshooting(): string {
  return [
    generatedNote('cli/doctor/catalog.ts'),
    '# Troubleshooting',
    'Run `hawser doctor` at the consumer first, then at the provider. It checks this cluster, the control plane, the tunnels and the offloaded workloads, and prints for each problem what was found, why it matters, how to fix it, and a link to the section of this page with the name of the check. `hawser status PEERING` shows one peering in detail, and `hawser trace NAMESPACE/POD NAMESPACE/POD` follows a packet hop by hop.',
    '| mark | means |\n| --- | --- |\n| ✓ | the check passed |\n| ✗ | a problem |\n| ! | a warning: it works, but not as well as it should |\n| ? | not checked, with the reason |',
    groups
      .map(
        (group) =>
          `- ${group}: ${namesOf(group)
            .map((name) => `[${name}](#${name})`)
            .join(', ')}`,
      )
      .join('\n'),
    ...groups.flatMap((group) => [`## ${group}: checks`, ...namesOf(group).map((name) => section(name))]),
    '',
  ].join('\n\n');
}

const namesOf = (group: Group): CheckName[] =>
  (Object.keys(checkTexts) as CheckName[]).filter((name) => checkTexts[name].group === group);

function section(name: CheckName): string {
  const { means, matters, steps } = checkTexts[name];
  const todo =
    steps.length === 1 ? ` ${steps[0] ?? ''}` : `\n\n${steps.map((step) => `- ${step}`).join('\n')}`;
  return `### ${name}\n\n**What it means.** ${means}\n\n**Why it matters.** ${matters}\n\n**What to do.**${todo}`;
}
