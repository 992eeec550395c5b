/** Checks of the control plane between clusters: addresses, pins, tokens, identities, clocks, versions. Pure. */
import type { RemoteCluster } from '../../shared/api/clusters.ts';
import type { IncomingPeering, OutgoingPeering } from '../../shared/api/peerings.ts';
import { findCondition } from '../../shared/conditions.ts';
import { tokenState } from '../../shared/token-issue.ts';
import { ago, spanOf } from '../ages.ts';
import type { Facts } from './facts.ts';
import type { Check, Finding } from './finding.ts';
import { compareVersions } from './versions.ts';

const group = 'Control plane';
/** From here on a clock difference is reported; from `maximumSkewMilliseconds` on requests are refused. */
const skewSeconds = 30;
const skewRefusedSeconds = 300;

/** The outgoing peerings to check. */
export function outgoingOf({ objects, only }: Facts): readonly OutgoingPeering[] {
  return only === undefined
    ? objects.outgoing
    : objects.outgoing.filter((peering) => isSelected(peering, only));
}

/** The incoming peerings to check. */
export function incomingOf({ objects, only }: Facts): readonly IncomingPeering[] {
  return only === undefined
    ? objects.incoming
    : objects.incoming.filter((peering) => isSelected(peering, only));
}

function isSelected({ metadata, spec }: OutgoingPeering | IncomingPeering, only: string): boolean {
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
          seen: `the identity at ${id} is valid and expires ${ago(expiresAt, facts.now)}`,
        },
      ];
    const seen = condition?.message ?? 'the controller has not requested an identity yet';
    if (expired || condition?.reason === 'IdentityExpired')
      return [
        {
          ...about,
          check: 'identity-expired',
          verdict: 'Bad',
          seen: `the identity at ${id} expired ${ago(expiresAt, facts.now)}: ${seen}`,
          why: 'no new pods are offloaded and no status arrives; running pods keep running',
          hint: 'the controller renews it once the provider’s API gateway answers; resolve the other findings first',
        },
      ];
    const known: Record<string, Pick<Finding, 'check' | 'why' | 'hint'>> = {
      KeyMismatch: wrongPin(id),
      TokenRefused: {
        check: 'token',
        why: 'a peering token can be redeemed once and within its validity',
        hint: `at the provider: hawser token create; here: hawser unpeer ${peering.metadata.name}, then hawser peer TOKEN`,
      },
      TokenInvalid: {
        check: 'token',
        why: 'without a valid token the provider does not accept this cluster',
        hint: `at the provider: hawser token create; here: hawser unpeer ${peering.metadata.name}, then hawser peer TOKEN`,
      },
      PeeringEnded: {
        check: 'peering-ended',
        why: 'the provider has removed or revoked this peering',
        hint: `hawser unpeer ${peering.metadata.name}; to peer again, request a new token`,
      },
    };
    const found = known[condition?.reason ?? ''] ?? {
      check: 'identity',
      why: 'without an identity nothing can be offloaded',
      hint: `the controller retries; to see what it waits for: hawser status ${peering.metadata.name}`,
    };
    return [{ ...about, ...found, verdict: 'Bad', seen }];
  });

const wrongPin = (id: string): Pick<Finding, 'check' | 'why' | 'hint'> => ({
  check: 'certificate-pin',
  why: 'the server at that address has not proven to be the provider, so nothing is sent to it',
  hint: `if ${id} has a new certificate: hawser token create there, hawser peer TOKEN here; if not, find out which server answers at that address`,
});

/** The latest request for the provider's report. */
export const gateway: Check = (facts) =>
  outgoingOf(facts).flatMap((peering): Finding[] => {
    const { name } = peering.metadata;
    const { remoteCluster: id } = peering.spec;
    const report = peering.status?.providerReport;
    const about = { group, subject: name } as const;
    if (report === undefined && !facts.unanswered.includes(name)) return [];
    if (facts.unanswered.includes(name))
      return [
        {
          ...about,
          check: 'provider',
          verdict: 'Unknown',
          seen: `the controller did not request the report of ${id}`,
          why: 'the provider’s view is unknown; its last report may be out of date',
          hint: `kubectl logs -n ${facts.namespace} deployment/hawser-controller`,
        },
      ];
    const { problem } = report ?? {};
    if (problem === undefined)
      return [
        {
          ...about,
          check: 'provider',
          verdict: 'Good',
          seen: `the API gateway of ${id} answered ${ago(report?.reportedAt, facts.now)}`,
        },
      ];
    const seen = `no report of ${id} ${ago(report?.requestedAt, facts.now)}: ${problem.message}`;
    const url = remoteOf(facts, id)?.spec.gatewayURL ?? 'its address';
    const known: Record<string, Pick<Finding, 'check' | 'why' | 'hint'>> = {
      WrongPin: wrongPin(id),
      ClockSkew: {
        check: 'clock-skew',
        why: 'signed requests are valid for five minutes, which prevents replay; with a greater clock difference all are refused',
        hint: 'synchronize the clocks of the nodes of both clusters by NTP: timedatectl',
      },
      PeeringEnded: {
        check: 'peering-ended',
        why: 'the provider has removed or revoked this peering',
        hint: `hawser unpeer ${name}; to peer again, request a new token`,
      },
      ProviderUnreachable: {
        check: 'gateway-unreachable',
        why: 'identities are not renewed and changes do not arrive; running pods keep running',
        hint: `from a pod of this cluster: curl -k ${url}/v1/info; at the provider: kubectl get pods -n ${facts.namespace}`,
      },
      NotReported: {
        check: 'provider',
        why: 'its version does not support reports, so only this side is checked',
        hint: `update Hawser at ${id}`,
      },
    };
    const found = known[problem.reason] ?? {
      check: 'provider',
      why: 'the provider refuses the request of this cluster',
      hint: `at the provider: kubectl logs -n ${facts.namespace} deployment/hawser-gateway`,
    };
    return [{ ...about, ...found, verdict: problem.reason === 'NotReported' ? 'Unknown' : 'Bad', seen }];
  });

