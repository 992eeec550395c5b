import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { entries } from '../../cli/commands.ts';
import { hawser } from './run-cli.ts';

const cli = suite('hawser');

cli('without words it tells the way of a peering and lists every command', async () => {
  const { exitCode, stdout, stderr } = await hawser([]);
  assert.is(exitCode, 0);
  assert.is(stderr, '');
  assert.match(stdout, /provider\$ {2}hawser token create/);
  for (const { name } of entries) assert.match(stdout, name);
});

cli('every command has help with its options, and examples where a person types it', async () => {
  for (const { name, load } of entries) {
    const { exitCode, stdout } = await hawser([...name.split(' '), '--help']);
    assert.is(exitCode, 0, name);
    assert.match(stdout, `Usage: hawser ${name}`);
    const { options, examples, summary } = await load();
    for (const option of Object.keys(options)) assert.match(stdout, `--${option}`);
    assert.ok(summary.length < 80, `the summary of ${name} fits its line`);
    for (const [, line] of examples) assert.ok(line.length < 110, line);
  }
});

cli('help is found by any of its usual words', async () => {
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

/** What is typed wrongly, and what is said to it. Each ends with 2, and touches no cluster. */
const wrong: [words: string[], said: RegExp][] = [
  [['foo'], /there is no command "foo"/],
  [['create'], /did you mean token create\?/],
  [['token'], /beginning of several commands/],
  [['status', '--blub'], /Unknown option '--blub'[^]*hawser status --help/],
  [['peer'], /one peering token is wanted/],
  [['peer', 'a', 'b'], /one peering token is wanted/],
  [['peer', 'nonsense'], /begins with "hawser1\."/],
  [['peer', 'hawser1.AAAA'], /damaged/],
  [['peer', '-'], /standard input is empty/],
  [['peer', 'hawser1.AAAA', '--name', 'Not A Name'], /--name Not A Name/],
  [['peer', 'hawser1.AAAA', '--timeout', 'soon'], /--timeout soon/],
  [['peer', 'hawser1.AAAA', '-o', 'xml'], /json and yaml/],
  [['token', 'create', '--expires-in', '1w'], /--expires-in 1w/],
  [['token', 'create', '--expires-in', '5s'], /between 60s and 24h/],
  [['token', 'create', '--pods', 'many'], /--pods many/],
  [['token', 'revoke'], /one name of a token/],
  [['token', 'revoke', 'hawser1.AAAA'], /the token itself; its name is wanted/],
  [['offload', 'namespace'], /one namespace is wanted/],
  [['offload', 'namespace', 'a', '--placement', 'Moon'], /LocalAndRemote/],
  [['offload', 'namespace', 'a', '-l', 'x'], /LABEL=VALUE/],
  [['offload', 'namespace', 'a', '--stop-after', 'never'], /--stop-after never/],
  [['drain'], /one remote cluster or peering/],
  [['cordon', 'a', 'b'], /one remote cluster or peering/],
  [['activate', 'a', '--timeout', 'soon'], /--timeout soon/],
  [['unpeer'], /one remote cluster or peering/],
  [['status', 'a', 'b'], /one peering at most/],
  [['completion', 'powershell'], /bash, zsh, fish/],
];

for (const [words, said] of wrong) {
  cli(`hawser ${words.join(' ')}: says what is wrong before it asks a cluster`, async () => {
    const { exitCode, stdout, stderr } = await hawser(words, {
      environment: { KUBECONFIG: '/there/is/none' },
    });
    assert.match(stderr, said);
    assert.is(exitCode, 2);
    assert.is(stdout, '');
  });
}

cli('a token is never repeated in what is said', async () => {
  const { stderr } = await hawser(['peer', 'hawser1.c2VjcmV0LXNlY3JldA']);
  assert.not.match(stderr, 'c2VjcmV0');
});

cli('its own version needs no cluster', async () => {
  const { exitCode, stdout } = await hawser(['version', '--client']);
  assert.is(exitCode, 0);
  assert.match(stdout, /^[0-9]+\.[0-9]+\.[0-9]+\n$/);
});

cli('a kubeconfig that is not there is named', async () => {
  const { exitCode, stderr } = await hawser(['status'], { environment: { KUBECONFIG: '/there/is/none' } });
  assert.is(exitCode, 1);
  assert.match(stderr, '/there/is/none does not exist; name one with --kubeconfig');
});

cli.run();
