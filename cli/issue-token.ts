/** Issuing a peering token at a provider: what the options ask of the grant, and the object. */
import type { LocalCluster } from '../shared/api/clusters.ts';
import type { PeeringToken } from '../shared/api/peerings.ts';
import { text, texts, type Invocation, type Option } from './command.ts';
import { CommandError, UsageError } from './exit.ts';
import { hawser, type Kube } from './kube.ts';

const units: Record<string, number> = { s: 1, m: 60, h: 3600 };

export const grantOptions = {
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
} as const satisfies Record<string, Option>;

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
export function grantOf(invocation: Invocation): Record<string, unknown> {
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

export interface TokenRequest {
  issuedBy: string;
  /** Only the cluster of this ID may use it. */
  consumer?: string | undefined;
  inBand?: boolean;
}

/** Makes the token in the provider's cluster. Throws UsageError for a grant that cannot be, CommandError when not ready. */
export async function issueToken(
  invocation: Invocation,
  kube: Kube,
  issuer: NonNullable<LocalCluster['status']>,
  request: TokenRequest,
): Promise<{ object: PeeringToken; token: string }> {
  const { issuePeeringToken } = await import('../shared/token-issue.ts');
  const { randomBytes } = await import('node:crypto');
  const issued = issuePeeringToken({
    ...request,
    issuer,
    namespace: kube.namespace,
    grant: grantOf(invocation),
    lifeSeconds: parseLife(text(invocation, 'expires-in') ?? '15m'),
    managedBy: 'hawser-cli',
    secret: randomBytes(32),
    now: invocation.now(),
  });
  if ('problems' in issued) {
    const lines = issued.problems.map(
      ({ field, detail, allowed }) => `${field}: ${detail}${allowed === undefined ? '' : ` (${allowed})`}`,
    );
    throw new UsageError(lines.join('\n'));
  }
  if ('waitingFor' in issued) throw new CommandError(issued.waitingFor);
  await kube.create(hawser('peeringtokens', kube.namespace), issued.object);
  return issued;
}
