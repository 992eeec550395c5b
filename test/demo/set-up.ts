/** Creates the demo's clusters, and installs Hawser in each. */
import { up, type Bed } from '../testbed/index.ts';
import { install, makeImage } from '../support/installation.ts';
import { inventory } from '../support/inventory.ts';
import { allowTokenIssuer } from './curl.ts';
import { ready, type Demo } from './demo.ts';
import type { Narrator } from './steps.ts';

/** Builds the image, and brings the clusters up. */
export async function makeClusters(
  tell: Narrator,
  name: string,
  signal: AbortSignal,
): Promise<{ bed: Bed; image: string }> {
  let image = '';
  await tell.step('Build Hawser: engine, JavaScript, and one container image.', async (step) => {
    image = await makeImage((line) => step.progress(line));
  });
  let bed: Bed | undefined;
  await tell.step('Make three clusters of two nodes, with the same pod and Service ranges.', async (step) => {
    bed = await up({
      name,
      clusters: ['home', 'away', 'far'],
      nodes: 2,
      fresh: true,
      signal,
      log: (line) => step.progress(line),
      progress: process.stdout.isTTY ? (line) => step.progress(line) : undefined,
    });
    const [one] = bed.clusters;
    step.claim(
      'all of them have the same ranges',
      bed.clusters.length === 3 &&
        bed.clusters.every(
          ({ podCIDR, serviceCIDR }) => podCIDR === one?.podCIDR && serviceCIDR === one.serviceCIDR,
        ),
    );
    return `pods ${one?.podCIDR ?? ''}, Services ${one?.serviceCIDR ?? ''} in all.`;
  });
  if (bed === undefined) throw new Error('there is no bed');
  return { bed, image };
}

export async function installHawser(
  tell: Narrator,
  bed: Bed,
  image: string,
  signal: AbortSignal,
): Promise<Demo> {
  const demo: Demo = {
    bed,
    home: bed.cluster('home'),
    away: bed.cluster('away'),
    far: bed.cluster('far'),
    signal,
    tell,
    bare: new Map(),
  };
  await tell.step('Install Hawser in each, from its image and its chart.', async (step) => {
    for (const cluster of demo.bed.clusters) demo.bare.set(cluster.name, await inventory(cluster));
    step.progress('loading the image into six nodes');
    await demo.bed.loadImage(image);
    await Promise.all(
      demo.bed.clusters.map(async (cluster) => {
        await install(demo.bed, cluster, { signal });
        await ready(cluster, signal);
        step.progress(`${cluster.name} is installed`);
      }),
    );
    await allowTokenIssuer(demo.away, signal);
  });
  return demo;
}
