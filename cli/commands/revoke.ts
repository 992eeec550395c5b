import type { IncomingPeering } from '../../shared/api/peerings.ts';
import { choosePeering, directedPeeringNotFound, localCluster } from '../cluster.ts';
import { clusterOptions, timeoutOption, type Command, type Invocation } from '../command.ts';
import { core, hawser, withKube, type Kube } from '../kube.ts';
import { defaultSeconds, unpeer } from './unpeer.ts';

async function revoke(invocation: Invocation, kube: Kube): Promise<void> {
  const [reference = ''] = invocation.arguments;
  await localCluster(kube);
  const peerings = await kube.list<IncomingPeering>(hawser('incomingpeerings'));
  const peering = choosePeering(peerings, reference);
  if (peering === undefined) throw directedPeeringNotFound(reference, true, peerings, undefined);
  const startedAt = invocation.now();
  const { tenantNamespace, identitySecretName } = peering.status ?? {};
  // By this command and first of all, so that it takes effect even while Hawser's controller does not run.
  if (tenantNamespace !== undefined && identitySecretName !== undefined) {
    await kube.remove(core('secrets', tenantNamespace), identitySecretName);
    invocation.terminal.step(
      'done',
      `identity of ${peering.spec.remoteCluster} deleted: its requests and packets are refused`,
      invocation.now() - startedAt,
    );
  }
  await unpeer(invocation, kube, true);
}

export const command: Command = {
  name: 'revoke',
  summary: 'revoke a consumer’s access immediately and delete its workloads',
  arguments: 'REMOTE',
  description: `First deletes the consumer's identity: within a second the API server rejects its tokens, the API gateway renews none, and
the gateway nodes drop its packets. Then deletes its pods, its twin namespaces and everything else of the peering. The
consumer needs a new peering token to peer again.
REMOTE is the ID of a cluster or the name of an incoming peering, as "hawser status" shows them.`,
  options: { ...timeoutOption(defaultSeconds), ...clusterOptions },
  examples: [['Revoke the access of a consumer', 'hawser revoke elm-7d3k']],
  run: (invocation) => withKube(invocation, (kube) => revoke(invocation, kube)),
};
