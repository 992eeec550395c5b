/** Both clusters of an in-band peering, as the command reaches them: each with its own credentials. */
import type { LocalCluster, RemoteCluster } from '../../shared/api/clusters.ts';
import { localCluster } from '../cluster.ts';
import { text, type Invocation, type Option } from '../command.ts';
import { CommandError, UsageError } from '../exit.ts';
import { hawser, withKube, withKubeAt, type Kube } from '../kube.ts';

/** Options that name the provider's cluster; the consumer's are those of every command. */
export const remoteOptions = {
  'remote-context': {
    type: 'string',
    value: 'NAME',
    help: 'with --in-band: kubeconfig context of the provider',
  },
  'remote-kubeconfig': {
    type: 'string',
    value: 'FILE',
    help: 'with --in-band: kubeconfig file of the provider (default: the consumer’s)',
  },
  endpoint: {
    type: 'string',
    value: 'HOST:PORT',
    help: 'with --in-band: where the consumer reaches the provider’s tunnel (default: as declared)',
  },
  'consumer-endpoint': {
    type: 'string',
    value: 'HOST:PORT',
    help: 'with --in-band: where the provider reaches the consumer’s tunnel',
  },
} as const satisfies Record<string, Option>;

export interface Side {
  name: 'consumer' | 'provider';
  kube: Kube;
  clusterID: string;
  publicKey: string;
  status: NonNullable<LocalCluster['status']>;
}

export interface Sides {
  consumer: Side;
  provider: Side;
}

/** The provider's kubeconfig and context, from the options. */
export function providerOf(invocation: Invocation) {
  return {
    kubeconfig: text(invocation, 'remote-kubeconfig') ?? text(invocation, 'kubeconfig'),
    context: text(invocation, 'remote-context'),
  };
}

/** Runs with both clusters. Throws a CommandError that names the side that is not ready, and what it lacks. */
export async function withSides<T>(invocation: Invocation, use: (sides: Sides) => Promise<T>): Promise<T> {
  const where = providerOf(invocation);
  if (where.context === undefined && text(invocation, 'remote-kubeconfig') === undefined) {
    throw new UsageError(
      'in-band peering requires access to the provider: set --remote-context or --remote-kubeconfig',
    );
  }
  return withKube(invocation, (kubeOfConsumer) =>
    withKubeAt(invocation, where, async (kubeOfProvider) => {
      const [consumer, provider] = await Promise.all([
        readSide('consumer', kubeOfConsumer),
        readSide('provider', kubeOfProvider),
      ]);
      if (consumer.clusterID === provider.clusterID) {
        throw new UsageError(
          `both contexts refer to the same cluster (${consumer.clusterID}); --remote-context must name the provider`,
        );
      }
      return use({ consumer, provider });
    }),
  );
}

async function readSide(name: Side['name'], kube: Kube): Promise<Side> {
  const { status = {} } = await localCluster(kube);
  const { clusterID, publicKey, podCIDRs = [], externalCIDR, tunnelEndpoints = [], gatewayPin } = status;
  const lacks = (what: string) =>
    new CommandError(
      `the ${name} (context "${kube.context}") has no ${what} yet; for the reason: kubectl describe localcluster self`,
    );
  if (clusterID === undefined || publicKey === undefined) throw lacks('ID and key');
  if (podCIDRs.length === 0 || externalCIDR === undefined) throw lacks('ranges');
  if (tunnelEndpoints.length === 0) throw lacks('gateway node (label one with hawser.dev/gateway=true)');
  if (name === 'provider' && gatewayPin === undefined) throw lacks('certificate of its API gateway');
  return { name, kube, clusterID, publicKey, status };
}

/** What a side has recorded about the other. */
export async function remoteOf(side: Side, other: Side): Promise<RemoteCluster | undefined> {
  return side.kube.get<RemoteCluster>(hawser('remoteclusters'), other.clusterID);
}

/** `host:port` of an option. Throws UsageError. */
export function endpointOf(invocation: Invocation, option: string): string | undefined {
  const value = text(invocation, option);
  if (value === undefined) return undefined;
  const match = /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9](?:[-A-Za-z0-9.]*[A-Za-z0-9])?):([0-9]{1,5})$/.exec(value);
  const port = Number(match?.[1]);
  if (!(port >= 1 && port <= 65_535)) {
    throw new UsageError(`--${option} ${value}: must have the form HOST:PORT, such as vpn.example:7470`);
  }
  return value;
}
