import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { bridgeRules, firewallRules, natRules, type NatTranslation } from '../fault-rules.ts';
import { droppedPackets } from '../faults.ts';
import { planBed } from '../plan.ts';
import { newLink } from '../relay/link.ts';

const ports = new Map([
  ['home', 'c1'],
  ['away', 'c2'],
]);

function rulesOf(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('    ') && !line.includes(' hook '))
    .map((line) => line.trim());
}

for (const [what, request, expected] of [
  [
    'a partition, both ways',
    { between: ['home', 'away'] },
    [
      'iifname "c1" oifname "c2" ether type ip counter drop',
      'iifname "c2" oifname "c1" ether type ip counter drop',
    ],
  ],
  [
    'one percent of what goes one way',
    { from: 'home', percent: 1 },
    ['iifname "c1" oifname { "c1", "c2" } ether type ip numgen random mod 1000 < 10 counter drop'],
  ],
  [
    'long packets of everybody',
    { longerThan: 1400 },
    ['iifname { "c1", "c2" } oifname { "c1", "c2" } ether type ip ip length > 1400 counter drop'],
  ],
  [
    'a port, there and back',
    { to: 'away', protocol: 'udp', port: 51820 },
    [
      'iifname { "c1", "c2" } oifname "c2" ether type ip ip protocol udp th dport 51820 counter drop',
      'iifname { "c1", "c2" } oifname "c2" ether type ip ip protocol udp th sport 51820 counter drop',
    ],
  ],
] as const) {
  test(`drop: ${what}`, () => assert.equal(rulesOf(bridgeRules('fault-1', request, ports)), [...expected]));
}

test('drop refuses unsupported arguments', () => {
  assert.throws(() => bridgeRules('fault-1', { from: 'nowhere' }, ports), /no cluster nowhere/);
  assert.throws(() => bridgeRules('fault-1', { percent: 0 }, ports), /not between 0 and 100/);
  assert.throws(() => bridgeRules('fault-1', { port: 80 }, ports), /say which protocol/);
});

test('a firewall admits replies, and never blocks this machine', () => {
  assert.equal(rulesOf(firewallRules('fault-1', { inbound: ['udp/51820'] }, '198.18.7.1')), [
    'ct state established,related accept',
    'iifname "wan" ip saddr 198.18.7.1 accept',
    'iifname "wan" meta l4proto udp ct original proto-dst 51820 accept',
    'iifname "wan" counter drop',
  ]);
  assert.throws(() => firewallRules('fault-1', { outbound: ['51820'] }, '198.18.7.1'), /not like udp/);
});

test('a NAT can use random ports and another address', () => {
  const [cluster] = planBed({ name: 'x' }, 7, '/tmp').clusters;
  if (cluster === undefined) throw new Error('no cluster');
  const to = (translation: NatTranslation) => rulesOf(natRules('fault-1', cluster, translation));
  const rule = 'oifname "wan" ip saddr 172.18.0.0/24 ip protocol udp snat to';
  assert.equal(to({ randomPorts: true }), [`${rule} 198.18.7.10:1024-65535 fully-random`]);
  assert.equal(to({ otherAddress: true }), [`${rule} 198.18.7.240`]);
  assert.equal(to({ randomPorts: true, otherAddress: true }), [
    `${rule} 198.18.7.240:1024-65535 fully-random`,
  ]);
  assert.equal(to({}), []);
});

test('counters are summed', () => {
  const rule = (packets: number) => ({
    rule: { expr: [{ match: {} }, { counter: { packets, bytes: 1 } }, { drop: null }] },
  });
  assert.is(droppedPackets(JSON.stringify({ nftables: [{ metainfo: {} }, rule(2), rule(3)] })), 5);
});

test('a link without impairment passes everything at once', () => {
  const link = newLink({});
  for (let now = 0; now < 10; now++) assert.equal(link(now), [now]);
});

test('delay and jitter keep the order', () => {
  const link = newLink({ delayMilliseconds: 50, jitterMilliseconds: 20 });
  let last = 0;
  for (let now = 0; now < 1000; now++) {
    const [time = -1] = link(now);
    assert.ok(time >= now + 50 && time >= last);
    last = time;
  }
});

test('loss and duplication have the configured rates, reproducible by seed', () => {
  const fates = (seed: number) => {
    const link = newLink({ lossPercent: 10, duplicatePercent: 20, seed });
    return Array.from({ length: 10_000 }, (_, now) => link(now).length);
  };
  const count = (copies: number) => fates(1).filter((each) => each === copies).length;
  assert.ok(Math.abs(count(0) - 1000) < 150, `${count(0)} lost`);
  assert.ok(Math.abs(count(2) - 1800) < 200, `${count(2)} doubled`);
  assert.equal(fates(1), fates(1));
  assert.not.equal(fates(1), fates(2));
});

test('reordered frames overtake delayed ones', () => {
  const link = newLink({ delayMilliseconds: 50, reorderPercent: 25 });
  const times = Array.from({ length: 1000 }, (_, now) => link(now)[0] ?? -1);
  const early = times.filter((time, now) => time === now).length;
  assert.ok(early > 200 && early < 300, `${early} overtook`);
});

test.run();
