/**
 * `npm run attack`: one provider with two consumers, of which one is hostile. Runs the attacks that a hostile consumer can try
 * against the provider with its own credentials, while it monitors the traffic, the pods and the API calls of the other one.
 * Prints what stopped each attack, where that is reported, and its effect on the neighbour. Exit code 0 only if all were
 * stopped.
 */
import { parseArgs } from 'node:util';
import { ensureNeeds } from '../../deploy/needs/ensure.ts';
import { attach } from '../testbed/index.ts';
import { attacks } from './attacks/index.ts';
import { attackBed, sceneOf, type AttackBed } from './bed.ts';
import { playAll } from './suite.ts';
import { report, rowText } from './table.ts';

const help = `usage: npm run attack -- [--keep] [--attach] [--only WORD]

Three real clusters on this machine: a provider, a hostile consumer, and its neighbour. Needs Linux and root.

  --keep        leave the clusters up
  --attach      use the clusters that an earlier run left up
  --only WORD   play only attacks with this word in their name
`;
const bedName = 'attack';

async function main(): Promise<number> {
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        keep: { type: 'boolean', default: false },
        attach: { type: 'boolean', default: false },
        only: { type: 'string', default: '' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${help}`);
    return 2;
  }
  if (values.help) {
    process.stdout.write(help);
    return 0;
  }
  const chosen = attacks.filter(({ name }) => name.includes(values.only));
  if (chosen.length === 0) {
    process.stderr.write(`no attack has "${values.only}" in its name\n`);
    return 2;
  }
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const)
    process.once(name, () => stop.abort(new Error(`got ${name}`)));
  const log = (line: string) => void process.stdout.write(`${line}\n`);
  let scene: AttackBed | undefined;
  try {
    await ensureNeeds(['clusters'], { signal: stop.signal });
    scene = values.attach
      ? await sceneOf(await attach(bedName), stop.signal)
      : await attackBed(bedName, stop.signal, log);
    const rows = await playAll(scene, chosen, (row) => log(rowText(row)));
    log(`\n${report(rows)}`);
    return rows.every(({ problems }) => problems.length === 0) ? 0 : 1;
  } catch (error) {
    log(`\n${(error as Error).message}`);
    return 1;
  } finally {
    if (!values.keep && !values.attach) await scene?.bed.down();
  }
}

process.exitCode = await main();
