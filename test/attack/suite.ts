/** Runs the attacks one after the other while the neighbour is monitored. */
import { setTimeout as delay } from 'node:timers/promises';
import { apply, readyPods } from '../support/workload.ts';
import type { Attack, Outcome } from './attack.ts';
import { offloaded, type AttackBed } from './bed.ts';
import { Neighbour } from './neighbour.ts';
import { beyondBound } from './noticed.ts';
import { story } from './party.ts';
import type { Row } from './table.ts';

/** Duration of the first measurement, without an attack. */
const quietMilliseconds = 5_000;

/** Calls `told` with each row as soon as it is known. */
export async function playAll(
  scene: AttackBed,
  attacks: readonly Attack[],
  told: (row: Row) => void,
): Promise<Row[]> {
  const neighbour = await Neighbour.begin(scene);
  const rows: Row[] = [];
  const close = async (attack: string, begun: number, outcome: Outcome | undefined, problems: string[]) => {
    const seconds = (performance.now() - begun) / 1000;
    const noticed = await neighbour.noticed();
    const all = [...problems, ...beyondBound(noticed), ...(await neighbour.podProblems())];
    const row = { attack, seconds, outcome, noticed, problems: all };
    rows.push(row);
    told(row);
  };
  try {
    // Let connections and programs warm up before the measurement.
    await delay(2_000);
    await neighbour.noticed();
    let begun = performance.now();
    await delay(quietMilliseconds);
    await close('(none)', begun, undefined, []);
    for (const attack of attacks) {
      scene.signal.throwIfAborted();
      begun = performance.now();
      const [outcome, problems] = await attack.play(scene).then(
        (played): [Outcome | undefined, string[]] => [played, []],
        (error: Error): [undefined, string[]] => [undefined, [`not stopped: ${error.message}`]],
      );
      await close(attack.name, begun, outcome, problems);
    }
    begun = performance.now();
    const problems = await newPodProblems(scene);
    await close('(none: the neighbour offloads another pod)', begun, undefined, problems);
  } finally {
    neighbour.end();
  }
  return rows;
}

/** After all attacks the neighbour offloads as before. */
async function newPodProblems({ neighbour }: AttackBed): Promise<string[]> {
  try {
    await apply(neighbour.cluster, story, offloaded('later', neighbour.provider));
    await readyPods(neighbour.cluster, story, 'later', 1, 60);
    return [];
  } catch (error) {
    return [`a new pod of the neighbour does not run: ${(error as Error).message}`];
  }
}
