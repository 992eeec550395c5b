/**
 * Stores the provider's report on each outgoing peering in its status, where the command reads it: only this process has the
 * cluster key that the gateway answers to. Requested periodically, and at once when the annotation `hawser.dev/ask-provider`
 * changes.
 */
import { CertificatePinError, isProblem, isTemporary, type GatewayClient } from '../clients/gateway/index.ts';
import type { OutgoingPeering, ProviderReport } from '../../shared/api/peerings.ts';
import { annotations } from '../../shared/names.ts';
import { backoff } from '../../shared/time.ts';
import type { ControllerContext } from '../kube/context.ts';
import type { Result } from '../kube/controller.ts';
import { messageOf } from '../../shared/kube/errors.ts';
import { stableText } from '../kube/status.ts';
import type { Providers } from './providers.ts';
import type { Caches } from './caches.ts';

/** A separate field manager, since another reconciler writes the conditions. */
const reportManager = 'hawser-provider-word';
/** Polling interval while the peering is healthy. */
const askMilliseconds = 60_000;
/** First polling interval of an unhealthy peering, which may soon recover, as at its start; it grows exponentially. */
const retryMilliseconds = 3_000;
/** Interval at which a report is written even if only its time changed. */
const writeMilliseconds = 600_000;
/** Deadline of a request, since a person waits for it. */
const answerMilliseconds = 10_000;
/** Smaller clock differences are ignored, since the answer's latency is included. */
const offsetTolerance = 2;

export const reportReasons = {
  WrongPin: 'WrongPin',
  ClockSkew: 'ClockSkew',
  SignatureRefused: 'SignatureRefused',
  PeeringEnded: 'PeeringEnded',
  /** The provider's version does not support reports. */
  NotReported: 'NotReported',
  ProviderUnreachable: 'ProviderUnreachable',
  ProviderRefuses: 'ProviderRefuses',
} as const;

export interface Asked {
  at: number;
  request: string | undefined;
  /** Consecutive reports of an unhealthy peering. */
  unhealthy: number;
}

const requestOf = (peering: OutgoingPeering): string | undefined =>
  peering.metadata.annotations?.[annotations.askProvider]?.slice(0, 64);

/** Whether the report contains no problem. Pure. */
export const isHealthy = ({ problem, state }: ProviderReport): boolean =>
  problem === undefined &&
  state?.tenantReady === true &&
  state.problems.length === 0 &&
  state.tunnel?.established === true &&
  state.tunnel.pathVerified;

/** Without jitter: repeated calls must give the same result. */
const pauseAfter = (unhealthy: number): number =>
  unhealthy === 0
    ? askMilliseconds
    : backoff(unhealthy - 1, { base: retryMilliseconds, most: askMilliseconds, random: () => 1 });

/**
 * When to request the next report, milliseconds since 1970; 0 means at once. Pure.
 *
 * @param asked the last request of this process, which the cache may not show yet
 */
export function askAt(peering: OutgoingPeering, asked: Asked | undefined): number {
  const request = requestOf(peering);
  const held = peering.status?.providerReport;
  if (request !== undefined && request !== (asked?.request ?? held?.request)) return 0;
  const last = asked?.at ?? (held === undefined ? undefined : Date.parse(held.requestedAt));
  const unhealthy = asked?.unhealthy ?? (held === undefined || isHealthy(held) ? 0 : 1);
  return last === undefined || Number.isNaN(last) ? 0 : last + pauseAfter(unhealthy);
}

/** Whether two reports differ in more than times and values derived from them. Pure. */
export function saysTheSame(one: ProviderReport | undefined, other: ProviderReport): boolean {
  const told = (word: ProviderReport | undefined) => {
    const { tunnel, ...state } = word?.state ?? {};
    return stableText([word?.request, word?.problem, state, tunnel?.established, tunnel?.pathVerified]);
  };
  const apart = Math.abs((one?.clockOffsetSeconds ?? 0) - (other.clockOffsetSeconds ?? 0));
  return one !== undefined && told(one) === told(other) && apart < offsetTolerance;
}

