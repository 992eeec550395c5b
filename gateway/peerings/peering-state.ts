/** The provider report of a consumer's peering, from the conditions of its objects. Pure. */
import type { Condition } from '../../shared/api/meta.ts';
import type { Tunnel } from '../../shared/api/network.ts';
import type { IncomingPeering, PeeringState } from '../../shared/api/peerings.ts';
import { isTrue } from '../../shared/conditions.ts';
import { version } from '../version.ts';

/** Limits of the schema, so that no condition's text makes the answer invalid. */
const mostProblems = 16;
const problemLength = 512;
const typeLength = 64;
type Problems = PeeringState['problems'];
/** True when something is wrong. */
const negative: ReadonlySet<string> = new Set(['Revoked']);

/** What the consumer may know about its peering. `tunnel` is the one to that consumer's cluster. */
export function peeringStateOf(peering: IncomingPeering, tunnel: Tunnel | undefined): PeeringState {
  const { spec, status } = peering;
  const say = (type: string, message: string): Problems => [{ type, message }];
  const problems = [
    ...(status === undefined
      ? say('Ready', 'the provider’s controller has not processed this peering yet')
      : []),
    ...problemsOf(status?.conditions),
    ...(tunnel === undefined
      ? say(
          'Tunnel',
          'the provider has no tunnel to this consumer yet: it waits for a valid network document from the consumer',
        )
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
    problems: dedupe(problems).slice(0, mostProblems),
  };
}

/** Problems; Ready is included only if no other condition explains it. */
function problemsOf(conditions: readonly Condition[] | undefined): Problems {
  const wrong = (conditions ?? []).filter(isProblem);
  const parts = wrong.filter(({ type }) => type !== 'Ready');
  return (parts.length > 0 ? parts : wrong)
    .filter(({ message }) => message !== '')
    .map(({ type, reason, message }) => ({
      type: cut(type, typeLength),
      reason: cut(reason, typeLength),
      message: cut(message, problemLength),
    }));
}

/** One condition often says why another is not true. */
function dedupe(problems: Problems): Problems {
  return problems.filter(
    ({ message }, index) => problems.findIndex((each) => each.message === message) === index,
  );
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}

function isProblem({ type, status }: Condition): boolean {
  return negative.has(type) ? status === 'True' : status !== 'True';
}
