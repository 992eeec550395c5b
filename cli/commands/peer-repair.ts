import { defaultPeering, peeringName } from '../../shared/names.ts';
import type { OutgoingPeering } from '../../shared/api/peerings.ts';
import { clusterOptions, outputOption, text, timeoutOption, type Command } from '../command.ts';
import { CommandError, UsageError } from '../exit.ts';
import { endpointOf, remoteOf, remoteOptions, withSides } from '../in-band/sides.ts';
import { hawser } from '../kube.ts';
import { formatOf, printFacts } from '../output.ts';
import { followPeering } from '../peering-progress.ts';
import { timeoutOf } from '../wait.ts';

const defaultSeconds = 120;

export const command: Command = {
  name: 'peer repair',
  summary: 'repair an in-band peering after changes that broke its tunnel',
  arguments: 'PROVIDER',
  description: `Clusters that peer in-band exchange changes through the tunnel. If endpoints, tunnel keys or ranges change on both sides at
once, or while the tunnel is down, neither side can inform the other. This command connects to both clusters, compares what
each one has recorded about the other with its present state, reports and transfers what is out of date, and waits until the
peering is Ready. It needs the ClusterRoles hawser-peer-consumer and hawser-peer-provider. If nothing is out of date it
changes nothing. PROVIDER is the ID of the provider.`,
  options: {
    name: {
      type: 'string',
      value: 'NAME',
      help: 'name of the peering with that provider (default: "default")',
    },
    ...remoteOptions,
    ...timeoutOption(defaultSeconds),
    ...outputOption,
    ...clusterOptions,
  },
  examples: [
    [
      'Repair a peering after the provider’s endpoint changed',
      'hawser peer repair milan-x3k9ab --remote-context milan',
    ],
    [
      'Reach the provider’s tunnel at another address',
      'hawser peer repair milan-x3k9ab --remote-context milan --endpoint vpn.example:7470',
    ],
  ],
  run: async (invocation) => {
    formatOf(invocation);
    const seconds = timeoutOf(invocation, defaultSeconds);
    if (seconds === 0)
      throw new UsageError(
        '--timeout 0: must be positive, since this command itself transfers what is out of date',
      );
    const [providerID = ''] = invocation.arguments;
    const endpoints = {
      provider: endpointOf(invocation, 'endpoint'),
      consumer: endpointOf(invocation, 'consumer-endpoint'),
    };
    const { differencesOf, givenOnce } = await import('../in-band/differences.ts');
    const { requestsOf } = await import('../in-band/requests.ts');
    const { openTunnel } = await import('../in-band/tunnel.ts');
    await withSides(invocation, async (sides) => {
      const { consumer, provider } = sides;
      const { terminal } = invocation;
      if (providerID !== provider.clusterID) {
        throw new UsageError(
          `context "${provider.kube.context}" is cluster ${provider.clusterID}, not ${providerID}; --remote-context must name the provider`,
        );
      }
      const [atConsumer, atProvider] = await Promise.all([
        remoteOf(consumer, provider),
        remoteOf(provider, consumer),
      ]);
      const peering = text(invocation, 'name') ?? defaultPeering;
      const name = peeringName(provider.clusterID, peering);
      const outgoing = await consumer.kube.get<OutgoingPeering>(hawser('outgoingpeerings'), name);
      if (outgoing === undefined) {
        throw new CommandError(`peering "${name}" not found; to create it: hawser peer --in-band`);
      }
      if (atConsumer?.spec.controlPlane === 'OutOfBand') {
        throw new CommandError(
          `the peering with ${provider.clusterID} is out-of-band and follows changes without repair; see "hawser status ${name}"`,
        );
      }
      const requests = requestsOf(sides, endpoints, undefined);
      const found = differencesOf(sides, { consumer: atConsumer, provider: atProvider }, requests);
      for (const { side, what, known, actual } of found) {
        terminal.log(`  out of date at the ${side}: ${what}: recorded ${known}, actual ${actual}`);
      }
      if (found.length === 0) terminal.log('Nothing is out of date.');
      for (const line of givenOnce({ consumer: atConsumer, provider: atProvider }, endpoints)) {
        terminal.log(`  ${line}`);
      }
      const startedAt = invocation.now();
      await openTunnel(invocation, sides, requests, {
        seconds,
        startedAt,
        advice: `One side must reach the other’s tunnel endpoint over UDP (--endpoint, --consumer-endpoint). See "hawser status ${name}".`,
      });
      await followPeering(invocation, consumer.kube, name, { startedAt, seconds });
      const facts = { peering: name, provider: provider.clusterID, outOfDate: found };
      await printFacts(invocation, facts, ({ outOfDate }) =>
        outOfDate.length === 0 ? `${name} is Ready.` : `Repaired: ${name} is Ready.`,
      );
    });
  },
};
