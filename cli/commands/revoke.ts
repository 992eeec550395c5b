import type { IncomingPeering } from '../../shared/api/peerings.ts';
import { choosePeering, localCluster } from '../cluster.ts';
import { clusterOptions, timeoutOption, type Command, type Invocation } from '../command.ts';
import { CommandError, UsageError } from '../exit.ts';
import { core, hawser, withKube, type Kube } from '../kube.ts';
import { defaultSeconds, unpeer } from './unpeer.ts';

async function revoke(invocation: Invocation, kube: Kube): Promise<void> {
  const [wanted, ...more] = invocation.arguments;
  if (wanted === undefined || more.length > 0)
    throw new UsageError('one remote cluster or incoming peering is wanted');
  await localCluster(kube);
  const peerings = await kube.list<IncomingPeering>(hawser('incomingpeerings'));
  const peering = choosePeering(peerings, wanted);
  if (peering === undefined) {
    const names = peerings.map(({ metadata }) => metadata.name).join(', ') || 'none';
    throw new CommandError(`there is no incoming peering ${wanted}; there are: ${names}`);
  }
  const begun = invocation.now();
  const { tenantNamespace, identitySecretName } = peering.status ?? {};
  // By the person's own hand and before all else: it holds even while Hawser's controller is not there.
  if (tenantNamespace !== undefined && identitySecretName !== undefined) {
    await kube.remove(core('secrets', tenantNamespace), identitySecretName);
    invocation.terminal.step(
      'done',
      `identity of ${peering.spec.remoteCluster} deleted: its tokens end, its packets are refused`,
      invocation.now() - begun,
    );
  }
  await unpeer(invocation, kube, true);
}

export const command: Command = {
  name: 'revoke',
  summary: 'put a consumer out at once, and remove what it has here',
  arguments: 'REMOTE',
  description: `The consumer's identity is deleted first of all: the API server takes its tokens no longer, the gateway renews none, and the
gateway nodes refuse its packets, within a second. Then its pods end, its twins go, and everything that was made for it.
Nothing that the consumer does brings it back but another peering token. REMOTE is a cluster's ID or an incoming
peering's name, as hawser status shows them.`,
  options: { ...timeoutOption(defaultSeconds), ...clusterOptions },
  examples: [['Put a consumer out', 'hawser revoke elm-7d3k']],
  run: (invocation) => withKube(invocation, (kube) => revoke(invocation, kube)),
};
