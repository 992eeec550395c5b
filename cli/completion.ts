/** Completion scripts, generated from the commands, so that they know every option. Pure. */
import type { Command } from './command.ts';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];
export const isShell = (word: string): word is Shell => (shells as readonly string[]).includes(word);

export function completionScript(shell: Shell, commands: readonly Command[]): string {
  if (shell === 'bash') return bash(commands);
  return shell === 'zsh' ? zsh(commands) : fish(commands);
}

/** The continuations of each prefix: the next words of commands, or the options of a complete one. */
function continuations(commands: readonly Command[]): Map<string, { word: string; help: string }[]> {
  const next = new Map<string, { word: string; help: string }[]>();
  const add = (before: string, word: string, help: string) => {
    const list = next.get(before) ?? [];
    if (!list.some((each) => each.word === word)) list.push({ word, help });
    next.set(before, list);
  };
  for (const command of commands) {
    const words = command.name.split(' ');
    for (const [index, word] of words.entries()) {
      const last = index === words.length - 1;
      add(words.slice(0, index).join(' '), word, last ? command.summary : `${word} …`);
    }
    for (const [name, { help }] of Object.entries(command.options)) add(command.name, `--${name}`, help);
    add(command.name, '--help', 'show help');
  }
  return next;
}

function bash(commands: readonly Command[]): string {
  const cases = [...continuations(commands)].map(
    ([before, words]) => `    '${before}') words='${words.map(({ word }) => word).join(' ')}' ;;`,
  );
  return `# Completion of hawser for bash.
_hawser() {
  local word command='' words='' current="\${COMP_WORDS[COMP_CWORD]}"
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) ;; *) [ "$(_hawser_words "\${command:+$command }$word")" ] && command="\${command:+$command }$word" ;; esac
  done
  words="$(_hawser_words "$command")"
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
_hawser_words() {
  local words=''
  case "$1" in
${cases.join('\n')}
  esac
  printf '%s' "$words"
}
complete -F _hawser hawser
`;
}

const quoted = (text: string): string => text.replaceAll("'", "'\\''");

function zsh(commands: readonly Command[]): string {
  const cases = [...continuations(commands)].map(
    ([before, words]) =>
      `    '${before}') reply=(${words.map(({ word, help }) => `'${quoted(`${word}:${help.replaceAll(':', '\\:')}`)}'`).join(' ')}) ;;`,
  );
  return `#compdef hawser
# Completion of hawser for zsh.
_hawser_words() {
  reply=()
  case "$1" in
${cases.join('\n')}
  esac
}
_hawser() {
  local word command='' reply
  for word in "\${words[@]:1:CURRENT-2}"; do
    [[ "$word" == -* ]] && continue
    _hawser_words "\${command:+$command }$word"
    (( \${#reply} )) && command="\${command:+$command }$word"
  done
  _hawser_words "$command"
  _describe 'hawser' reply
}
compdef _hawser hawser
`;
}

function fish(commands: readonly Command[]): string {
  const lines = [...continuations(commands)].flatMap(([before, words]) =>
    words.map(({ word, help }) => {
      const condition = `__hawser_after '${before}'`;
      const what = word.startsWith('--') ? `-l '${word.slice(2)}'` : `-a '${word}'`;
      return `complete -c hawser -f -n "${condition}" ${what} -d '${quoted(help)}'`;
    }),
  );
  return `# Completion of hawser for fish.
function __hawser_after
  set -l words (commandline -opc | string match -v -- '-*')
  set -l prefix (string split -n ' ' -- $argv[1])
  test (count $words) -eq (math 1 + (count $prefix)); or test (count $prefix) -gt 0 -a (count $words) -gt (count $prefix); or return 1
  test "$words[2..(math 1 + (count $prefix))]" = "$prefix"; or test (count $prefix) -eq 0
end
${lines.join('\n')}
`;
}
