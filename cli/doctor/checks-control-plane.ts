/** Checks of how this cluster and its peers talk: addresses, pins, tokens, identities, clocks, versions. Pure. */
import type { RemoteCluster } from '../../shared/api/clusters.ts';
import type { IncomingPeering, OutgoingPeering } from '../../shared/api/peerings.ts';
import { findCondition } from '../../shared/conditions.ts';
import { tokenState } from '../../shared/token-issue.ts';
import { ago, spanOf } from '../ages.ts';
import type { Facts } from './facts.ts';
import type { Check, Finding } from './finding.ts';
import { compareVersions } from './versions.ts';

const group = 'Control plane';
/** From here on a difference between clocks is worth a word; from `maximumSkewMilliseconds` on requests are refused. */
const skewSeconds = 30;
const skewRefusedSeconds = 300;

/** The outgoing peerings that are asked about. */
export function outgoingOf({ objects, only }: Facts): readonly OutgoingPeering[] {
  return only === undefined ? objects.outgoing : objects.outgoing.filter((peering) => isMeant(peering, only));
}

/** The incoming ones. */
export function incomingOf({ objects, only }: Facts): readonly IncomingPeering[] {
  return only === undefined ? objects.incoming : objects.incoming.filter((peering) => isMeant(peering, only));
}

function isMeant({ metadata, spec }: OutgoingPeering | IncomingPeering, only: string): boolean {
  return metadata.name === only || spec.remoteCluster === only;
}

const remoteOf = ({ objects }: Facts, id: string): RemoteCluster | undefined =>
  objects.remotes.find(({ spec }) => spec.clusterID === id);

export const identity: Check = (facts) =>
  outgoingOf(facts).flatMap((peering): Finding[] => {
    const { remoteCluster: id } = peering.spec;
    const condition = findCondition(peering.status?.conditions, 'IdentityValid');
    const { expiresAt } = peering.status?.identity ?? {};
    const expired = expiresAt !== undefined && Date.parse(expiresAt) <= facts.now;
    const about = { group, subject: peering.metadata.name } as const;
    if (condition?.status === 'True' && !expired)
      return [
        {
          ...about,
          check: 'identity',
          verdict: 'Good',
          seen: `${id} lets this cluster in; the identity expires ${ago(expiresAt, facts.now)}`,
        },
      ];
    const seen = condition?.message ?? 'the controller has not asked for an identity yet';
    if (expired || condition?.reason === 'IdentityExpired')
      return [
        {
          ...about,
          check: 'identity-expired',
          verdict: 'Bad',
          seen: `the identity at ${id} expired ${ago(expiresAt, facts.now)}: ${seen}`,
          why: 'no new pod goes there and no status comes back; pods that run there go on',
          hint: 'it is renewed by itself once the provider’s gateway answers; what else is wrong stands here too',
        },
      ];
    const known: Record<string, Pick<Finding, 'check' | 'why' | 'hint'>> = {
      KeyMismatch: wrongPin(id),
      TokenRefused: {
        check: 'token',
        why: 'a peering token works once and for a short time',
        hint: `at the provider: hawser token create; here: hawser unpeer ${peering.metadata.name}, then hawser peer TOKEN`,
      },
      TokenInvalid: {
        check: 'token',
        why: 'without a valid token this cluster is a stranger there',
        hint: `at the provider: hawser token create; here: hawser unpeer ${peering.metadata.name}, then hawser peer TOKEN`,
      },
      PeeringEnded: {
        check: 'peering-ended',
        why: 'the provider no longer knows this peering',
        hint: `hawser unpeer ${peering.metadata.name}; to peer again ask for a new token`,
      },
    };
    const found = known[condition?.reason ?? ''] ?? {
      check: 'identity',
      why: 'without an identity nothing can be offloaded',
      hint: 'the controller tries again by itself; see what it waits for: hawser status',
    };
    return [{ ...about, ...found, verdict: 'Bad', seen }];
  });

const wrongPin = (id: string): Pick<Finding, 'check' | 'why' | 'hint'> => ({
  check: 'certificate-pin',
  why: 'whoever answers there is not proven to be the provider, so nothing is sent',
  hint: `if ${id} has a new certificate: at the provider hawser token create, here hawser peer TOKEN; if not, find out who answers at that address`,
});

