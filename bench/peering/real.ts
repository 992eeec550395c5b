/** `--real 8`: one consumer of two nodes and that many real providers of one node, with Hawser from its chart and image. */
import { hawser, install, makeImage } from '../../test/support/installation.ts';
import { up, type Bed } from '../../test/testbed/index.ts';
import { peerWithMany, type ManyResult } from './many.ts';
import { clusterProcesses, hawserProcesses, type ProcessRef } from './process-use.ts';

export interface RealOptions {
  bedName: string;
  count: number;
  restSeconds: number;
  deadlineSeconds: number;
  log: (line: string) => void;
}

const consumerName = 'rome';

/** Brings everything up, peers with all at once, measures, and takes everything down. */
export async function measureReal(options: RealOptions): Promise<ManyResult> {
  const { bedName, count, restSeconds, deadlineSeconds, log } = options;
  const names = Array.from({ length: count }, (_, index) => `p${index + 1}`);
  const archive = await makeImage(log);
  const bed = await up({
    name: bedName,
    clusters: [{ name: consumerName, nodes: 2 }, ...names.map((name) => ({ name, nodes: 1 }))],
    fresh: true,
    log,
  });
  try {
    await bed.loadImage(archive);
    // One after another: each installation waits for its pods, and concurrent ones would delay each other.
    for (const cluster of bed.clusters) {
      log(`${cluster.name}: Hawser is being installed`);
      await install(bed, cluster);
    }
    const tokens: string[] = [];
    for (const name of names) tokens.push((await hawser(bed.cluster(name), ['token', 'create'])).trim());
    log(`${count} real providers`);
    return await peerWithMany({
      bed,
      consumer: bed.cluster(consumerName),
      tokens,
      others: await firstProvider(bed, names[0] ?? ''),
      restSeconds,
      deadlineSeconds,
    });
  } finally {
    await bed.down();
  }
}

/** Processes of one provider, which stands for all of them. */
async function firstProvider(bed: Bed, name: string): Promise<ProcessRef[]> {
  const cluster = bed.cluster(name);
  const refs = [...(await hawserProcesses(cluster)), ...(await clusterProcesses(bed, cluster))];
  return refs.map(({ what, pid }) => ({ what: `${name}: ${what}`, pid }));
}
