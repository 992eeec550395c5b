import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { entries, groups, suggestionsFor } from '../../cli/commands.ts';
import { checkTexts } from '../../cli/doctor/catalog.ts';
import { outdatedFiles } from '../../cli/reference/generate.ts';
import { troubleshooting } from '../../cli/reference/troubleshooting.ts';
import { hawser } from './run-cli.ts';

const cli = suite('hawser');

cli('without arguments, help lists the commands by group, without the processes', async () => {
  const { exitCode, stdout, stderr } = await hawser([]);
  assert.is(exitCode, 0);
  assert.is(stderr, '');
  assert.match(stdout, /provider\$ {2}hawser token create/);
  for (const group of groups) assert.match(stdout, new RegExp(`^${group}:$`, 'm'));
  for (const { name, group } of entries)
    assert.is(new RegExp(`^ {2}${name} `, 'm').test(stdout), group !== undefined, name);
});

cli('every command has a summary and examples that fit a line', async () => {
  for (const { name, load } of entries) {
    const { exitCode, stdout } = await hawser([...name.split(' '), '--help']);
    assert.is(exitCode, 0, name);
    assert.match(stdout, `Usage: hawser ${name}`);
    const { options, examples, summary, description } = await load();
    for (const option of Object.keys(options)) assert.match(stdout, `--${option}`);
    assert.ok(summary.length < 80, `the summary of ${name} fits its line`);
    for (const [, line] of examples) assert.ok(line.length < 110, line);
    for (const line of description.split('\n')) assert.ok(line.length <= 130, line);
  }
});

cli('help is found by each of its usual words', async () => {
  const direct = await hawser(['peer', '--help']);
  for (const words of [
    ['peer', '-h'],
    ['help', 'peer'],
    ['--help', 'peer'],
  ]) {
    assert.equal(await hawser(words), direct, words.join(' '));
  }
  assert.match((await hawser(['token', '--help'])).stdout, /token revoke/);
});

cli('an alias has the help of its command, which names the alias', async () => {
  const { stdout } = await hawser(['uncordon', '--help']);
  assert.equal(await hawser(['activate', '--help']), await hawser(['uncordon', '--help']));
  assert.match(stdout, 'Aliases: activate, uncordon');
});

cli('generated files are current; npm run generate rewrites them', async () => {
  assert.equal(await outdatedFiles(), []);
});

cli('docs/troubleshooting.md has one anchor per check of doctor', () => {
  const headings = [...troubleshooting().matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    // As GitHub makes anchors of headings.
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\- ]/gu, '')
      .replaceAll(' ', '-'),
  );
  assert.is(new Set(headings).size, headings.length, 'no two headings have one anchor');
  for (const name of Object.keys(checkTexts)) assert.ok(headings.includes(name), name);
});

cli('close names are suggested for an unknown command, the closest first', () => {
  const rows: [typed: string, suggestions: string[]][] = [
    ['staus', ['status']],
    ['dcotor', ['doctor']],
    ['create', ['token create']],
    ['token crate', ['token create']],
    ['unpeeer', ['unpeer']],
    ['cordon-node', []],
    ['deamon', []],
    ['foo', []],
    ['', []],
  ];
  for (const [typed, suggestions] of rows)
    assert.equal(suggestionsFor(typed.split(' ').filter((word) => word !== '')), suggestions, typed);
});