/** What came of asking the gateway, by the controller, for how it sees the peering. */
export const gateway: Check = (facts) =>
  outgoingOf(facts).flatMap((peering): Finding[] => {
    const { name } = peering.metadata;
    const { remoteCluster: id } = peering.spec;
    const word = peering.status?.provider;
    const about = { group, subject: name } as const;
    if (word === undefined && !facts.unanswered.includes(name)) return [];
    if (facts.unanswered.includes(name))
      return [
        {
          ...about,
          check: 'provider',
          verdict: 'Unknown',
          seen: `the controller did not ask ${id} when it was told to`,
          why: 'what the provider sees is not known; what was said earlier may be old',
          hint: `kubectl logs -n ${facts.namespace} deployment/hawser-controller`,
        },
      ];
    const { problem } = word ?? {};
    if (problem === undefined)
      return [
        {
          ...about,
          check: 'provider',
          verdict: 'Good',
          seen: `the gateway of ${id} answered ${ago(word?.reportedAt, facts.now)}`,
        },
      ];
    const said = `asked ${ago(word?.requestedAt, facts.now)}, ${id} told nothing: ${problem.message}`;
    const url = remoteOf(facts, id)?.spec.gatewayURL ?? 'its address';
    const known: Record<string, Pick<Finding, 'check' | 'why' | 'hint'>> = {
      WrongPin: wrongPin(id),
      ClockSkew: {
        check: 'clock-skew',
        why: 'signatures hold for five minutes, so that they cannot be played again; with clocks apart none holds',
        hint: 'set the clocks of both clusters’ nodes, by NTP: timedatectl',
      },
      PeeringEnded: {
        check: 'peering-ended',
        why: 'the provider no longer knows this peering',
        hint: `hawser unpeer ${name}; to peer again ask for a new token`,
      },
      ProviderUnreachable: {
        check: 'gateway-unreachable',
        why: 'identities are not renewed and changes do not arrive; what runs goes on',
        hint: `from a pod of this cluster: curl -k ${url}/v1/info; at the provider: kubectl get pods -n ${facts.namespace}`,
      },
      NotReported: {
        check: 'provider',
        why: 'its version is older than this question: only this side is known',
        hint: `update Hawser at ${id}`,
      },
    };
    const found = known[problem.reason] ?? {
      check: 'provider',
      why: 'the provider refuses what this cluster asks',
      hint: `at the provider: kubectl logs -n ${facts.namespace} deployment/hawser-gateway`,
    };
    return [
      { ...about, ...found, verdict: problem.reason === 'NotReported' ? 'Unknown' : 'Bad', seen: said },
    ];
  });

export const clocks: Check = (facts) =>
  outgoingOf(facts).flatMap((peering): Finding[] => {
    const offset = peering.status?.provider?.clockOffsetSeconds;
    if (offset === undefined || Math.abs(offset) < skewSeconds) return [];
    const { remoteCluster: id } = peering.spec;
    return [
      {
        group,
        check: 'clock-skew',
        subject: peering.metadata.name,
        verdict: Math.abs(offset) >= skewRefusedSeconds ? 'Bad' : 'Warning',
        seen: `the clock of ${id} is ${spanOf(Math.abs(offset) * 1000)} ${offset > 0 ? 'ahead of' : 'behind'} this cluster’s`,
        why: 'from five minutes on the provider refuses every signed request, and tokens expire early',
        hint: 'set the clocks of both clusters’ nodes, by NTP: timedatectl',
      },
    ];
  });

export const compatibility: Check = (facts) => {
  const own = facts.objects.self.status?.version;
  const ids = new Set([...outgoingOf(facts), ...incomingOf(facts)].map(({ spec }) => spec.remoteCluster));
  return [...ids].flatMap((id): Finding[] => {
    const remote = remoteOf(facts, id);
    const compatible = findCondition(remote?.status?.conditions, 'Compatible');
    const word = facts.objects.outgoing.find(({ spec }) => spec.remoteCluster === id)?.status?.provider;
    const theirs = word?.state?.version ?? remote?.spec.version;
    const about = { group, check: 'version', subject: id } as const;
    if (compatible?.status === 'False')
      return [
        {
          ...about,
          verdict: 'Bad',
          seen: compatible.message,
          why: 'what one side requires the other does not understand, so nothing of it is used',
          hint: 'update the older of the two',
        },
      ];
    if (own === undefined || theirs === undefined) return [];
    const { distance, older } = compareVersions(own, theirs);
    if (distance === 'TooFar')
      return [
        {
          ...about,
          verdict: 'Bad',
          seen: `${id} runs Hawser ${theirs}, which is too ${older ? 'old' : 'new'} for ${own} here`,
          why: 'versions work together when at most two lie between them',
          hint: older ? `update Hawser at ${id}` : 'update Hawser here',
        },
      ];
    return [{ ...about, verdict: 'Good', seen: `${id} runs Hawser ${theirs}` }];
  });
};

/** Whoever still waits for it asks within that time. */
const wonderedAtMilliseconds = 2 * 3_600_000;

/** Tokens that this cluster issued and nobody took in time. */
export const tokens: Check = ({ tokens: all, now, only }) =>
  (only === undefined ? (all ?? []) : [])
    .filter((token) => tokenState(token, now) === 'Expired')
    .filter(({ spec }) => now - Date.parse(spec.expiresAt) < wonderedAtMilliseconds)
    .map((token) => ({
      group,
      check: 'token-expired',
      subject: token.metadata.name,
      verdict: 'Warning',
      seen: `peering token ${token.metadata.name} expired ${ago(token.spec.expiresAt, now)} and was never redeemed`,
      why: 'whoever holds it is refused',
      hint: `issue another: hawser token create; forget this one: hawser token revoke ${token.metadata.name}`,
    }));

/** Consumers that may not come in. */
export const tenants: Check = (facts) =>
  incomingOf(facts).map((peering): Finding => {
    const condition = findCondition(peering.status?.conditions, 'TenantReady');
    const about = { group, check: 'tenant', subject: peering.metadata.name } as const;
    if (condition?.status === 'True') return { ...about, verdict: 'Good', seen: condition.message };
    return {
      ...about,
      verdict: 'Bad',
      seen: condition?.message ?? 'the controller has not begun with it',
      why: `${peering.spec.remoteCluster} gets no identity, and can do nothing here`,
      hint: `kubectl describe incomingpeering ${peering.metadata.name}`,
    };
  });
