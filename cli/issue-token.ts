/** Issues a peering token at a provider: the grant that the options request, and the object. */
import type { LocalCluster } from '../shared/api/clusters.ts';
import type { PeeringToken } from '../shared/api/peerings.ts';
import type { MaximumGrant } from '../shared/maximum-grant.ts';
import { text, texts, type Invocation, type Option } from './command.ts';
import { parseDuration } from './duration.ts';
import { CommandError, UsageError } from './exit.ts';
import { hawser, type Kube } from './kube.ts';

export const grantOptions = {
  cpu: { type: 'string', value: 'QUANTITY', help: 'CPU granted to the consumer' },
  memory: { type: 'string', value: 'QUANTITY', help: 'memory granted to the consumer' },
  'ephemeral-storage': {
    type: 'string',
    value: 'QUANTITY',
    help: 'ephemeral storage granted to the consumer (default: 1Gi for each container)',
  },
  'extended-resource': {
    type: 'string',
    multiple: true,
    value: 'NAME=QUANTITY',
    help: 'devices or huge pages granted to the consumer, such as nvidia.com/gpu=2; can be repeated (default: none)',
  },
  enforcement: {
    type: 'string',
    value: 'MODE',
    help: 'how the grant is counted: soft (requests), hard (limits too) or none (default: soft)',
  },
  'default-limit': {
    type: 'string',
    multiple: true,
    value: 'NAME=QUANTITY',
    help: 'limit of containers that have none, of cpu, memory or ephemeral-storage; can be repeated (default: none)',
  },
  pods: { type: 'string', value: 'NUMBER', help: 'number of pods granted to the consumer' },
  'pod-security': {
    type: 'string',
    value: 'LEVEL',
    help: 'pod security level: restricted, baseline or privileged',
  },
  'raw-network': {
    type: 'boolean',
    help: 'let containers keep the capability NET_RAW (default: it is dropped)',
  },
  'twin-namespace': {
    type: 'string',
    multiple: true,
    value: 'NAME',
    help: 'name granted to a twin namespace; can be repeated',
  },
} as const satisfies Record<string, Option>;

/** How long a token is valid: `15m`, `2h`, `90s` or plain seconds → seconds. Throws UsageError. */
export function parseLife(value: string): number {
  return parseDuration('expires-in', value, { least: 60, most: 86_400, shown: '60s to 24h' });
}

/** `NAME=QUANTITY` options. Throws UsageError. */
function pairsOf(invocation: Invocation, option: 'extended-resource' | 'default-limit'): [string, string][] {
  return texts(invocation, option).map((each): [string, string] => {
    const [, name, quantity] = /^([^=\s]+)=([^=\s]+)$/.exec(each) ?? [];
    if (name === undefined || quantity === undefined)
      throw new UsageError(`--${option} ${each}: must be NAME=QUANTITY`);
    return [name, quantity];
  });
}

const limitFields: Readonly<Record<string, string>> = {
  cpu: 'cpu',
  memory: 'memory',
  'ephemeral-storage': 'ephemeralStorage',
};

function defaultLimitsOf(invocation: Invocation): Record<string, string> {
  return Object.fromEntries(
    pairsOf(invocation, 'default-limit').map(([name, quantity]) => {
      const field = limitFields[name];
      if (field === undefined)
        throw new UsageError(`--default-limit ${name}: must be cpu, memory or ephemeral-storage`);
      return [field, quantity];
    }),
  );
}

/** In Kubernetes' spelling; the command takes any. Throws UsageError. */
function enforcementOf(invocation: Invocation): string | undefined {
  const asked = text(invocation, 'enforcement');
  if (asked === undefined) return undefined;
  const mode = ['None', 'Soft', 'Hard'].find((each) => each.toLowerCase() === asked.toLowerCase());
  if (mode === undefined) throw new UsageError(`--enforcement ${asked}: must be soft, hard or none`);
  return mode;
}

/** The parts of the grant that the options set; the others have defaults. Throws UsageError. */
export function grantOf(invocation: Invocation): Record<string, unknown> {
  const pods = text(invocation, 'pods');
  if (pods !== undefined && !/^[0-9]{1,6}$/.test(pods))
    throw new UsageError(`--pods ${pods}: must be a number`);
  const twinNamespaces = texts(invocation, 'twin-namespace');
  const extendedResources = pairsOf(invocation, 'extended-resource').map(([name, quantity]) => ({
    name,
    quantity,
  }));
  const enforcement = enforcementOf(invocation);
  const defaultLimits = defaultLimitsOf(invocation);
  return {
    ...(text(invocation, 'cpu') !== undefined && { cpu: text(invocation, 'cpu') }),
    ...(text(invocation, 'memory') !== undefined && { memory: text(invocation, 'memory') }),
    ...(text(invocation, 'ephemeral-storage') !== undefined && {
      ephemeralStorage: text(invocation, 'ephemeral-storage'),
    }),
    ...(extendedResources.length > 0 && { extendedResources }),
    ...(enforcement !== undefined && { enforcement }),
    ...(Object.keys(defaultLimits).length > 0 && { defaultLimits }),
    ...(pods !== undefined && { pods: Number(pods) }),
    ...(invocation.options['raw-network'] === true && { rawNetwork: true }),
    ...(text(invocation, 'pod-security') !== undefined && { podSecurity: text(invocation, 'pod-security') }),
    ...(twinNamespaces.length > 0 && { twinNamespaces }),
  };
}

export interface TokenRequest {
  issuedBy: string;
  /** The ID of the only cluster that can redeem it; undefined: any cluster. */
  consumer?: string | undefined;
  inBand?: boolean;
  /** `spec.maximumGrant` of LocalCluster self; absent: only the API server checks it. */
  maximumGrant?: MaximumGrant | undefined;
}

/** Creates the token in the provider's cluster. Throws UsageError for an invalid grant, CommandError when not ready. */
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
