/** A ping and a TCP stream between two pods during changes: measures losses, and whether the stream survives. */
import { spawn, type ChildProcess } from 'node:child_process';
import type { Bed, BedCluster } from '../testbed/index.ts';
import { runAnyway, sleep } from '../testbed/run.ts';
import { readyPods } from './workload.ts';

/** A TCP echo server without a limit of time. */
export function echoServer(
  name: string,
  nodeSelector: Record<string, string>,
  image: string,
  /** Seconds that it continues after SIGTERM, which it ignores. */
  graceSeconds = 1,
): object {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: {
          terminationGracePeriodSeconds: graceSeconds,
          nodeSelector,
          containers: [
            {
              name: 'echo',
              image,
              imagePullPolicy: 'IfNotPresent',
              command: ['/bin/busybox', 'nc', '-ll', '-p', String(echoPort), '-e', '/bin/busybox', 'cat'],
              readinessProbe: { tcpSocket: { port: echoPort }, periodSeconds: 1 },
              resources: {
                requests: { cpu: '100m', memory: '16Mi' },
                limits: { cpu: '200m', memory: '64Mi' },
              },
            },
          ],
        },
      },
    },
  };
}

const echoPort = 9000;
const intervalMilliseconds = 50;

export interface TrafficEnds {
  bed: Bed;
  cluster: BedCluster;
  namespace: string;
  /** The client pod. */
  from: string;
  /** App of the server pod. */
  server: string;
}

/** Sequence numbers of answers in the order of arrival, with the time. */
interface Answer {
  sequence: number;
  at: number;
}

export class PassingTraffic {
  readonly #children: ChildProcess[] = [];
  readonly #pings: Answer[] = [];
  readonly #echoes: Answer[] = [];
  readonly ends: TrafficEnds;
  /** Address of the server, as the client's cluster knows it. */
  #to = '';
  #said = 0;
  #ended: string | undefined;
  #talking: NodeJS.Timeout | undefined;

  constructor(ends: TrafficEnds) {
    this.ends = ends;
  }