/** Invalid arguments, and the error. Each exits with 2, and reads no cluster. */
const wrong: [words: string[], expected: RegExp][] = [
  [['foo'], /unknown command "foo"\nUse "hawser --help"/],
  [['create'], /unknown command "create"\nDid you mean "hawser token create"\?/],
  [
    ['token'],
    /"token" needs a subcommand: "hawser token create", "hawser token list", "hawser token revoke"/,
  ],
  [['status', '--blub'], /Unknown option '--blub'[^]*hawser status --help/],
  [['peer'], /requires a peering token, "-" to read it from standard input, or --in-band/],
  [['peer', 'a', 'b'], /"hawser peer" takes at most 1 argument: \[TOKEN\] \(got 2\)/],
  [['peer', 'nonsense'], /begins with "hawser1\."/],
  [['peer', 'hawser1.AAAA'], /damaged/],
  [['peer', '-'], /standard input is empty/],
  [['peer', 'hawser1.AAAA', '--name', 'Not A Name'], /--name Not A Name: must be/],
  [['peer', 'hawser1.AAAA', '--timeout', 'soon'], /--timeout soon: must be a duration from 0 to 24h/],
  [['peer', 'hawser1.AAAA', '--cpu', '4'], /--cpu requires --in-band/],
  [
    ['peer', 'hawser1.AAAA', '-o', 'xml'],
    /--output xml: unsupported output format \(supported: json, yaml\)/,
  ],
  [['token', 'create', '--expires-in', '1w'], /--expires-in 1w: must be a duration/],
  [['token', 'create', '--expires-in', '5s'], /from 60s to 24h/],
  [['token', 'create', '--pods', 'many'], /--pods many: must be a number/],
  [['token', 'revoke'], /"hawser token revoke" requires exactly 1 argument: NAME \(got 0\)/],
  [['token', 'revoke', 'hawser1.AAAA'], /the token itself; give its name/],
  [['offload', 'namespace'], /requires exactly 1 argument: NAME/],
  [['offload', 'namespace', 'a', '--placement', 'Moon'], /must be one of Local, Remote, LocalAndRemote/],
  [['offload', 'namespace', 'a', '-l', 'x'], /--selector x: must have the form LABEL=VALUE/],
  [['offload', 'namespace', 'a', '--stop-after', 'never'], /--stop-after never: must be a duration/],
  [['drain'], /requires exactly 1 argument: REMOTE/],
  [['cordon', 'a', 'b'], /requires exactly 1 argument: REMOTE \(got 2\)/],
  [['activate', 'a', '--timeout', 'soon'], /--timeout soon/],
  [['uncordon'], /"hawser activate" requires exactly 1 argument/],
  [['unpeer'], /requires REMOTE, or --all/],
  [['unpeer', 'a', '--all'], /--all removes every peering in both directions/],
  [['unpeer', 'a', '--force'], /--force requires --all/],
  [['clear', 'a'], /"hawser clear" takes no arguments \(got 1\)/],
  [['remap', 'approve'], /requires 1 to 2 arguments: REMOTE \[RANGE\]/],
  [['status', 'a', 'b'], /takes at most 1 argument: \[PEERING\]/],
  [['trace', 'a/b'], /requires exactly 2 arguments: POD POD/],
  [['trace', 'a', 'b/c'], /a: a pod must be given as NAMESPACE\/NAME/],
  [['completion', 'powershell'], /unsupported shell "powershell" \(supported: bash, zsh, fish\)/],
];

for (const [words, expected] of wrong) {
  cli(`hawser ${words.join(' ')} is refused before a cluster is read`, async () => {
    const { exitCode, stdout, stderr } = await hawser(words, {
      environment: { KUBECONFIG: '/there/is/none' },
    });
    assert.match(stderr, expected);
    assert.is(exitCode, 2);
    assert.is(stdout, '');
  });
}

cli('an error about a token does not contain the token', async () => {
  const { stderr } = await hawser(['peer', 'hawser1.c2VjcmV0LXNlY3JldA']);
  assert.not.match(stderr, 'c2VjcmV0');
});

cli('version --client needs no cluster', async () => {
  const { exitCode, stdout } = await hawser(['version', '--client']);
  assert.is(exitCode, 0);
  assert.match(stdout, /^[0-9]+\.[0-9]+\.[0-9]+\n$/);
});

cli('an error about a missing kubeconfig names the file', async () => {
  const { exitCode, stderr } = await hawser(['status'], { environment: { KUBECONFIG: '/there/is/none' } });
  assert.is(exitCode, 1);
  assert.match(stderr, '/there/is/none does not exist; name one with --kubeconfig');
});

cli.run();
