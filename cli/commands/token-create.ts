import { clusterOptions, outputOption, text, type Command } from '../command.ts';
import { localCluster } from '../cluster.ts';
import { grantOf, grantOptions, issueToken, parseLife } from '../issue-token.ts';
import { withKube } from '../kube.ts';
import { formatOf, printFacts } from '../output.ts';

export const command: Command = {
  name: 'token create',
  summary: 'issue a peering token in this cluster, the provider',
  description: `Prints one string that holds all that a consumer needs: the address of this cluster's gateway, the pin of its
certificate, this cluster's ID and key, and a secret. It is shown once, works once, and expires. Hand it over as you would
a password. It carries what it grants; what is not asked for is 4 CPUs, 8Gi of memory, 110 pods, pod security "baseline".`,
  options: {
    'expires-in': { type: 'string', value: 'DURATION', help: 'its life, 60s to 24h (default: 15m)' },
    consumer: { type: 'string', value: 'ID', help: 'only the cluster of this ID may use it' },
    ...grantOptions,
    ...outputOption,
    ...clusterOptions,
  },
  examples: [
    ['A token for whoever gets it, for a quarter of an hour', 'hawser token create'],
    ['For one cluster and more resources', 'hawser token create --consumer elm-7d3k --cpu 16 --memory 64Gi'],
    [
      'Straight to the consumer, if you have access to both',
      'hawser token create | hawser peer - --context consumer',
    ],
  ],
  run: (invocation) =>
    withKube(invocation, async (kube) => {
      formatOf(invocation);
      // What is wrong with the options is said before anything is asked.
      parseLife(text(invocation, 'expires-in') ?? '15m');
      grantOf(invocation);
      const self = await localCluster(kube);
      const { object, token } = await issueToken(invocation, kube, self.status ?? {}, {
        consumer: text(invocation, 'consumer'),
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
      invocation.terminal.say(
        `Valid once, until ${facts.expiresAt}, for ${cpu} CPUs, ${memory} of memory and ${pods} pods. On the consumer: hawser peer TOKEN`,
      );
    }),
};
