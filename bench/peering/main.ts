/**
 * `npm run bench:peering`: how long a person waits. Two real clusters of two nodes with Hawser from its image and chart;
 * in each round a token, `hawser peer`, a namespace offloaded, a Deployment on the virtual node, the first answer through
 * its Service, `hawser unpeer`. Then what Hawser's processes hold and use while one peering rests.
 */
import { readFile, readdir } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { hawser } from '../../test/support/installation.ts';
import { installedPair, node, outgoingPeeringOf, peer, type Pair } from '../../test/support/peered.ts';
import { apply, dial, eventually, netexec, readyPods, service } from '../../test/support/workload.ts';
import { sleep } from '../../test/testbed/run.ts';
import { short, summarize } from '../tunnel/statistics.ts';

const story = 'bench';

interface Round {
  peerSeconds: number;
  nativeAnswerSeconds: number;
  offloadedAnswerSeconds: number;
  peerToAnswerSeconds: number;
  unpeerSeconds: number;
}

const since = (begun: number): number => Math.round(performance.now() - begun) / 1000;

/** Seconds from `kubectl apply` of a Deployment with its Service to the first answer through the Service. */
async function answerOf(pair: Pair, name: string, nodeSelector: Record<string, string>): Promise<number> {
  const [client] = await readyPods(pair.consumer, story, 'client', 1);
  if (client === undefined) throw new Error('there is no client');
  const begun = performance.now();
  await apply(pair.consumer, story, netexec(name, { nodeSelector }), service(name));
  const host = await pair.consumer.kubectl([
    'get',
    'service',
    '-n',
    story,
    name,
    '-o',
    'jsonpath={.spec.clusterIP}',
  ]);
  await eventually(`an answer of ${name}`, 60, () =>
    dial({
      from: { node: node(pair.consumer, client.node), ip: client.ip },
      host,
      port: 80,
      protocol: 'http',
      request: 'hostname',
    }),
  );
  return since(begun);
}

async function playRound(pair: Pair): Promise<Round> {
  const begun = performance.now();
  await peer(pair);
  const peerSeconds = since(begun);
  await hawser(pair.consumer, ['offload', 'namespace', story]);
  const offloadedAnswerSeconds = await answerOf(pair, 'away', { 'hawser.dev/virtual-node': 'true' });
  const peerToAnswerSeconds = since(begun);
  const nativeAnswerSeconds = await answerOf(pair, 'home', {
    'kubernetes.io/hostname': pair.consumer.nodes[1]?.name ?? '',
  });
  await pair.consumer.kubectl(['delete', 'deployment,service', '-n', story, 'away', 'home', '--wait=true']);
  await hawser(pair.consumer, ['unoffload', 'namespace', story]);
  const ending = performance.now();
  await hawser(pair.consumer, ['unpeer', await outgoingPeeringOf(pair.consumer)]);
  return {
    peerSeconds,
    nativeAnswerSeconds,
    offloadedAnswerSeconds,
    peerToAnswerSeconds,
    unpeerSeconds: since(ending),
  };
}

interface ProcessUse {
  what: string;
  residentMiB: number;
  proportionalMiB: number;
  /** Thousandths of a core. */
  processor: number;
}

/** Hawser's processes on a cluster's nodes, found by the cgroups' pods: their command is the image's entry. */
async function processes(): Promise<{ pid: string; what: string; ticks: number }[]> {
  const found: { pid: string; what: string; ticks: number }[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const command = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
    const at = command.indexOf('/hawser/cli/main.js');
    if (at < 0) continue;
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    found.push({
      pid,
      what: command
        .slice(at + 1)
        .join(' ')
        .trim(),
      // utime and stime, proc(5)
      ticks: Number(fields[11]) + Number(fields[12]),
    });
  }
  return found;
}

async function atRest(seconds: number): Promise<ProcessUse[]> {
  const before = new Map((await processes()).map(({ pid, ticks }) => [pid, ticks]));
  await sleep(seconds * 1000);
  const uses: ProcessUse[] = [];
  for (const { pid, what, ticks } of await processes()) {
    const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => '');
    const mebibytes = (name: string) =>
      Math.round(Number(new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(rollup)?.[1] ?? 0) / 1024);
    const used = ticks - (before.get(pid) ?? ticks);
    // USER_HZ is 100 on every Linux that Node runs on.
    uses.push({
      what,
      residentMiB: mebibytes('Rss'),
      proportionalMiB: mebibytes('Pss'),
      processor: Math.round((used * 10 * 10) / seconds) / 10,
    });
  }
  return uses.sort((a, b) => a.what.localeCompare(b.what));
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    rest: { type: 'string', default: '60' },
    json: { type: 'boolean', default: false },
  },
});
const pair = await installedPair('bench-peering', (line) => console.error(line));
try {
  await pair.consumer.kubectl(['create', 'namespace', story]);
  await apply(
    pair.consumer,
    story,
    netexec('client', { nodeSelector: { 'kubernetes.io/hostname': pair.consumer.nodes[1]?.name ?? '' } }),
  );
  const rounds: Round[] = [];
  for (let count = 0; count < Number(values.rounds); count++) rounds.push(await playRound(pair));
  await peer(pair);
  await sleep(15_000);
  const uses = await atRest(Number(values.rest));
  if (values.json) console.log(JSON.stringify({ rounds, uses }, null, 2));
  else {
    for (const name of Object.keys(rounds[0] ?? {}) as (keyof Round)[]) {
      const all = rounds.map((round) => round[name]);
      console.log(
        `${name.padEnd(24)} median ${short(summarize(all).median)} s (${all.map(short).join(', ')})`,
      );
    }
    for (const { what, residentMiB, proportionalMiB, processor } of uses)
      console.log(
        `${what.padEnd(24)} resident ${residentMiB} MiB, proportional ${proportionalMiB} MiB, ${processor} thousandths of a core`,
      );
  }
} finally {
  await pair.bed.down();
}
