/** The neighbour of a hostile consumer, monitored by a process on its own node. */
import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pods, readyPods } from '../support/workload.ts';
import { nodeOf, type AttackBed } from './bed.ts';
import type { Noticed } from './noticed.ts';
import { story } from './party.ts';

/** Passed to the process on standard input, so that no process list shows it. */
export interface NeighbourTask {
  /** Address of its offloaded pod, as the neighbour knows it. */
  pod: string;
  apiServerURL: string;
  caBundle: string;
  token: string;
  twin: string;
  gatewayURL: string;
  gatewayPin: string;
  clusterID: string;
  privateKey: string;
  recipient: string;
}

const program = join(import.meta.dirname, 'neighbour-process.ts');

export class Neighbour {
  readonly #scene: AttackBed;
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;
  #complaint = '';

  private constructor(scene: AttackBed, child: ChildProcess) {
    this.#scene = scene;
    this.#child = child;
    if (child.stdout === null || child.stderr === null) throw new Error('the process has no output');
    this.#answers = createInterface(child.stdout)[Symbol.asyncIterator]();
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.#complaint += text));
    child.stdin?.on('error', () => undefined);
  }

  /** Starts the monitoring. */
  static async begin(scene: AttackBed): Promise<Neighbour> {
    const { neighbour } = scene;
    const [pod] = await readyPods(neighbour.cluster, story, 'far', 1, 60);
    const { identity } = neighbour;
    const task: NeighbourTask = {
      pod: pod?.ip ?? '',
      apiServerURL: identity.apiServerURL,
      caBundle: identity.caBundle,
      token: identity.token,
      twin: neighbour.twin,
      gatewayURL: neighbour.gatewayURL,
      gatewayPin: neighbour.gatewayPin,
      clusterID: neighbour.id,
      privateKey: neighbour.key.exportPrivateKey(),
      recipient: neighbour.recipient,
    };
    const { netns } = nodeOf(neighbour);
    const child = spawn('ip', ['netns', 'exec', netns, process.execPath, program], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    child.stdin.write(`${JSON.stringify(task)}\n`);
    return new Neighbour(scene, child);
  }

  /** The results since the last call, or since the start. */
  async noticed(): Promise<Noticed> {
    this.#child.stdin?.write('\n');
    const answer = await this.#answers.next();
    if (answer.done === true) throw new Error(`the neighbour's traffic ended: ${this.#complaint}`);
    return JSON.parse(answer.value) as Noticed;
  }

  /** Problems of its pod at the provider: it must be the same one, without a restart. */
  async podProblems(): Promise<string[]> {
    const { provider, neighbour, victim } = this.#scene;
    const found = (await pods(provider, neighbour.twin, 'app=far')).find(({ uid }) => uid === victim.uid);
    if (found === undefined) return [`its pod ${victim.name} is gone`];
    return [
      ...(found.ready ? [] : [`its pod ${victim.name} is not ready`]),
      ...(found.restarts === victim.restarts ? [] : [`its pod ${victim.name} was restarted`]),
    ];
  }

  end(): void {
    this.#child.stdin?.end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 10_000);
    this.#child.once('close', () => clearTimeout(timer));
  }
}
