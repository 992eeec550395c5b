/** How this cluster sees a consumer's peering, in the words of the conditions that it holds. Pure. */
import type { Condition } from '../shared/api/meta.ts';
import type { Tunnel } from '../shared/api/network.ts';
import type { IncomingPeering, PeeringState } from '../shared/api/peerings.ts';
import { isTrue } from '../shared/conditions.ts';
import { version } from './version.ts';

/** Bounds of the schema: nothing that a condition says makes the answer invalid. */
const problemsTold = 16;
const problemLength = 512;
/** True when something is wrong. */
const negative: ReadonlySet<string> = new Set(['Revoked']);

/** What its consumer may know of a peering. `tunnel` is the one to that consumer's cluster. */
export function peeringStateOf(peering: IncomingPeering, tunnel: Tunnel | undefined): PeeringState {
  const { spec, status } = peering;
  const sentences = [
    ...(status === undefined ? ['the provider’s controller has not begun with this peering'] : []),
    ...problemsOf(status?.conditions),
    ...(tunnel === undefined
      ? ['the provider has no tunnel to this consumer yet: it waits for a valid network document of it']
      : problemsOf(tunnel.status?.conditions)),
  ];
  const handshake = tunnel?.status?.latestHandshake;
  return {
    version,
    desired: spec.desired,
    tenantReady: isTrue(status?.conditions, 'TenantReady'),
    grant: spec.grant,
    ...(status?.used !== undefined && { used: status.used }),
    ...(tunnel !== undefined && {
      tunnel: {
        established: isTrue(tunnel.status?.conditions, 'Established'),
        pathVerified: isTrue(tunnel.status?.conditions, 'PathVerified'),
        ...(handshake !== undefined && { latestHandshake: handshake }),
      },
    }),
    problems: [...new Set(sentences)].slice(0, problemsTold),
  };
}

/** The messages of what is wrong; that of Ready only when no other says more. */
function problemsOf(conditions: readonly Condition[] | undefined): string[] {
  const wrong = (conditions ?? []).filter(isProblem);
  const parts = wrong.filter(({ type }) => type !== 'Ready');
  return (parts.length > 0 ? parts : wrong)
    .map(({ message }) =>
      message.length <= problemLength ? message : `${message.slice(0, problemLength - 1)}…`,
    )
    .filter((message) => message !== '');
}

function isProblem({ type, status }: Condition): boolean {
  return negative.has(type) ? status === 'True' : status !== 'True';
}