export const clocks: Check = (facts) =>
  outgoingOf(facts).flatMap((peering): Finding[] => {
    const offset = peering.status?.providerReport?.clockOffsetSeconds;
    if (offset === undefined || Math.abs(offset) < skewSeconds) return [];
    const { remoteCluster: id } = peering.spec;
    return [
      {
        group,
        check: 'clock-skew',
        subject: peering.metadata.name,
        verdict: Math.abs(offset) >= skewRefusedSeconds ? 'Bad' : 'Warning',
        seen: `the clock of ${id} is ${spanOf(Math.abs(offset) * 1000)} ${offset > 0 ? 'ahead of' : 'behind'} this cluster’s`,
        why: 'from five minutes on the provider refuses all signed requests, and tokens expire early or late',
        hint: 'synchronize the clocks of the nodes of both clusters by NTP: timedatectl',
      },
    ];
  });

export const compatibility: Check = (facts) => {
  const own = facts.objects.self.status?.version;
  const ids = new Set([...outgoingOf(facts), ...incomingOf(facts)].map(({ spec }) => spec.remoteCluster));
  return [...ids].flatMap((id): Finding[] => {
    const remote = remoteOf(facts, id);
    const compatible = findCondition(remote?.status?.conditions, 'Compatible');
    const report = facts.objects.outgoing.find(({ spec }) => spec.remoteCluster === id)?.status
      ?.providerReport;
    const theirs = report?.state?.version ?? remote?.spec.version;
    const about = { group, check: 'compatibility', subject: id } as const;
    if (compatible?.status === 'False')
      return [
        {
          ...about,
          verdict: 'Bad',
          seen: compatible.message,
          why: 'one side requires something that the other does not support, so it uses nothing that the other declares',
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
          why: 'versions are compatible if they differ by at most two minor versions',
          hint: older ? `update Hawser at ${id}` : 'update Hawser here',
        },
      ];
    return [{ ...about, verdict: 'Good', seen: `${id} runs Hawser ${theirs}` }];
  });
};

/** An expired token is reported for this long: while a person may still wait for it. */
const reportedMilliseconds = 2 * 3_600_000;

/** Tokens that this cluster issued and that expired without being redeemed. */
export const tokens: Check = ({ tokens: all, now, only }) =>
  (only === undefined ? (all ?? []) : [])
    .filter((token) => tokenState(token, now) === 'Expired')
    .filter(({ spec }) => now - Date.parse(spec.expiresAt) < reportedMilliseconds)
    .map((token) => ({
      group,
      check: 'token-expired',
      subject: token.metadata.name,
      verdict: 'Warning',
      seen: `peering token ${token.metadata.name} expired ${ago(token.spec.expiresAt, now)} and was never redeemed`,
      why: 'a consumer that tries to redeem it is refused',
      hint: `issue another one: hawser token create; remove this finding: hawser token revoke ${token.metadata.name}`,
    }));

/** Consumers without a ready tenant namespace. */
export const tenants: Check = (facts) =>
  incomingOf(facts).map((peering): Finding => {
    const condition = findCondition(peering.status?.conditions, 'TenantReady');
    const about = { group, check: 'tenant', subject: peering.metadata.name } as const;
    if (condition?.status === 'True') return { ...about, verdict: 'Good', seen: condition.message };
    return {
      ...about,
      verdict: 'Bad',
      seen: condition?.message ?? 'the controller has not reconciled it yet',
      why: `${peering.spec.remoteCluster} gets no identity and cannot offload to this cluster`,
      hint: `kubectl describe incomingpeering ${peering.metadata.name}`,
    };
  });
