import type { PeeringToken } from '../../shared/api/peerings.ts';
import { localCluster } from '../cluster.ts';
import { clusterOptions, type Command } from '../command.ts';
import { CommandError, UsageError } from '../exit.ts';
import { hawser, withKube } from '../kube.ts';

export const command: Command = {
  name: 'token revoke',
  summary: 'make a peering token useless',
  arguments: 'NAME',
  description: `The token of that name (hawser token list shows names) can not be used any more. A peering that was made with it
stays; hawser unpeer --incoming ends it.`,
  options: { ...clusterOptions },
  examples: [['The token got into wrong hands', 'hawser token revoke token-3f9c2a7d11e0b845']],
  run: (invocation) =>
    withKube(invocation, async (kube) => {
      const [name, ...more] = invocation.arguments;
      if (name === undefined || more.length > 0) throw new UsageError('one name of a token is wanted');
      if (name.startsWith('hawser1.')) {
        throw new UsageError('this is the token itself; its name is wanted, as hawser token list shows it');
      }
      await localCluster(kube);
      const tokens = hawser('peeringtokens', kube.namespace);
      const token = await kube.get<PeeringToken>(tokens, name);
      if (token === undefined) {
        throw new CommandError(`there is no peering token ${name}; hawser token list shows those there are`);
      }
      await kube.patch(tokens, name, { spec: { revoked: true } });
      const redeemedBy = token.status?.redeemedBy?.clusterID;
      invocation.terminal.print(
        redeemedBy === undefined
          ? `${name} can not be used any more.`
          : `${name} had been used by ${redeemedBy} already; to end that peering: hawser unpeer --incoming ${redeemedBy}`,
      );
    }),
};
