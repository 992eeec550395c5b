/**
 * `npm run bench:peering`: measures how long a user waits. Two real clusters of two nodes have Hawser from its image and chart;
 * each round has a token, `hawser peer`, an offloaded namespace, a Deployment on the virtual node, the first answer through its
 * Service, and `hawser unpeer`. Then it measures what Hawser's processes use during an idle peering.
 *
 * With `--providers 1,2,4,…` one such cluster peers with that many light providers at once, for one number after the other, to
 * measure growth (`growth.ts`). With `--real 8` the providers are that many real clusters of one node (`real.ts`). `--rest` is
 * the duration of the idle measurement for each number in seconds, 0 for none.
 */
import { parseArgs } from 'node:util';
import { ensureNeeds } from '../../deploy/needs/ensure.ts';
import { hawser } from '../../test/support/installation.ts';
import { installedPair, node, outgoingPeeringOf, peer, type Pair } from '../../test/support/peered.ts';
import { apply, dial, eventually, netexec, readyPods, service } from '../../test/support/workload.ts';
import { sleep } from '../../test/testbed/run.ts';
import { short, summarize } from '../tunnel/statistics.ts';
import { growthTable, measureGrowth } from './growth.ts';
import type { ManyResult } from './many.ts';
import { measureReal } from './real.ts';
import { hawserProcesses, useBetween, usesOf, type ProcessRef } from './process-use.ts';

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

/** Usage of Hawser's processes in both clusters. */
async function atRest(pair: Pair, seconds: number) {
  const refs: ProcessRef[] = [];
  for (const cluster of [pair.consumer, pair.provider]) {
    // Measurements of a process are matched by its name and cluster.
    const processes = await hawserProcesses(cluster);
    refs.push(...processes.map(({ what, pid }) => ({ what: `${cluster.name}: ${what}`, pid })));
  }
  const before = await usesOf(refs);
  await sleep(seconds * 1000);
  return useBetween(before, await usesOf(refs), seconds);
}

async function playRounds(rounds: number, restSeconds: number, json: boolean): Promise<void> {
  const pair = await installedPair('bench-peering', (line) => console.error(line));
  try {
    await pair.consumer.kubectl(['create', 'namespace', story]);
    await apply(
      pair.consumer,
      story,
      netexec('client', { nodeSelector: { 'kubernetes.io/hostname': pair.consumer.nodes[1]?.name ?? '' } }),
    );
    const played: Round[] = [];
    for (let count = 0; count < rounds; count++) played.push(await playRound(pair));
    await peer(pair);
    await sleep(15_000);
    report(played, await atRest(pair, restSeconds), json);
  } finally {
    await pair.bed.down();
  }
}

function report(rounds: readonly Round[], uses: Awaited<ReturnType<typeof atRest>>, json: boolean): void {
  if (json) {
    console.log(JSON.stringify({ rounds, uses }, null, 2));
    return;
  }
  for (const name of Object.keys(rounds[0] ?? {}) as (keyof Round)[]) {
    const all = rounds.map((round) => round[name]);
    console.log(`${name.padEnd(24)} median ${short(summarize(all).median)} s (${all.map(short).join(', ')})`);
  }
  for (const { what, residentMiB, proportionalMiB, processor } of uses)
    console.log(
      `${what.padEnd(24)} resident ${residentMiB} MiB, proportional ${proportionalMiB} MiB, ${processor} thousandths of a core`,
    );
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    rest: { type: 'string', default: '60' },
    providers: { type: 'string' },
    real: { type: 'string' },
    deadline: { type: 'string', default: '300' },
    json: { type: 'boolean', default: false },
  },
});
await ensureNeeds(['clusters']);
const restSeconds = Number(values.rest);
const log = (line: string) => console.error(line);
const deadlineSeconds = Number(values.deadline);
if (values.providers === undefined && values.real === undefined) {
  await playRounds(Number(values.rounds), restSeconds, values.json);
} else {
  const common = { restSeconds, deadlineSeconds, log };
  const results: ManyResult[] = [];
  const onResult = (result: ManyResult) => {
    results.push(result);
    log(JSON.stringify(result));
  };
  try {
    if (values.real === undefined) {
      const counts = (values.providers ?? '').split(',').map(Number);
      await measureGrowth({ ...common, bedName: 'bench-many', counts, onResult });
    } else {
      onResult(await measureReal({ ...common, bedName: 'bench-real', count: Number(values.real) }));
    }
  } finally {
    // Print what was measured before a failure, since measuring takes minutes.
    if (values.json) console.log(JSON.stringify(results, null, 2));
    else for (const line of growthTable(results)) console.log(line);
  }
}
