/**
 * `npm run demo`: three real clusters of two nodes with the same ranges; the front end of the guestbook at home, its back end
 * at two providers, one of which is reached in-band. Exit code 0 only if all claims hold. `--keep` leaves the clusters running.
 */
import { parseArgs } from 'node:util';
import { ensureNeeds } from '../../deploy/needs/ensure.ts';
import { down } from '../testbed/index.ts';
import { inventory, type Inventory } from '../support/inventory.ts';
import type { Demo } from './demo.ts';
import { endIt } from './ending.ts';
import { askGuestbook, lookAround, peerAndOffload } from './guestbook.ts';
import { installHawser, makeClusters } from './set-up.ts';
import { narrator } from './steps.ts';
import { growIntoThird, peerInBand } from './third-cluster.ts';

const totalSteps = 14;

const help = `usage: npm run demo -- [--keep] [--name NAME] [--until first-claim]

Three real clusters on this machine, peered by Hawser. Needs Linux and root; the first run builds Kubernetes.

  --keep        leave the clusters up and peered, and print how to go on by hand
  --name NAME   name of the test bed (default: demo)
  --until first-claim   end once the clusters are up and one claim is checked
`;

async function main(): Promise<number> {
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        keep: { type: 'boolean', default: false },
        name: { type: 'string', default: 'demo' },
        until: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }));
    if (values.until !== undefined && values.until !== 'first-claim')
      throw new Error(`--until takes first-claim, not ${values.until}`);
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${help}`);
    return 2;
  }
  if (values.help) {
    process.stdout.write(help);
    return 0;
  }
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const)
    process.once(name, () => stop.abort(new Error(`got ${name}`)));
  const tell = narrator(process.stdout, totalSteps);
  const begun = performance.now();
  let demo: Demo | undefined;
  let exitCode = 1;
  try {
    await ensureNeeds(['clusters'], { signal: stop.signal });
    const { bed, image } = await makeClusters(tell, values.name, stop.signal);
    if (values.until === undefined) {
      demo = await installHawser(tell, bed, image, stop.signal);
      const before = new Map<string, Inventory>();
      for (const cluster of demo.bed.clusters) before.set(cluster.name, await inventory(cluster));
      await peerAndOffload(demo);
      await askGuestbook(demo);
      await peerInBand(demo);
      await growIntoThird(demo);
      await lookAround(demo);
      if (!values.keep) await endIt(demo, before);
    }
    exitCode = 0;
  } catch (error) {
    process.stdout.write(`\n${(error as Error).message}\n`);
  }
  if (values.keep && demo !== undefined) {
    process.stdout.write(`
The clusters are kept. Go on by hand:
  npm run testbed -- shell home --name ${values.name}     # and: shell away, shell far
  KUBECONFIG=${demo.home.kubeconfig} npm run --silent hawser -- status
  npm run testbed -- down --name ${values.name}           # when you are done
`);
  } else await down(values.name).catch((error: Error) => process.stdout.write(`${error.message}\n`));
  const seconds = ((performance.now() - begun) / 1000).toFixed(0);
  process.stdout.write(
    exitCode === 0
      ? values.until === undefined
        ? `\nAll ${tell.checked} claims were checked, in ${seconds} s.\n`
        : `\n${tell.checked} claim was checked, in ${seconds} s; the rest was left out by --until ${values.until}.\n`
      : `\nThe demo failed after ${seconds} s.\n`,
  );
  return exitCode;
}

process.exitCode = await main();
