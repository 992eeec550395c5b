import { clusterOptions, outputOption, text, type Command } from '../command.ts';
import { localCluster } from '../cluster.ts';
import { grantOf, grantOptions, issueToken, parseLife } from '../issue-token.ts';
import { withKube } from '../kube.ts';
import { formatOf, printFacts } from '../output.ts';

export const command: Command = {
  name: 'token create',
  summary: 'issue a peering token in this cluster, which becomes a provider',
  description: `Prints one string that contains everything that a consumer needs: the address of this cluster's API gateway, the pin of its
certificate, this cluster's ID and key fingerprint, and a secret. The token is shown once, can be redeemed once, and expires.
Treat it like a password. The options set the grant; the defaults are 4 CPUs, 8Gi of memory, 110 pods and pod security level
"baseline".`,
  options: {
    'expires-in': {
      type: 'string',
      value: 'DURATION',
      help: 'how long the token is valid, 60s to 24h (default: 15m)',
    },
    consumer: { type: 'string', value: 'ID', help: 'only the cluster with this ID can redeem the token' },
    ...grantOptions,
    ...outputOption,
    ...clusterOptions,
  },
  examples: [
    ['Create a token that any cluster can redeem within 15 minutes', 'hawser token create'],
    [
      'Create a token for one cluster, with a larger grant',
      'hawser token create --consumer elm-7d3k --cpu 16 --memory 64Gi',
    ],
    ['Peer at once, with access to both clusters', 'hawser token create | hawser peer - --context consumer'],
  ],
  run: (invocation) =>
    withKube(invocation, async (kube) => {
      formatOf(invocation);
      // Invalid options are reported before the cluster is read.
      parseLife(text(invocation, 'expires-in') ?? '15m');
      grantOf(invocation);
      const self = await localCluster(kube);
      const { object, token } = await issueToken(invocation, kube, self.status ?? {}, {
        consumer: text(invocation, 'consumer'),
        maximumGrant: self.spec.maximumGrant,
        issuedBy: `hawser token create, context ${kube.context}`,
      });
      const facts = {
        name: object.metadata.name,
        token,
        expiresAt: object.spec.expiresAt,
        grant: object.spec.grant,
      };
      await printFacts(invocation, facts, (each) => each.token);
      const { cpu, memory, pods } = facts.grant;
      invocation.terminal.log(
        `Can be redeemed once, until ${facts.expiresAt}, for ${cpu} CPUs, ${memory} of memory and ${pods} pods. Next, at the consumer: hawser peer TOKEN`,
      );
    }),
};
