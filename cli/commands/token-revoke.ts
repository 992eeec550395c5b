import type { PeeringToken } from '../../shared/api/peerings.ts';
import { localCluster } from '../cluster.ts';
import { clusterOptions, type Command } from '../command.ts';
import { CommandError, UsageError } from '../exit.ts';
import { hawser, withKube } from '../kube.ts';

export const command: Command = {
  name: 'token revoke',
  summary: 'revoke a peering token',
  arguments: 'NAME',
  description: `The token can no longer be redeemed. A peering that redeemed it before is kept; "hawser unpeer --incoming" removes it.
NAME is the name of the token, as "hawser token list" shows it.`,
  options: { ...clusterOptions },
  examples: [['Revoke a token that was lost', 'hawser token revoke token-3f9c2a7d11e0b845']],
  run: (invocation) =>
    withKube(invocation, async (kube) => {
      const [name = ''] = invocation.arguments;
      if (name.startsWith('hawser1.')) {
        throw new UsageError(
          'the argument is the token itself; give its name, as "hawser token list" shows it',
        );
      }
      await localCluster(kube);
      const tokens = hawser('peeringtokens', kube.namespace);
      const token = await kube.get<PeeringToken>(tokens, name);
      if (token === undefined) {
        throw new CommandError(
          `peering token "${name}" not found; "hawser token list" shows the existing ones`,
        );
      }
      await kube.patch(tokens, name, { spec: { revoked: true } });
      const redeemedBy = token.status?.redeemedBy?.clusterID;
      invocation.terminal.print(
        redeemedBy === undefined
          ? `Revoked: ${name}.`
          : `Revoked: ${name}, which ${redeemedBy} had redeemed. To remove that peering: hawser unpeer --incoming ${redeemedBy}`,
      );
    }),
};
