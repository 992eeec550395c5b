import { clusterOptions, outputOption, text, texts, type Command, type Invocation } from '../command.ts';
import { localCluster } from '../cluster.ts';
import { CommandError, UsageError } from '../exit.ts';
import { hawser, withKube } from '../kube.ts';
import { formatOf, printFacts } from '../output.ts';

const units: Record<string, number> = { s: 1, m: 60, h: 3600 };

/** `15m`, `2h`, `90s` or plain seconds. Throws UsageError. */
export function parseLife(value: string): number {
  const match = /^([0-9]{1,6})([smh]?)$/.exec(value);
  const seconds = match === null ? Number.NaN : Number(match[1]) * (units[match[2] || 's'] ?? 1);
  if (!(seconds >= 60 && seconds <= 86_400)) {
    throw new UsageError(`--expires-in ${value}: between 60s and 24h, such as 15m`);
  }
  return seconds;
}

/** What the options ask of the grant; the rest is the default. Throws UsageError for a number of pods that is none. */
function grantOf(invocation: Invocation): Record<string, unknown> {
  const pods = text(invocation, 'pods');
  if (pods !== undefined && !/^[0-9]{1,6}$/.test(pods))
    throw new UsageError(`--pods ${pods}: a number is wanted`);
  const storageClasses = texts(invocation, 'storage-class');
  return {
    ...(text(invocation, 'cpu') !== undefined && { cpu: text(invocation, 'cpu') }),
    ...(text(invocation, 'memory') !== undefined && { memory: text(invocation, 'memory') }),
    ...(pods !== undefined && { pods: Number(pods) }),
    ...(text(invocation, 'pod-security') !== undefined && { podSecurity: text(invocation, 'pod-security') }),
    ...(storageClasses.length > 0 && { storageClasses }),
  };
}

export const command: Command = {
  name: 'token create',
  summary: 'issue a peering token in this cluster, the provider',
  description: `Prints one string that holds all that a consumer needs: the address of this cluster's gateway, the pin of its
certificate, this cluster's ID and key, and a secret. It is shown once, works once, and expires. Hand it over as you would
a password. It carries what it grants; what is not asked for is 4 CPUs, 8Gi of memory, 110 pods, pod security "baseline".`,
  options: {
    'expires-in': { type: 'string', value: 'DURATION', help: 'its life, 60s to 24h (default: 15m)' },
    consumer: { type: 'string', value: 'ID', help: 'only the cluster of this ID may use it' },
    cpu: { type: 'string', value: 'QUANTITY', help: 'CPUs that the consumer may use' },
    memory: { type: 'string', value: 'QUANTITY', help: 'memory that the consumer may use' },
    pods: { type: 'string', value: 'NUMBER', help: 'pods that the consumer may run' },
    'pod-security': { type: 'string', value: 'LEVEL', help: 'restricted, baseline or privileged' },
    'storage-class': {
      type: 'string',
      multiple: true,
      value: 'NAME',
      help: 'may be claimed; may be given again',
    },
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
      const lifeSeconds = parseLife(text(invocation, 'expires-in') ?? '15m');
      const wanted = grantOf(invocation);
      const self = await localCluster(kube);
      const { issuePeeringToken } = await import('../../shared/peering-tokens.ts');
      const { randomBytes } = await import('node:crypto');
      const issued = issuePeeringToken({
        issuer: self.status ?? {},
        namespace: kube.namespace,
        grant: wanted,
        consumer: text(invocation, 'consumer'),
        lifeSeconds,
        managedBy: 'hawser-cli',
        issuedBy: `hawser token create, context ${kube.context}`,
        secret: randomBytes(32),
        now: invocation.now(),
      });
      if ('problems' in issued) {
        const lines = issued.problems.map(
          ({ field, detail, allowed }) =>
            `${field}: ${detail}${allowed === undefined ? '' : ` (${allowed})`}`,
        );
        throw new UsageError(lines.join('\n'));
      }
      if ('waitingFor' in issued) throw new CommandError(issued.waitingFor);
      await kube.create(hawser('peeringtokens', kube.namespace), issued.object);
      const facts = {
        name: issued.object.metadata.name,
        token: issued.token,
        expiresAt: issued.object.spec.expiresAt,
        grant: issued.object.spec.grant,
      };
      await printFacts(invocation, facts, ({ token }) => token);
      const { cpu, memory, pods } = facts.grant;
      invocation.terminal.say(
        `Valid once, until ${facts.expiresAt}, for ${cpu} CPUs, ${memory} of memory and ${pods} pods. On the consumer: hawser peer TOKEN`,
      );
    }),
};
