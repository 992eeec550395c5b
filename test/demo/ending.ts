/** Ends everything, and checks that nothing is left. */
import { namespace, uninstall } from '../support/installation.ts';
import { deleteKinds } from '../support/delete-kinds.ts';
import { inventory, inventoryDifference, type Inventory } from '../support/inventory.ts';
import { waitFor } from '../testbed/run.ts';
import type { BedCluster } from '../testbed/index.ts';
import { app, isReady, podsOf, rolledOut, show, type Demo } from './demo.ts';
import type { StepContext } from './steps.ts';

export async function endIt(demo: Demo, before: Map<string, Inventory>): Promise<void> {
  const { tell, home, bed, signal } = demo;
  await tell.step('End both peerings: one command each, at the consumer.', async (step) => {
    const report = JSON.parse(await show(demo, home, ['status', '-o', 'json'], { quiet: true })) as {
      peerings: { name: string }[];
    };
    for (const { name } of report.peerings) {
      const out = await show(demo, home, ['unpeer', name]);
      step.claim('"Removed" is said', out.includes('Removed'));
    }
    await bed.faults.heal();
    await rolledOut(demo, step, ['agnhost-primary', 'agnhost-replica']);
    const pods = (await podsOf(demo, 'app=agnhost')).filter(isReady);
    step.claim(
      'the back end is home again and runs',
      pods.length === 4 && pods.every(({ spec }) => home.nodes.some(({ name }) => name === spec.nodeName)),
    );
  });
  await tell.step(
    'Prove that nothing is left: every object and every node, against before.',
    async (step) => {
      await home.kubectl(['delete', 'namespace', app, '--timeout=60s'], {
        signal,
        timeoutMilliseconds: 70_000,
      });
      await Promise.all(
        bed.clusters.map((cluster) => asItWas(step, cluster, before.get(cluster.name) ?? [], signal)),
      );
    },
  );
  await tell.step(
    'Uninstall Hawser from all, and prove the same against the bare clusters.',
    async (step) => {
      const more = { signal, timeoutMilliseconds: 70_000 };
      await Promise.all(
        bed.clusters.map(async (cluster) => {
          await uninstall(demo.bed, cluster, signal);
          await cluster.kubectl(['delete', 'namespace', namespace, '--timeout=60s'], more);
          await deleteKinds((args) => cluster.kubectl(args, { signal }), signal);
          await asItWas(step, cluster, demo.bare.get(cluster.name) ?? [], signal);
        }),
      );
    },
  );
}

/** Claims that a cluster and its nodes have exactly their former state, within half a minute. */
async function asItWas(
  step: StepContext,
  cluster: BedCluster,
  was: Inventory,
  signal: AbortSignal,
): Promise<void> {
  let last = ['nothing was looked at'];
  await waitFor(
    `${cluster.name} to be as it was`,
    async () => {
      last = inventoryDifference(was, await inventory(cluster));
      return last.length === 0;
    },
    { timeoutMilliseconds: 30_000, intervalMilliseconds: 500, signal },
  ).catch(() => undefined);
  step.claim(
    `${cluster.name} is as it was: ${was.length} objects and facts of its nodes`,
    last.length === 0,
    last.join('; '),
  );
}
