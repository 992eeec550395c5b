import { setTimeout as sleep } from 'node:timers/promises';
import type { RemoteCluster } from '../../shared/api/clusters.ts';
import type { FabricNode, Tunnel } from '../../shared/api/network.ts';
import type { NamespaceOffloading } from '../../shared/api/offloading.ts';
import type { IncomingPeering, OutgoingPeering } from '../../shared/api/peerings.ts';
import { localCluster } from '../cluster.ts';
import { clusterOptions, outputOption, type Command, type Invocation } from '../command.ts';
import { CommandError, exitCodes, UsageError } from '../exit.ts';
import { hawser, withKube, type Kube } from '../kube.ts';
import { formatOf, printFacts } from '../output.ts';
import { statusReport, type StatusReport } from '../status-report.ts';
import { inDepth, overview } from '../status-text.ts';

const watchMilliseconds = 1000;

async function look(kube: Kube): Promise<StatusReport> {
  const [self, remotes, outgoing, incoming, tunnels, fabricNodes, offloadings] = await Promise.all([
    localCluster(kube),
    kube.list<RemoteCluster>(hawser('remoteclusters')),
    kube.list<OutgoingPeering>(hawser('outgoingpeerings')),
    kube.list<IncomingPeering>(hawser('incomingpeerings')),
    kube.list<Tunnel>(hawser('tunnels')),
    kube.list<FabricNode>(hawser('fabricnodes')),
    kube.list<NamespaceOffloading>(hawser('namespaceoffloadings')),
  ]);
  return statusReport({ self, remotes, outgoing, incoming, tunnels, fabricNodes, offloadings });
}

async function show(invocation: Invocation, kube: Kube): Promise<void> {
  const [wanted] = invocation.arguments;
  const report = await look(kube);
  const style = invocation.terminal.style.bind(invocation.terminal);
  if (wanted === undefined) {
    await printFacts(invocation, report, (facts) => overview(facts, invocation.now(), style));
  } else {
    const chosen = report.peerings.filter(
      ({ name, remoteCluster }) => name === wanted || remoteCluster === wanted,
    );
    if (chosen.length === 0) {
      const names = report.peerings.map(({ name }) => name).join(', ') || 'none';
      throw new CommandError(`there is no peering ${wanted}; there are: ${names}`);
    }
    await printFacts(invocation, { ...report, peerings: chosen }, ({ peerings }) =>
      peerings.map((peering) => inDepth(peering, invocation.now(), style)).join('\n\n'),
    );
    report.peerings = chosen;
  }
  invocation.exitCode = report.peerings.every(({ ready }) => ready) ? exitCodes.done : exitCodes.failed;
}

export const command: Command = {
  name: 'status',
  summary: 'show this cluster and its peerings, or one peering in depth',
  arguments: '[PEERING]',
  description: `Without an argument: this cluster, its nodes, and one line a peering. With a peering or the ID of a remote cluster: its
conditions as sentences, the tunnel, how each side knows the other's ranges, what is granted and used, and the identity.
Exit code 1 if something that is shown is not Ready.`,
  options: {
    watch: { type: 'boolean', short: 'w', help: 'show it again each second until interrupted' },
    ...outputOption,
    ...clusterOptions,
  },
  examples: [
    ['All at a glance', 'hawser status'],
    ['One in depth', 'hawser status oak-2b1c'],
    ['For a program', 'hawser status -o json'],
  ],
  run: (invocation) =>
    withKube(invocation, async (kube) => {
      if (invocation.arguments.length > 1) throw new UsageError('one peering at most');
      formatOf(invocation);
      await show(invocation, kube);
      while (invocation.options['watch'] === true) {
        await sleep(watchMilliseconds, undefined, { signal: invocation.signal });
        invocation.terminal.print('');
        await show(invocation, kube);
      }
    }),
};
