/**
 * What the provider says of each outgoing peering, kept in its status: only this process holds the cluster key that the
 * gateway answers to, so the command reads it there. Asked now and then, and at once when the annotation
 * `hawser.dev/ask-provider` changes.
 */
import { CertificatePinError, isProblem, isTemporary, type GatewayClient } from '../clients/gateway/index.ts';
import type { OutgoingPeering, ProviderWord } from '../../shared/api/peerings.ts';
import { annotations } from '../../shared/names.ts';
import { backoff } from '../../shared/time.ts';
import type { ControllerContext } from '../kube/context.ts';
import type { Outcome } from '../kube/controller.ts';
import { messageOf } from '../kube/errors.ts';
import { stableText } from '../kube/status.ts';
import type { Providers } from './providers.ts';
import type { World } from './caches.ts';

/** A field manager of its own: who writes the conditions does not know of it. */
const wordManager = 'hawser-provider-word';
/** Asked so often while nobody wants to know and all is well. */
const askMilliseconds = 60_000;
/** What is not well may be so in a moment, as when a peering begins: asked again so soon, and then ever more seldom. */
const askAgainMilliseconds = 3_000;
/** Written so often though nothing but the time changed. */
const writeMilliseconds = 600_000;
/** A person waits for it. */
const answerMilliseconds = 10_000;
/** Clocks that differ by less are the same: the way of the answer is in it. */
const offsetTolerance = 2;

export const wordReasons = {
  WrongPin: 'WrongPin',
  ClockSkew: 'ClockSkew',
  SignatureRefused: 'SignatureRefused',
  PeeringEnded: 'PeeringEnded',
  /** An older version, which does not tell. */
  NotTold: 'NotTold',
  ProviderUnreachable: 'ProviderUnreachable',
  ProviderRefuses: 'ProviderRefuses',
} as const;

export interface Asked {
  at: number;
  request: string | undefined;
  /** Words in a row by which not all was well. */
  unwell: number;
}

const wishOf = (peering: OutgoingPeering): string | undefined =>
  peering.metadata.annotations?.[annotations.askProvider]?.slice(0, 64);

/** Whether there is nothing in it that a person would have to look after. Pure. */
export const saysWell = ({ problem, state }: ProviderWord): boolean =>
  problem === undefined &&
  state?.tenantReady === true &&
  state.problems.length === 0 &&
  state.tunnel?.established === true &&
  state.tunnel.pathVerified;

/** Without jitter: whoever asks twice when it is time must be told the same. */
const pauseAfter = (unwell: number): number =>
  unwell === 0
    ? askMilliseconds
    : backoff(unwell - 1, { base: askAgainMilliseconds, most: askMilliseconds, random: () => 1 });

/**
 * When to ask, milliseconds since 1970: 0 is at once. Pure.
 *
 * @param asked by this process, which the cache may not show yet
 */
export function askAt(peering: OutgoingPeering, asked: Asked | undefined): number {
  const wish = wishOf(peering);
  const held = peering.status?.provider;
  if (wish !== undefined && wish !== (asked?.request ?? held?.request)) return 0;
  const last = asked?.at ?? (held === undefined ? undefined : Date.parse(held.askedAt));
  const unwell = asked?.unwell ?? (held === undefined || saysWell(held) ? 0 : 1);
  return last === undefined || Number.isNaN(last) ? 0 : last + pauseAfter(unwell);
}

/** Whether a person would read something else in it; times and what follows from them aside. Pure. */
export function saysTheSame(one: ProviderWord | undefined, other: ProviderWord): boolean {
  const told = (word: ProviderWord | undefined) => {
    const { tunnel, ...state } = word?.state ?? {};
    return stableText([word?.request, word?.problem, state, tunnel?.established, tunnel?.pathVerified]);
  };
  const apart = Math.abs((one?.clockOffsetSeconds ?? 0) - (other.clockOffsetSeconds ?? 0));
  return one !== undefined && told(one) === told(other) && apart < offsetTolerance;
}

