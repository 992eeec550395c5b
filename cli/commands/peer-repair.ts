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
  summary: 'bring an in-band peering back after changes that broke its tunnel',
  arguments: 'PROVIDER',
  description: `In-band, what two clusters tell each other goes through the tunnel: when an endpoint, a tunnel key or a range changed on
both sides at once, or while they were apart, neither can tell the other. This command, with access to both, compares what each
knows with what is, says what was out of date, carries it over, and waits until the peering is Ready. It needs the rights of the
ClusterRoles hawser-peer-consumer and hawser-peer-provider, and changes nothing when nothing is out of date.`,
  options: {
    name: { type: 'string', value: 'NAME', help: 'which peering with that provider (default: "default")' },
    ...remoteOptions,
    ...timeoutOption(defaultSeconds),
    ...outputOption,
    ...clusterOptions,
  },
  examples: [
    ['After the provider’s endpoint moved', 'hawser peer repair milan-x3k9ab --remote-context milan'],
    [
      'By another way in',
      'hawser peer repair milan-x3k9ab --remote-context milan --endpoint vpn.example:7470',
    ],
  ],
  run: async (invocation) => {
    formatOf(invocation);
    const seconds = timeoutOf(invocation, defaultSeconds);
    if (seconds === 0) throw new UsageError('--timeout 0: the command itself carries what is out of date');
    const [wanted, ...more] = invocation.arguments;
    if (wanted === undefined || more.length > 0) throw new UsageError('one provider is wanted, by its ID');
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
      if (wanted !== provider.clusterID) {
        throw new UsageError(
          `context "${provider.kube.context}" is ${provider.clusterID}, not ${wanted}: --remote-context names the provider`,
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
        throw new CommandError(`there is no peering ${name} to repair: hawser peer --in-band begins one`);
      }
      if (atConsumer?.spec.controlPlane === 'OutOfBand') {
        throw new CommandError(
          `${provider.clusterID} is reached out of band, and follows changes by itself: see hawser status ${name}`,
        );
      }
      const requests = requestsOf(sides, endpoints, undefined);
      const found = differencesOf(sides, { consumer: atConsumer, provider: atProvider }, requests);
      for (const { side, what, known, actual } of found) {
        terminal.say(`  out of date at the ${side}: ${what}: knew ${known}, is ${actual}`);
      }
      if (found.length === 0) terminal.say('Nothing is out of date.');
      for (const line of givenOnce({ consumer: atConsumer, provider: atProvider }, endpoints)) {
        terminal.say(`  ${line}`);
      }
      const begun = invocation.now();
      await openTunnel(invocation, sides, requests, {
        seconds,
        begun,
        advice: `One side must reach the other’s tunnel endpoint by UDP (--endpoint, --consumer-endpoint). See hawser status ${name}.`,
      });
      await followPeering(invocation, consumer.kube, name, { begun, seconds });
      const facts = { peering: name, provider: provider.clusterID, outOfDate: found };
      await printFacts(invocation, facts, ({ outOfDate }) =>
        outOfDate.length === 0 ? `${name} is Ready.` : `Repaired: ${name} is Ready.`,
      );
    });
  },
};
