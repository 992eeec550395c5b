/** docs/cli.md, and the help texts that a test compares: both from the commands' definitions. Pure. */
import type { Command } from '../command.ts';
import { groups, type Entry } from '../commands.ts';
import { commandHelp, listHelp, optionText, usageLine } from '../help.ts';

export interface LoadedCommand {
  entry: Entry;
  command: Command;
}

export const loadAll = (entries: readonly Entry[]): Promise<LoadedCommand[]> =>
  Promise.all(entries.map(async (entry) => ({ entry, command: await entry.load() })));

export const generatedNote = (source: string): string =>
  `<!-- Generated from ${source} by "npm run generate"; do not edit. -->`;

/** Every command with its options and examples, as Markdown. */
export function cliReference(commands: readonly LoadedCommand[]): string {
  const listed = groups.map((group) => ({
    group,
    own: commands.filter(({ entry }) => entry.group === group),
  }));
  const sections = [...listed, { group: 'Processes', own: commands.filter(({ entry }) => !entry.group) }];
  const contents = sections.flatMap(({ group, own }) => [
    `- ${group}`,
    ...own.map(
      ({ command: { name, summary } }) =>
        `  - [\`hawser ${name}\`](#hawser-${name.replaceAll(' ', '-')}): ${summary}`,
    ),
  ]);
  return [
    generatedNote('cli/commands'),
    '# Command line',
    'Facts are written to standard output, progress and errors to standard error. `-o json` and `-o yaml` write the same facts for programs. Colours are used on terminals unless `NO_COLOR` is set or `TERM` is `dumb`; the marks `✓ ✗ ! ?` become `OK FAIL WARN SKIP` where the locale is not UTF-8. Control characters in text from other clusters are written as escapes, such as `\\u001b`.',
    '| exit code | means |\n| --- | --- |\n| 0 | success |\n| 1 | the operation failed, or something is not Ready |\n| 2 | invalid arguments; nothing was tried |\n| 3 | timed out; the operation continues in the cluster |\n| 130 | interrupted; the operation continues in the cluster |',
    contents.join('\n'),
    ...sections.flatMap(({ group, own }) => [
      `## ${group}`,
      ...(group === 'Processes'
        ? ['The chart or a script starts these; `hawser --help` does not list them.']
        : []),
      ...own.map((each) => commandSection(each)),
    ]),
    '',
  ].join('\n\n');
}

function commandSection({ entry, command }: LoadedCommand): string {
  const options = Object.entries(command.options);
  return [
    `### hawser ${command.name}`,
    `${sentence(command.summary)}.`,
    `\`\`\`\n${usageLine(command)}\n\`\`\``,
    command.description,
    ...(entry.aliases.length > 0
      ? [`Aliases: ${entry.aliases.map((alias) => `\`hawser ${alias}\``).join(', ')}`]
      : []),
    ...(options.length > 0
      ? [
          `| option | meaning |\n| --- | --- |\n${options
            .map(([name, option]) => `| \`${optionText(name, option).trim()}\` | ${cell(option.help)} |`)
            .join('\n')}`,
        ]
      : []),
    ...(command.examples.length > 0
      ? [`\`\`\`sh\n${command.examples.map(([purpose, line]) => `# ${purpose}\n${line}`).join('\n')}\n\`\`\``]
      : []),
  ].join('\n\n');
}

const sentence = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1);
const cell = (text: string): string => text.replaceAll('|', '\\|');

/** All help texts in one file, so that a change of words is visible in review. */
export function allHelp(commands: readonly LoadedCommand[]): string {
  const listed = groups.map((title) => ({
    title,
    commands: commands.filter(({ entry }) => entry.group === title).map(({ command }) => command),
  }));
  const texts: [line: string, text: string][] = [
    ['hawser --help', listHelp(listed, [])],
    ...commands.map(({ entry, command }): [string, string] => [
      `hawser ${command.name} --help`,
      commandHelp(command, entry.aliases),
    ]),
  ];
  return texts.map(([line, text]) => `$ ${line}\n${text}`).join('\n');
}