/** Why the provider told nothing. Pure. */
export function problemOf(error: unknown): NonNullable<ProviderWord['problem']> {
  const say = (reason: string) => ({ reason, message: messageOf(error).slice(0, 1024) });
  if (error instanceof CertificatePinError) return say(wordReasons.WrongPin);
  if (isProblem(error, 'signature-refused')) {
    const skewed = error.document.errors?.some(({ detail }) => detail === 'ClockSkew') === true;
    return say(skewed ? wordReasons.ClockSkew : wordReasons.SignatureRefused);
  }
  if (isProblem(error, 'no-peering')) return say(wordReasons.PeeringEnded);
  if (isProblem(error, 'method-not-allowed') || isProblem(error, 'not-found'))
    return say(wordReasons.NotTold);
  return say(isTemporary(error) ? wordReasons.ProviderUnreachable : wordReasons.ProviderRefuses);
}

async function ask(
  client: Pick<GatewayClient, 'getPeering'>,
  peering: OutgoingPeering,
  now: () => number,
  signal: AbortSignal,
): Promise<ProviderWord> {
  const wish = wishOf(peering);
  const begun = now();
  const word: ProviderWord = {
    askedAt: new Date(begun).toISOString(),
    ...(wish !== undefined && { request: wish }),
  };
  const held = peering.status?.provider;
  try {
    const { at, ...state } = await client.getPeering(peering.spec.peering, {
      signal: AbortSignal.any([signal, AbortSignal.timeout(answerMilliseconds)]),
    });
    const offset = (Date.parse(at) - (begun + now()) / 2) / 1000;
    return {
      ...word,
      state,
      toldAt: new Date(now()).toISOString(),
      ...(Number.isFinite(offset) && { clockOffsetSeconds: Math.round(offset * 10) / 10 }),
    };
  } catch (error) {
    if (signal.aborted) throw error;
    return {
      ...word,
      ...(held?.state !== undefined && { state: held.state }),
      ...(held?.toldAt !== undefined && { toldAt: held.toldAt }),
      problem: problemOf(error),
    };
  }
}

/** The reconciler. Keys are names of OutgoingPeerings. */
export function reconcileProviderWord(
  { kube, clock }: Pick<ControllerContext, 'kube' | 'clock'>,
  world: Pick<World, 'outgoing' | 'remotes'>,
  providers: Providers,
) {
  const asked = new Map<string, Asked>();

  return async (key: string, signal: AbortSignal): Promise<Outcome | void> => {
    const peering = world.outgoing.byKey(key);
    if (peering === undefined || peering.metadata.deletionTimestamp !== undefined) {
      asked.delete(key);
      return;
    }
    const remote = world.remotes.byKey(peering.spec.remoteCluster);
    const client = remote && providers.of(remote);
    // Who was never let in would only be told that nobody knows it; that the condition IdentityValid says already.
    if (client === undefined || peering.status?.identity === undefined) return;
    const due = askAt(peering, asked.get(key));
    if (due > clock.now()) return { requeueAfterMilliseconds: due - clock.now() };
    const word = await ask(client, peering, () => clock.now(), signal);
    const unwell = saysWell(word) ? 0 : (asked.get(key)?.unwell ?? 0) + 1;
    asked.set(key, { at: clock.now(), request: word.request, unwell });
    const held = peering.status.provider;
    const old = held === undefined || clock.now() - Date.parse(held.askedAt) > writeMilliseconds;
    if (old || !saysTheSame(held, word)) {
      const { name, uid } = peering.metadata;
      await kube.apply(
        {
          apiVersion: peering.apiVersion,
          kind: peering.kind,
          metadata: { name, ...(uid !== undefined && { uid }) },
          status: { provider: word },
        } as OutgoingPeering,
        { fieldManager: wordManager, subresource: 'status' },
        signal,
      );
    }
    return { requeueAfterMilliseconds: pauseAfter(unwell) };
  };
}