  /** Starts both; resolves when both have had an answer. */
  async begin(): Promise<void> {
    const { cluster, namespace, server } = this.ends;
    const [pod] = await readyPods(cluster, namespace, server, 1, 120);
    this.#to = pod?.ip ?? '';
    const seconds = String(intervalMilliseconds / 1000);
    const ping = this.#inPod(['ping', '-i', seconds, this.#to]);
    onLines(ping, (line) => {
      const sequence = /seq=(\d+)/.exec(line)?.[1];
      if (sequence !== undefined) this.#pings.push({ sequence: Number(sequence), at: performance.now() });
    });
    this.#connect();
    await this.#until(
      'a first answer to ping and stream',
      30,
      () => this.#pings.length > 0 && this.streamLives(),
    );
  }

  /** Opens another stream after the former one had to break. */
  async again(): Promise<void> {
    this.#ended = 'being replaced';
    clearInterval(this.#talking);
    this.#children.pop()?.kill('SIGKILL');
    this.#echoes.length = 0;
    this.#said = 0;
    this.#connect();
    await this.#until('the stream to begin again', 30, () => this.streamLives());
  }

  /** Whether that many bytes are echoed on a separate connection, in segments as large as the assumed path MTU. */
  async carries(bytes: number): Promise<boolean> {
    const { bed, cluster, namespace, from } = this.ends;
    const busybox = '/bin/busybox';
    const script = `${busybox} head -c ${bytes} /dev/zero | ${busybox} timeout 5 ${busybox} nc ${this.#to} ${echoPort} | ${busybox} wc -c`;
    const { stdout } = await runAnyway(
      [
        bed.programs.kubectl,
        '--kubeconfig',
        cluster.kubeconfig,
        'exec',
        '-n',
        namespace,
        from,
        '--',
        '/bin/busybox',
        'sh',
        '-c',
        script,
      ],
      { timeoutMilliseconds: 30_000 },
    );
    return Number(stdout) === bytes;
  }

  /** Replaces the server pod, so that it has another address; ping and stream start again. */
  async replaceServer(): Promise<void> {
    const { cluster, namespace, server } = this.ends;
    await this.end();
    this.#pings.length = 0;
    this.#echoes.length = 0;
    this.#said = 0;
    await cluster.kubectl(['delete', 'pods', '-n', namespace, '-l', `app=${server}`]);
    await this.begin();
  }

  #connect(): void {
    const stream = this.#inPod(['nc', this.#to, String(echoPort)]);
    this.#ended = undefined;
    stream.once('exit', (code) => {
      if (this.#children.includes(stream)) this.#ended ??= `its client ended with ${code}`;
    });
    stream.stdin?.on('error', () => undefined);
    onLines(stream, (line) => this.#echoes.push({ sequence: Number(line), at: performance.now() }));
    this.#talking = setInterval(() => {
      // TCP retransmits unanswered data; limit it to the amount of a second.
      if (this.#said - (this.#echoes.at(-1)?.sequence ?? 0) < 40) stream.stdin?.write(`${++this.#said}\n`);
    }, intervalMilliseconds);
  }

  /** Why the stream ended; undefined while it lives. */
  get streamEnded(): string | undefined {
    return this.#ended;
  }

  /** Whether the stream has had an answer since `since` and has not ended. */
  streamLives(since = 0): boolean {
    const last = this.#echoes.at(-1);
    return this.#ended === undefined && last !== undefined && last.at >= since;
  }

  /** When the last ping was answered. */
  get silentSince(): number {
    return this.#pings.at(-1)?.at ?? 0;
  }

  /** Waits until both get answers to messages sent from now on. */
  async passes(seconds: number, withStream: boolean): Promise<void> {
    const now = performance.now();
    await this.#until(
      'an answer to a ping',
      seconds,
      () => (this.#pings.at(-1)?.at ?? 0) > now + 2 * intervalMilliseconds,
    );
    if (!withStream) return;
    const said = this.#said;
    await this.#until(
      `the stream to go on${this.#ended === undefined ? '' : ` (${this.#ended})`}`,
      seconds,
      () => {
        if (this.#ended !== undefined) throw new Error(`the stream is over: ${this.#ended}`);
        return (this.#echoes.at(-1)?.sequence ?? 0) > said;
      },
    );
  }

  /** Unanswered pings between two moments, and the time from the first of them to the next answer. */
  lost(from: number, until: number): { packets: number; milliseconds: number } {
    const before = this.#pings.findLast(({ at }) => at <= from);
    const after = this.#pings.find(({ at }) => at >= until) ?? this.#pings.at(-1);
    if (before === undefined || after === undefined) return { packets: 0, milliseconds: 0 };
    const answered = this.#pings.filter(
      ({ sequence }) => sequence > before.sequence && sequence <= after.sequence,
    );
    const packets = after.sequence - before.sequence - answered.length;
    let gap = 0;
    let last = before;
    for (const answer of answered) {
      if (answer.sequence > last.sequence + 1) gap = Math.max(gap, answer.at - from);
      last = answer;
    }
    return { packets, milliseconds: gap };
  }

  async end(): Promise<void> {
    clearInterval(this.#talking);
    for (const child of this.#children.splice(0)) child.kill('SIGKILL');
    await sleep(50);
  }

  #inPod(command: readonly string[]): ChildProcess {
    const { bed, cluster, namespace, from } = this.ends;
    const args = [
      '--kubeconfig',
      cluster.kubeconfig,
      'exec',
      '-i',
      '-n',
      namespace,
      from,
      '--',
      '/bin/busybox',
    ];
    const child = spawn(bed.programs.kubectl, [...args, ...command], { stdio: ['pipe', 'pipe', 'ignore'] });
    child.on('error', (error) => {
      this.#ended ??= error.message;
    });
    this.#children.push(child);
    return child;
  }

  async #until(what: string, seconds: number, check: () => boolean): Promise<void> {
    for (const end = performance.now() + seconds * 1000; !check(); await sleep(20))
      if (performance.now() > end) throw new Error(`waited ${seconds} s in vain for ${what}`);
  }
}

function onLines(child: ChildProcess, take: (line: string) => void): void {
  let rest = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') take(line);
  });
}