/** Why the provider gave no report. Pure. */
export function problemOf(error: unknown): NonNullable<ProviderReport['problem']> {
  const say = (reason: string) => ({ reason, message: messageOf(error).slice(0, 1024) });
  if (error instanceof CertificatePinError) return say(reportReasons.WrongPin);
  if (isProblem(error, 'signature-refused')) {
    const skewed = error.document.errors?.some(({ detail }) => detail === 'ClockSkew') === true;
    return say(skewed ? reportReasons.ClockSkew : reportReasons.SignatureRefused);
  }
  if (isProblem(error, 'no-peering')) return say(reportReasons.PeeringEnded);
  if (isProblem(error, 'method-not-allowed') || isProblem(error, 'not-found'))
    return say(reportReasons.NotReported);
  return say(isTemporary(error) ? reportReasons.ProviderUnreachable : reportReasons.ProviderRefuses);
}

async function ask(
  client: Pick<GatewayClient, 'getPeering'>,
  peering: OutgoingPeering,
  now: () => number,
  signal: AbortSignal,
): Promise<ProviderReport> {
  const request = requestOf(peering);
  const begun = now();
  const word: ProviderReport = {
    requestedAt: new Date(begun).toISOString(),
    ...(request !== undefined && { request: request }),
  };
  const held = peering.status?.providerReport;
  try {
    const { at, ...state } = await client.getPeering(peering.spec.peering, {
      signal: AbortSignal.any([signal, AbortSignal.timeout(answerMilliseconds)]),
    });
    const offset = (Date.parse(at) - (begun + now()) / 2) / 1000;
    return {
      ...word,
      state,
      reportedAt: new Date(now()).toISOString(),
      ...(Number.isFinite(offset) && { clockOffsetSeconds: Math.round(offset * 10) / 10 }),
    };
  } catch (error) {
    if (signal.aborted) throw error;
    return {
      ...word,
      ...(held?.state !== undefined && { state: held.state }),
      ...(held?.reportedAt !== undefined && { reportedAt: held.reportedAt }),
      problem: problemOf(error),
    };
  }
}

/** The reconciler. Keys are names of OutgoingPeerings. */
export function reconcileProviderReport(
  { kube, clock }: Pick<ControllerContext, 'kube' | 'clock'>,
  caches: Pick<Caches, 'outgoing' | 'remotes'>,
  providers: Providers,
) {
  const asked = new Map<string, Asked>();

  return async (key: string, signal: AbortSignal): Promise<Result | void> => {
    const peering = caches.outgoing.byKey(key);
    if (peering === undefined || peering.metadata.deletionTimestamp !== undefined) {
      asked.delete(key);
      return;
    }
    const remote = caches.remotes.byKey(peering.spec.remoteCluster);
    const client = remote && providers.of(remote);
    // Without an identity the provider would only answer that the cluster is unknown, which IdentityValid already reports.
    if (client === undefined || peering.status?.identity === undefined) return;
    const wait = askAt(peering, asked.get(key)) - clock.now();
    // A longer wait than the longest: the clock was set back.
    if (wait > 0 && wait <= askMilliseconds) return { requeueAfterMilliseconds: wait };
    const word = await ask(client, peering, () => clock.now(), signal);
    const unhealthy = isHealthy(word) ? 0 : (asked.get(key)?.unhealthy ?? 0) + 1;
    asked.set(key, { at: clock.now(), request: word.request, unhealthy });
    const held = peering.status.providerReport;
    const old = held === undefined || clock.now() - Date.parse(held.requestedAt) > writeMilliseconds;
    if (old || !saysTheSame(held, word)) {
      const { name, uid } = peering.metadata;
      await kube.apply(
        {
          apiVersion: peering.apiVersion,
          kind: peering.kind,
          metadata: { name, ...(uid !== undefined && { uid }) },
          status: { providerReport: word },
        } as OutgoingPeering,
        { fieldManager: reportManager, subresource: 'status' },
        signal,
      );
    }
    return { requeueAfterMilliseconds: pauseAfter(unhealthy) };
  };
}
