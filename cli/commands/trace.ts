import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KubernetesObject } from '../../shared/api/meta.ts';
import type { FabricNode, AddressMapping, NodeTrace } from '../../shared/api/network.ts';
import { annotations } from '../../shared/names.ts';
import { clusterOptions, outputOption, type Command, type Invocation } from '../command.ts';
import { CommandError, exitCodes, UsageError } from '../exit.ts';
import { core, hawser, KubeError, withKube, type Kube } from '../kube.ts';
import { formatOf, printFacts } from '../output.ts';
import { listAllowed, readObjects } from '../read-objects.ts';
import { traceReport, type Measurement } from '../trace/measured.ts';
import { traceRoute, type Question, type TracedPod } from '../trace/route.ts';
import { traceText } from '../trace/text.ts';

/** The gateway counts for four seconds. */
const answerMilliseconds = 12_000;
const pollMilliseconds = 250;
/** So that the gateway has begun to count before anything is asked. */
const headStartMilliseconds = 700;

interface Pod extends KubernetesObject {
  spec: { nodeName?: string };
  status?: { podIP?: string; phase?: string };
}

async function readPod(kube: Kube, word: string): Promise<TracedPod> {
  const [namespace, name, ...more] = word.split('/');
  if (!namespace || !name || more.length > 0)
    throw new UsageError(`${word}: a pod is wanted as NAMESPACE/NAME`);
  const pod = await kube.get<Pod>(core('pods', namespace), name);
  if (pod === undefined) throw new CommandError(`there is no pod ${name} in namespace ${namespace}`);
  return {
    name: word,
    node: pod.spec.nodeName ?? '',
    address: pod.status?.podIP,
    phase: pod.status?.phase ?? 'Unknown',
  };
}

/** Lets the nodes ask and count; what does not come in time is absent. */
async function measure(
  invocation: Invocation,
  kube: Kube,
  { asker, asked, remote }: Question,
  gateway: string | undefined,
): Promise<Measurement> {
  const id = randomUUID();
  const nodes = hawser('fabricnodes');
  const request = (node: string, address?: string) =>
    kube.patch<FabricNode>(nodes, node, {
      metadata: { annotations: { [annotations.trace]: JSON.stringify({ id, address }) } },
    });
  const counts = remote !== undefined && gateway !== undefined && gateway !== asker;
  try {
    if (counts) {
      await request(gateway);
      await sleep(headStartMilliseconds, undefined, { signal: invocation.signal });
    }
    await request(asker, asked);
  } catch (error) {
    if (!(error instanceof KubeError)) throw error;
    invocation.terminal.say(`nothing is measured: ${error.message}`);
    return { asker: undefined, gateway: undefined };
  }
  const read = async (node: string): Promise<NodeTrace | undefined> => {
    const trace = (await kube.get<FabricNode>(nodes, node))?.status?.trace;
    return trace?.id === id ? trace : undefined;
  };
  const end = invocation.now() + answerMilliseconds;
  for (;;) {
    const found: Measurement = {
      asker: await read(asker),
      gateway: counts ? await read(gateway) : undefined,
    };
    const complete = found.asker !== undefined && (!counts || found.gateway !== undefined);
    if (complete || invocation.now() > end) return found;
    invocation.terminal.progress(`  .. ${asker} asks ${asked}`);
    await sleep(pollMilliseconds, undefined, { signal: invocation.signal });
  }
}

export const command: Command = {
  name: 'trace',
  summary: 'follow a packet from one pod to another, hop by hop',
  arguments: 'POD POD',
  description: `Pods are NAMESPACE/NAME of this cluster; either may be offloaded. Shows each hop between them: the addresses there and in
whose terms they are, whether the packet is let through and why, and where it stops. The way is computed from what the
cluster's objects say; the node of the pod that is here sends a few stamped probes to the other, and the gateway node counts
what passes meanwhile. Between pods at two providers the gateway node asks both. Which of it is measured and which computed is
said. Exit code 1 if it stops.`,
  options: { ...outputOption, ...clusterOptions },
  examples: [
    ['From a pod here to one that is offloaded', 'hawser trace shop/frontend-7d9 shop/db-0'],
    ['From there to here', 'hawser trace shop/db-0 shop/frontend-7d9'],
    ['For a program', 'hawser trace shop/frontend-7d9 shop/db-0 -o json'],
  ],
  run: (invocation) =>
    withKube(invocation, async (kube) => {
      const [first, second, ...more] = invocation.arguments;
      if (first === undefined || second === undefined || more.length > 0)
        throw new UsageError('two pods are wanted, each as NAMESPACE/NAME');
      formatOf(invocation);
      const [from, to, objects, mappings] = await Promise.all([
        readPod(kube, first),
        readPod(kube, second),
        readObjects(kube),
        listAllowed<AddressMapping>(kube, hawser('addressmappings'), []),
      ]);
      const route = traceRoute({ objects, from, to, mappings });
      const measurements: Measurement[] = [];
      // One after another: a node answers one wish at a time, and counts all that passes meanwhile.
      for (const question of route.questions)
        measurements.push(await measure(invocation, kube, question, route.gateway));
      const report = traceReport(route, measurements);
      const { terminal } = invocation;
      await printFacts(invocation, report, (facts) => traceText(facts, terminal.style.bind(terminal)));
      invocation.exitCode = report.outcome === 'Stops' ? exitCodes.failed : exitCodes.done;
    }),
};
