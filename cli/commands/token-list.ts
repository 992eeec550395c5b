import type { PeeringToken } from '../../shared/api/peerings.ts';
import { ago } from '../ages.ts';
import { localCluster } from '../cluster.ts';
import { clusterOptions, outputOption, type Command } from '../command.ts';
import { hawser, withKube } from '../kube.ts';
import { printFacts } from '../output.ts';
import { table } from '../terminal.ts';

export const command: Command = {
  name: 'token list',
  summary: 'list the peering tokens of this cluster, without their secrets',
  description: 'One line per token: its state, when it expires, which consumer redeemed it, and its grant.',
  options: { ...outputOption, ...clusterOptions },
  examples: [['List the tokens', 'hawser token list']],
  run: (invocation) =>
    withKube(invocation, async (kube) => {
      await localCluster(kube);
      const { tokenState } = await import('../../shared/token-issue.ts');
      const tokens = await kube.list<PeeringToken>(hawser('peeringtokens', kube.namespace));
      const now = invocation.now();
      const facts = tokens.map((token) => ({
        name: token.metadata.name,
        state: tokenState(token, now),
        expiresAt: token.spec.expiresAt,
        ...(token.spec.consumer !== undefined && { consumer: token.spec.consumer }),
        ...(token.status?.redeemedBy !== undefined && { redeemedBy: token.status.redeemedBy.clusterID }),
        grant: token.spec.grant,
      }));
      await printFacts(invocation, facts, (items) => {
        if (items.length === 0) return 'No peering tokens. To issue one: hawser token create';
        const rows = items.map(({ name, state, expiresAt, redeemedBy, consumer, grant }) => [
          name,
          state,
          ago(expiresAt, now),
          redeemedBy ?? (consumer === undefined ? '-' : `(only ${consumer})`),
          `${grant.cpu} CPUs, ${grant.memory}, ${grant.pods} pods`,
        ]);
        return table([['NAME', 'STATE', 'EXPIRES', 'CONSUMER', 'GRANT'], ...rows]);
      });
    }),
};
