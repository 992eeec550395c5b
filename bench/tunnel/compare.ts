/**
 * The tunnel's benchmark: `npm run bench:tunnel -- [--rounds 5] [--seconds 3] [--only a,b] [--figures
 * tcp,udp,ping,cold,handshakes] [--json FILE]`. Contestants take turns within a round, so that other load on the machine
 * affects all of them; prints medians, ranges and ratios. Needs root.
 */
import { writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { parseArgs } from 'node:util';

import { measureAead } from '../../native/index.js';
import { type Contestant, contestants } from './contestants.ts';
import { handshakes } from './handshakes.ts';
import { type Figures, coldStart, latency, packets, resident, stream } from './measure.ts';
import { short, summarize, table } from './statistics.ts';
import { removeUdpFlood } from './udp-flood.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    only: { type: 'string' },
    figures: { type: 'string', default: 'tcp,udp,ping,cold,handshakes' },
    json: { type: 'string' },
  },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const chosen = values.only?.split(',').map((name) => name.trim()) ?? Object.keys(contestants);
const wanted = new Set(values.figures.split(','));
const unknown = chosen.filter((name) => contestants[name] === undefined);
if (!(rounds >= 1) || !(seconds >= 1) || unknown.length > 0) {
  console.error(`unknown: ${unknown.join(', ')}; contestants are: ${Object.keys(contestants).join(', ')}`);
  process.exit(2);
}

const kinds: readonly [kind: string, measure: (contestant: Contestant) => Promise<Figures>][] = [
  ['cold', coldStart],
  ['tcp', (contestant) => stream(contestant, 'TCP 1', [], seconds)],
  ['tcp', (contestant) => stream(contestant, 'TCP 1 back', ['-R'], seconds)],
  ['tcp', (contestant) => stream(contestant, 'TCP 4', ['-P', '4'], seconds)],
  ['tcp', (contestant) => stream(contestant, 'TCP 1 both ways', ['--bidir'], seconds)],
  ['udp', (contestant) => packets(contestant, 64)],
  ['udp', (contestant) => packets(contestant, 1372)],
  ['ping', latency],
  ['handshakes', handshakes],
];

/** Contestant → figure → its value in each round. */
const results = new Map<string, Map<string, number[]>>();

function note(name: string, figures: Figures): void {
  const own = results.get(name) ?? new Map<string, number[]>();
  results.set(name, own);
  for (const [figure, value] of Object.entries(figures)) {
    if (!Number.isFinite(value)) continue;
    own.set(figure, [...(own.get(figure) ?? []), value]);
  }
}

const running: Contestant[] = [];
try {
  for (const name of chosen) {
    console.error(`starting ${name}`);
    const started = await contestants[name]?.();
    if (started !== undefined) running.push(started);
  }
  for (let round = 1; round <= rounds; round++) {
    for (const [kind, measure] of kinds) {
      if (!wanted.has(kind)) continue;
      // The order rotates, so that effects on caches are distributed evenly.
      const order = running.map((_, index) => running[(index + round) % running.length]);
      for (const contestant of order) {
        if (contestant === undefined) continue;
        const figures = await measure(contestant);
        note(contestant.name, figures);
        const text = Object.entries(figures).map(([figure, value]) => `${figure} ${short(value)}`);
        if (text.length > 0) console.error(`round ${round}: ${contestant.name}: ${text.join(', ')}`);
      }
    }
    for (const { name, pids } of running)
      if (pids.length > 0) note(name, { 'resident MB': (await resident(pids)) / 1e6 });
  }
} finally {
  for (const contestant of running) await contestant.close();
  await removeUdpFlood();
}

const names = running.map(({ name }) => name);
const figures = [...new Set([...results.values()].flatMap((own) => [...own.keys()]))];
const base = names[0] ?? '';
const cell = (name: string, figure: string): string => {
  const own = results.get(name)?.get(figure);
  if (own === undefined) return '–';
  const { median, minimum, maximum } = summarize(own);
  return `${short(median)} (${short(minimum)}–${short(maximum)})`;
};
const ratio = (name: string, figure: string, against: string): string => {
  const [own, other] = [results.get(name)?.get(figure), results.get(against)?.get(figure)];
  if (own === undefined || other === undefined) return '–';
  return short(summarize(own).median / summarize(other).median);
};
console.log(`medians (ranges) of ${rounds} rounds`);
console.log(
  table([['', ...names], ...figures.map((figure) => [figure, ...names.map((name) => cell(name, figure))])]),
);
console.log(`\nratios, ${base} = 1`);
console.log(
  table([
    ['', ...names],
    ...figures.map((figure) => [figure, ...names.map((name) => ratio(name, figure, base))]),
  ]),
);

const AGAINST: readonly [string, string][] = [
  ['engine translated', 'engine'],
  ['engine 1000 sessions', 'engine'],
  ['engine 10000 pods', 'engine'],
  ['engine relayed', 'engine bridged'],
];
const pairs = AGAINST.filter(([own, other]) => names.includes(own) && names.includes(other));
if (pairs.length > 0) {
  console.log('\nratios among our own set-ups');
  console.log(
    table([
      ['', ...pairs.map(([own, other]) => `${own} / ${other}`)],
      ...figures.map((figure) => [figure, ...pairs.map(([own, other]) => ratio(own, figure, other))]),
    ]),
  );
}
const aead = measureAead();
console.log(
  `\nAEAD here: ${aead.map(({ name, megabytesPerSecond }) => `${name} ${short(megabytesPerSecond)} MB/s`).join(', ')}`,
);

if (values.json !== undefined) {
  const machine = { processors: cpus().length, model: cpus()[0]?.model, kernel: release() };
  const measured = Object.fromEntries([...results].map(([name, own]) => [name, Object.fromEntries(own)]));
  writeFileSync(
    values.json,
    `${JSON.stringify({ machine, aead, rounds, seconds, base, measured }, null, 2)}\n`,
  );
}
