import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KubernetesObject } from '../../shared/api/meta.ts';
import type { FabricNode, AddressMapping, NodeTrace } from '../../shared/api/network.ts';
import { annotations } from '../../shared/names.ts';
import { clusterOptions, outputOption, type Command, type Invocation } from '../command.ts';
import { CommandError, exitCodes, UsageError } from '../exit.ts';
import { core, hawser, answerOf, withKube, type Kube } from '../kube.ts';
import { formatOf, printFacts } from '../output.ts';
import { listAllowed, readObjects } from '../read-objects.ts';
import { traceReport, type Measurement } from '../trace/measured.ts';
import { traceRoute, type ProbeRequest, type TracedPod } from '../trace/route.ts';
import { traceText } from '../trace/text.ts';

/** The gateway node counts packets for four seconds. */
const answerMilliseconds = 12_000;
const pollMilliseconds = 250;
/** So that the gateway node counts before the first probe is sent. */
const headStartMilliseconds = 700;

interface Pod extends KubernetesObject {
  spec: { nodeName?: string };
  status?: { podIP?: string; phase?: string };
}

async function readPod(kube: Kube, reference: string): Promise<TracedPod> {
  const [namespace, name, ...more] = reference.split('/');
  if (!namespace || !name || more.length > 0)
    throw new UsageError(`${reference}: a pod must be given as NAMESPACE/NAME`);
  const pod = await kube.get<Pod>(core('pods', namespace), name);
  if (pod === undefined) throw new CommandError(`pod "${name}" not found in namespace ${namespace}`);
  return {
    name: reference,
    node: pod.spec.nodeName ?? '',
    address: pod.status?.podIP,
    phase: pod.status?.phase ?? 'Unknown',
  };
}

/** Requests probes and packet counts from the nodes; an answer that does not come in time is absent. */
async function measure(
  invocation: Invocation,
  kube: Kube,
  { prober, target, remote }: ProbeRequest,
  gateway: string | undefined,
): Promise<Measurement> {
  const id = randomUUID();
  const nodes = hawser('fabricnodes');
  const request = (node: string, address?: string) =>
    kube.patch<FabricNode>(nodes, node, {
      metadata: { annotations: { [annotations.trace]: JSON.stringify({ id, address }) } },
    });
  const counts = remote !== undefined && gateway !== undefined && gateway !== prober;
  try {
    if (counts) {
      await request(gateway);
      await sleep(headStartMilliseconds, undefined, { signal: invocation.signal });
    }
    await request(prober, target);
  } catch (error) {
    if (answerOf(error) === undefined) throw error;
    invocation.terminal.log(`Not measured: ${(error as Error).message}`);
    return { prober: undefined, gateway: undefined };
  }
  const read = async (node: string): Promise<NodeTrace | undefined> => {
    const trace = (await kube.get<FabricNode>(nodes, node))?.status?.trace;
    return trace?.id === id ? trace : undefined;
  };
  const end = invocation.now() + answerMilliseconds;
  for (;;) {
    const found: Measurement = {
      prober: await read(prober),
      gateway: counts ? await read(gateway) : undefined,
    };
    const complete = found.prober !== undefined && (!counts || found.gateway !== undefined);
    if (complete || invocation.now() > end) return found;
    invocation.terminal.progress(`${prober} probes ${target}`);
    await sleep(pollMilliseconds, undefined, { signal: invocation.signal });
  }
}

export const command: Command = {
  name: 'trace',
  summary: 'trace a packet from one pod to another, hop by hop',
  arguments: 'POD POD',
  description: `Each POD is NAMESPACE/NAME in this cluster; either can be offloaded. Shows every hop between them: the addresses at that hop
and which cluster's address space they belong to, whether the packet is admitted and why, and where it is dropped. The path
is computed from the cluster's objects. In addition the node of the local pod sends a few probes to the other pod, and the
gateway node counts packets meanwhile; between pods at two providers the gateway node probes both. The output says which
parts are measured and which are computed. The exit code is 1 if the packet is dropped.`,
  options: { ...outputOption, ...clusterOptions },
  examples: [
    ['Trace from a local pod to an offloaded pod', 'hawser trace shop/frontend-7d9 shop/db-0'],
    ['Trace the opposite direction', 'hawser trace shop/db-0 shop/frontend-7d9'],
    ['Output for a program', 'hawser trace shop/frontend-7d9 shop/db-0 -o json'],
  ],
  run: (invocation) =>
    withKube(invocation, async (kube) => {
      const [first = '', second = ''] = invocation.arguments;
      formatOf(invocation);
      const [from, to, objects, mappings] = await Promise.all([
        readPod(kube, first),
        readPod(kube, second),
        readObjects(kube),
        listAllowed<AddressMapping>(kube, hawser('addressmappings'), []),
      ]);
      const route = traceRoute({ objects, from, to, mappings });
      const measurements: Measurement[] = [];
      // One after another: a node serves one request at a time, and counts all packets meanwhile.
      for (const probe of route.probes)
        measurements.push(await measure(invocation, kube, probe, route.gateway));
      const report = traceReport(route, measurements);
      const { terminal } = invocation;
      await printFacts(invocation, report, (facts) => traceText(facts, terminal));
      invocation.exitCode = report.outcome === 'Stops' ? exitCodes.failed : exitCodes.done;
    }),
};
