/**
 * Which rules and parameters of other programs are reported as obstacles, and which are not; in a separate network namespace.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createCommandRunner } from '../../../daemon/host/command.ts';
import { createHost } from '../../../daemon/host/host.ts';
import { findForeignProblems, foreignProblems } from '../../../daemon/host/foreign-problems.ts';
import { createNamespace, type TestNamespace } from './namespace.ts';

const device = 'cni-hawser0';
const tunnelled = { device, remoteRanges: ['10.128.0.0/16', '100.64.32.0/20'] };
const signal = AbortSignal.timeout(60_000);
const test = suite<{ space: TestNamespace }>('interfering settings of a node');

test.before.each((context) => {
  context.space = createNamespace();
  context.space.run(
    `ip tuntap add dev ${device} mode tun; ip link set ${device} up; sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.${device}.rp_filter=0`,
  );
});
test.after.each((context) => context.space.remove());

async function found(space: TestNamespace): Promise<string[]> {
  const read = async (path: string) => {
    const { code, output } = await space.attempt(`cat /proc/sys/${path}`);
    return code === 0 ? output.trim() : undefined;
  };
  const problems = await findForeignProblems(createCommandRunner(space.prefix), read, tunnelled, signal);
  return problems.map(({ reason }) => reason);
}

const chain = (
  type: string,
  hook: string,
  priority: number,
  rules: string,
  policy = 'accept',
  family = 'ip',
) =>
  `add table ${family} foreign
add chain ${family} foreign one { type ${type} hook ${hook} priority ${priority}; policy ${policy}; }
add chain ${family} foreign other
${rules
  .split('\n')
  .filter((rule) => rule !== '')
  .map((rule) => `add rule ${family} foreign one ${rule}`)
  .join('\n')}
`;

test('foreign rules are reported by their effect on the tunnel’s packets', async ({ space }) => {
  const nat = (priority: number, rule: string) => chain('nat', 'postrouting', priority, rule);
  const forward = (rules: string, policy?: string, family?: string) =>
    chain('filter', 'forward', 0, rules, policy, family);
  const cases: [name: string, ruleset: string, reasons: string[]][] = [
    ['nothing', '', []],
    ['masquerades all, before Hawser', nat(50, 'masquerade'), ['ForeignMasquerade']],
    [
      'as CNIs write it',
      nat(50, 'ip saddr 10.244.0.0/16 ip daddr != 10.244.0.0/16 counter masquerade'),
      ['ForeignMasquerade'],
    ],
    ['where Hawser comes first', nat(100, 'masquerade'), []],
    ['another device', nat(50, 'oifname "eth0" masquerade'), []],
    ['all but another device', nat(50, 'oifname != "eth0" snat to 192.0.2.1'), ['ForeignMasquerade']],
    ['all but ours', nat(50, `oifname != "${device}" masquerade`), []],
    ['a set of devices', nat(50, `oifname { "eth0", "${device}" } masquerade`), ['ForeignMasquerade']],
    ['what is marked', nat(50, 'meta mark & 0x4000 == 0x4000 masquerade'), []],
    ['other destinations', nat(50, 'ip daddr 192.0.2.0/24 masquerade'), []],
    ['a remote range', nat(50, 'ip daddr 10.0.0.0/8 masquerade'), ['ForeignMasquerade']],
    ['drops all', forward('drop'), ['ForeignDrop']],
    ['drops what it does not know', forward('iifname "eth0" accept', 'drop'), ['ForeignDrop']],
    [
      'in the family of both',
      forward('ct state established,related accept', 'drop', 'inet'),
      ['ForeignDrop'],
    ],
    ['drops what it does not know, but knows us', forward('iifname "cni*" accept', 'drop'), []],
    ['may know us elsewhere', forward('jump other', 'drop'), []],
    ['drops what is invalid', forward('ct state invalid drop'), []],
    ['drops a part of a remote range', forward('ip daddr 10.128.7.0/24 tcp dport 80 drop'), ['ForeignDrop']],
    ['drops from our device', forward(`iifname "${device}" reject`), ['ForeignDrop']],
    ['drops others', forward('ip saddr 192.0.2.0/24 ip daddr 198.51.100.0/24 drop'), []],
  ];
  for (const [name, ruleset, reasons] of cases) {
    space.run('nft flush ruleset; nft -f -', ruleset);
    assert.equal(await found(space), reasons, name);
  }
});

test('Hawser’s own rules and a firewall that accepts the device are not reported', async ({ space }) => {
  space.run('iptables -P FORWARD DROP; iptables -A FORWARD -j REJECT');
  const host = createHost(createCommandRunner(space.prefix));
  await host.apply(
    {
      device,
      mtu: 1420,
      addresses: [{ prefix: '100.64.16.16/32', scope: 'global' }],
      routes: [{ prefix: '10.128.0.0/16', source: '100.64.16.16' }],
      packets: {
        podRanges: ['10.244.0.0/16'],
        remoteRanges: tunnelled.remoteRanges,
        ownAddresses: ['100.64.16.16/32'],
        hostSource: '100.64.16.16',
        services: [],
      },
    },
    signal,
  );
  assert.equal(await found(space), []);
});

test('strict reverse path filtering and disabled forwarding are reported', async ({ space }) => {
  const cases: [settings: string, reasons: string[]][] = [
    [`net.ipv4.conf.${device}.rp_filter=1`, ['ReversePathFilter']],
    [`net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.${device}.rp_filter=0`, ['ReversePathFilter']],
    [`net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.${device}.rp_filter=2`, []],
    [`net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.${device}.rp_filter=0`, []],
    ['net.ipv4.ip_forward=0', ['ForwardingDisabled']],
  ];
  for (const [settings, reasons] of cases) {
    space.run(`sysctl -qw ${settings}`);
    assert.equal(await found(space), reasons, settings);
  }
});

test('nothing is reported on a node without remotes', () => {
  const parameters = { 'net/ipv4/ip_forward': '0', 'net/ipv4/conf/all/rp_filter': '1' };
  assert.equal(foreignProblems({ parameters, chains: [] }, { device, remoteRanges: [] }), []);
});

test.run();
