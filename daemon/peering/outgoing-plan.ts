/** What an OutgoingPeering needs next, and its conditions. Pure. */
import type { OutgoingPeering } from '../../shared/api/peerings.ts';
import { findCondition, isTrue, type Finding } from '../../shared/conditions.ts';
import type { IdentityResponse } from '../../shared/wire/gateway-api.ts';
import type { NetworkDocument } from '../../shared/wire/network-document.ts';
import type { StoredIdentity } from '../peers/stored-identity.ts';
import { reasons } from './names.ts';

const statedOf = (document: Pick<NetworkDocument, 'grants'> | undefined, peering: string) =>
  document?.grants?.find((each) => each.peering === peering);

/** The grant of a peering as last stated in the provider's document; undefined without one. */
export function statedGrant(
  document: Pick<NetworkDocument, 'grants'> | undefined,
  peering: string,
): IdentityResponse['grant'] | undefined {
  return statedOf(document, peering)?.grant;
}

/** The provider's desired state of a peering, from its document. */
export const statedDesire = (
  document: Pick<NetworkDocument, 'grants'> | undefined,
  peering: string,
): OutgoingPeering['spec']['desired'] | undefined => {
  const stated = statedOf(document, peering);
  return stated && (stated.desired ?? 'Active');
};

/** A token that expires within this time counts as expired: requests take time, and clocks differ. */
const marginMilliseconds = 30_000;

/** The identity to store. It is renewed at two thirds of its lifetime. */
export function storedIdentity(response: IdentityResponse, now: number): StoredIdentity {
  const { apiServerURL, caBundle, tlsServerName, token, expiresAt } = response.identity;
  const life = Math.max(0, Date.parse(expiresAt) - now);
  return {
    apiServerURL,
    caBundle,
    ...(tlsServerName !== undefined && { tlsServerName }),
    token,
    expiresAt,
    renewAfter: new Date(now + (life * 2) / 3).toISOString(),
    tenantNamespace: response.tenantNamespace,
    grant: response.grant,
  };
}

export type IdentityNeed = 'Missing' | 'Expired' | 'RenewalDue' | 'Doubted';

/** Why an identity must be requested; undefined if the stored one is good. */
export function identityNeed(held: StoredIdentity | undefined, now: number): IdentityNeed | undefined {
  if (held === undefined) return 'Missing';
  const expiry = Date.parse(held.expiresAt);
  if (!(expiry - marginMilliseconds > now)) return 'Expired';
  const due = Date.parse(held.renewAfter);
  return Number.isFinite(due) && due > now ? undefined : 'RenewalDue';
}

/** When to check it again, milliseconds from now. */
export function lookAgainAfter(held: StoredIdentity, now: number): number {
  return Math.max(1000, Date.parse(held.renewAfter) - now);
}

/** The state of an identity: the stored one, or why there is none. */
export interface IdentityState {
  held: StoredIdentity | undefined;
  /** The last failure, with what a person can do. */
  problem: { reason: string; message: string } | undefined;
}

/** The condition IdentityValid. */
export function identityFinding(provider: string, { held, problem }: IdentityState, now: number): Finding {
  const type = 'IdentityValid';
  if (held !== undefined && Date.parse(held.expiresAt) > now) {
    return problem === undefined
      ? {
          type,
          status: 'True',
          reason: reasons.IdentityIssued,
          message: `${provider} accepts this cluster’s identity`,
        }
      : {
          type,
          status: 'True',
          reason: problem.reason,
          message: `the identity is valid until ${held.expiresAt}, but not renewed yet: ${problem.message}`,
        };
  }
  if (held !== undefined) {
    return {
      type,
      status: 'False',
      reason: reasons.IdentityExpired,
      message: `the identity expired at ${held.expiresAt} and is not renewed: ${problem?.message ?? 'requesting a new one'}`,
    };
  }
  return {
    type,
    status: 'False',
    reason: problem?.reason ?? reasons.WaitingForRemoteCluster,
    message: problem?.message ?? `requesting an identity from ${provider}`,
  };
}

/** All conditions of peering/ on an OutgoingPeering; the last summarizes them and vnode/'s condition of the node. */
export function outgoingFindings(
  peering: OutgoingPeering,
  identity: Finding,
  negotiated: { done: boolean; message: string },
): Finding[] {
  const conditions = peering.status?.conditions;
  const node = findCondition(conditions, 'NodeReady');
  const negotiation: Finding = {
    type: 'Negotiated',
    status: negotiated.done ? 'True' : 'False',
    reason: negotiated.done ? reasons.Negotiated : reasons.Negotiating,
    message: negotiated.message,
  };
  const chain: { status: string; reason: string; message: string }[] = [
    identity,
    negotiation,
    node ?? {
      status: 'False',
      reason: reasons.WaitingForNode,
      message: `waiting for the virtual node ${peering.spec.nodeName}`,
    },
  ];
  const first = chain.find((each) => each.status !== 'True');
  return [
    identity,
    negotiation,
    {
      type: 'Ready',
      status: first === undefined ? 'True' : 'False',
      reason: first?.reason ?? reasons.Ready,
      message:
        first?.message ??
        `pods can be offloaded to ${peering.spec.remoteCluster} through node ${peering.spec.nodeName}`,
    },
  ];
}

/** When each condition first became True, to show how long each phase took. A recorded time is kept. */
export function phasesOf(
  peering: OutgoingPeering,
  findings: readonly Finding[],
  now: number,
): NonNullable<NonNullable<OutgoingPeering['status']>['phases']> {
  const held = peering.status?.phases ?? [];
  const conditions = peering.status?.conditions;
  const at = new Date(now).toISOString();
  const requested = { name: 'Requested', at: peering.metadata.creationTimestamp ?? at };
  const known = held.length > 0 ? held : [requested];
  const names = findings.filter(({ status }) => status === 'True').map(({ type }) => type);
  if (isTrue(conditions, 'NodeReady')) names.splice(-1, 0, 'NodeReady');
  const fresh = names.filter((name) => !known.some((phase) => phase.name === name));
  return [...known, ...[...new Set(fresh)].map((name) => ({ name, at }))].slice(0, 32);
}
