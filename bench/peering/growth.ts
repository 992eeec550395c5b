/** `--providers 1,2,4,…`: one consumer with growing numbers of light providers, and the costs that grow with them. */
import { install, makeImage } from '../../test/support/installation.ts';
import { up, type Bed } from '../../test/testbed/index.ts';
import { LightFleet } from './light-fleet.ts';
import { peerWithMany, type ManyResult } from './many.ts';

export interface GrowthOptions {
  bedName: string;
  counts: readonly number[];
  restSeconds: number;
  /** Until all providers of one number are Ready, and until all are gone again. */
  deadlineSeconds: number;
  log: (line: string) => void;
  onResult?: (result: ManyResult) => void;
}

const consumerName = 'rome';

/** Brings up a consumer of two nodes, measures each number in turn, and takes everything down. */
export async function measureGrowth(options: GrowthOptions): Promise<ManyResult[]> {
  const { bedName, log } = options;
  const [bed, archive] = await Promise.all([
    up({ name: bedName, clusters: [consumerName], nodes: 2, fresh: true, log }),
    makeImage(log),
  ]);
  const fleet = new LightFleet(bed);
  try {
    await bed.loadImage(archive);
    await Promise.all([install(bed, bed.cluster(consumerName)), fleet.start()]);
    return await measureEach(bed, fleet, options);
  } finally {
    try {
      await fleet.stop();
    } finally {
      if (process.env['HAWSER_KEEP'] === undefined) await bed.down();
    }
  }
}

async function measureEach(bed: Bed, fleet: LightFleet, options: GrowthOptions): Promise<ManyResult[]> {
  const { counts, restSeconds, deadlineSeconds, log, onResult } = options;
  const results: ManyResult[] = [];
  for (const count of counts) {
    log(`${count} providers`);
    const tokens = await fleet.add(count);
    const result = await peerWithMany({
      bed,
      consumer: bed.cluster(consumerName),
      tokens,
      others: fleet.processes(),
      restSeconds,
      deadlineSeconds,
    });
    results.push(result);
    onResult?.(result);
    await fleet.clear();
  }
  return results;
}

/** Lines of a table, with each figure's growth per doubling of the number. */
export function growthTable(results: readonly ManyResult[]): string[] {
  const names = [...new Set(results.flatMap(({ processes }) => processes.map(({ what }) => what)))];
  const of = (result: ManyResult, what: string) => result.processes.find((each) => each.what === what);
  const rows: [string, (result: ManyResult) => number | undefined][] = [
    ['seconds until the first is Ready', (result) => result.firstSeconds],
    ['seconds until half are Ready', (result) => result.halfSeconds],
    ['seconds until all are Ready', (result) => result.readySeconds],
    ['seconds until all are gone', (result) => result.unpeerSeconds],
    ['restarts of Hawser’s containers', (result) => result.restarts],
    ['requests to the API server', (result) => result.requests],
    ['kB between clusters', (result) => result.bytes / 1000],
    ...names.flatMap((what): typeof rows => [
      [`CPU seconds, ${what}`, (result) => of(result, what)?.processorSeconds],
      [`resident MiB, ${what}`, (result) => of(result, what)?.residentMiB],
    ]),
    ['at rest: requests a second', (result) => result.rest?.requestsPerSecond],
    ['at rest: bytes a second between clusters', (result) => result.rest?.bytesPerSecond],
    ...names.map((what): (typeof rows)[number] => [
      `at rest: thousandths of a core, ${what}`,
      (result) => result.rest?.processes.find((each) => each.what === what)?.processor,
    ]),
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  const cell = (value: number | undefined) =>
    (value === undefined ? '–' : value >= 100 ? value.toFixed(0) : value.toFixed(1)).padStart(8);
  const line = (name: string, cells: readonly string[]) => `${name.padEnd(width)}${cells.join('')}`;
  return [
    line('providers', [...results.map(({ providers }) => String(providers).padStart(8)), '  per doubling']),
    ...rows
      .filter(([, read]) => results.some((result) => read(result) !== undefined))
      .map(([name, read]) => {
        const values = results.map(read);
        return line(name, [...values.map(cell), `  ${growth(results, values)}`]);
      }),
  ];
}

/** Growth factor of a figure between the last two numbers, normalized to a doubling; 2 is linear. */
function growth(results: readonly ManyResult[], values: readonly (number | undefined)[]): string {
  const [before, after] = [values.at(-2), values.at(-1)];
  const [fewer, more] = [results.at(-2)?.providers, results.at(-1)?.providers];
  if (!before || !after || !fewer || !more || fewer === more) return '';
  return `× ${((after / before) ** (1 / Math.log2(more / fewer))).toFixed(2)}`;
}
