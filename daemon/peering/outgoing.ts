/** Reconciles OutgoingPeerings: requests and renews identities, and negotiates. */
import type { RemoteCluster } from '../../shared/api/clusters.ts';
import type { OutgoingPeering } from '../../shared/api/peerings.ts';
import { labels, secrets } from '../../shared/names.ts';
import type { TokenContent } from '../../shared/wire/gateway-api.ts';
import { backoff, linked } from '../../shared/time.ts';
import { readStored } from '../../shared/trust/documents-cache.ts';
import type { ControllerContext } from '../kube/context.ts';
import type { Result } from '../kube/controller.ts';
import { isAlreadyExists } from '../../shared/kube/errors.ts';
import { ensureFinalizer } from '../kube/finalizers.ts';
import { kind, refOf } from '../../shared/kube/refs.ts';
import { applyStatus } from '../kube/status.ts';
import type { Secret } from '../../shared/kube/types.ts';
import { askIdentity, PeeringProblem, readToken, remoteFromToken, tokenChanges } from './ask-identity.ts';
import type { LocalIdentity } from '../peers/local-identity.ts';
import { locateAPIServer, tunnelWait } from './control-plane.ts';
import { fieldManager, peeringFinalizer, reasons } from './names.ts';
import {
  identityFinding,
  identityNeed,
  lookAgainAfter,
  outgoingFindings,
  phasesOf,
  statedDesire,
  statedGrant,
  storedIdentity,
  type IdentityState,
} from './outgoing-plan.ts';
import { identityFile, parseIdentity, type StoredIdentity } from '../peers/stored-identity.ts';
import type { Providers } from './providers.ts';
import { isNegotiated } from './remote-clusters.ts';
import { removeOutgoing } from './removal.ts';
import { storeDocument, type Sessions } from './sessions.ts';
import type { Caches } from './caches.ts';

/** Retry interval after a refusal that only a person can resolve. A new token or spec is tried at once. */
const refusedMilliseconds = 60_000;
/** When a peering is removed during a request for an identity, the provider has this long to answer. */
const answerMilliseconds = 3_000;
/** A cache is never this stale. */
const cacheMilliseconds = 5000;

function identitySecretObject(peering: OutgoingPeering, namespace: string, identity: StoredIdentity): Secret {
  const { name, uid = '' } = peering.metadata;
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name: secrets.identity(name),
      namespace,
      labels: {
        [labels.managedBy]: 'hawser',
        [labels.remoteCluster]: peering.spec.remoteCluster,
        [labels.peering]: name.slice(0, 63),
      },
      ownerReferences: [{ apiVersion: peering.apiVersion, kind: peering.kind, name, uid }],
    },
    type: 'Opaque',
    data: { [identityFile]: Buffer.from(JSON.stringify(identity)).toString('base64') },
  };
}

/** The reconciler. Keys are names of OutgoingPeerings. */
export function reconcileOutgoing(
  context: ControllerContext,
  caches: Caches,
  identity: LocalIdentity,
  providers: Providers,
  sessions: Sessions,
) {
  const { kube, clock, events, namespace, version, log } = context;
  /** The last refusal, its retry time, and the request's inputs, so that new inputs are tried at once. */
  const refusals = new Map<string, { problem: PeeringProblem; failures: number; at: number; with: string }>();

  /** Peerings whose removal interrupted a request to the provider. */
  const unanswered = new Set<string>();

  /** Identities just issued or changed, which the cache may not show yet, and the tokens spent for them. */
  const issued = new Map<string, { stored: StoredIdentity; at: number; tokenUID: string | undefined }>();

  async function ensureRemote(
    peering: OutgoingPeering,
    token: TokenContent | undefined,
    signal: AbortSignal,
  ): Promise<RemoteCluster> {
    const name = peering.spec.remoteCluster;
    const present =
      caches.remotes.byKey(name) ?? (await kube.get({ kind: kind.remoteCluster, name }, signal));
    if (present === undefined) {
      if (token === undefined) {
        throw new PeeringProblem(
          reasons.WaitingForRemoteCluster,
          `RemoteCluster ${name} does not exist and no peering token is set; run hawser peer with a token of ${name}`,
        );
      }
      const client = providers.at(name, {
        url: token.gatewayURL,
        pin: token.gatewayPin,
        recipient: token.keyFingerprint,
      });
      const { publicKey, gateway } = await client.info({ signal }).catch((error: unknown) => {
        throw new PeeringProblem(
          reasons.ProviderUnreachable,
          `${name}: ${(error as Error).message}`.slice(0, 1500),
          true,
        );
      });
      try {
        return await kube.create(remoteFromToken(token, publicKey, gateway), signal, { fieldManager });
      } catch (error) {
        if (!isAlreadyExists(error)) throw error;
        throw new PeeringProblem(
          reasons.WaitingForRemoteCluster,
          `RemoteCluster ${name} was created by another process`,
          true,
        );
      }
    }
    const changes = token && tokenChanges(token, present);
    if (changes === undefined) return present;
    return kube.patch(refOf(present), { spec: changes }, { type: 'merge', fieldManager }, signal);
  }

  async function authenticate(
    peering: OutgoingPeering,
    held: StoredIdentity | undefined,
    signal: AbortSignal,
  ): Promise<StoredIdentity | undefined> {
    const { tokenSecretName, remoteCluster } = peering.spec;
    const tokenSecret =
      tokenSecretName === undefined ? undefined : caches.ownSecrets.get(namespace, tokenSecretName);
    const before = sessions.state(remoteCluster, peering.spec.peering);
    const need = identityNeed(held, clock.now()) ?? (before?.doubted === true ? 'Doubted' : undefined);
    const spent =
      tokenSecret !== undefined && issued.get(peering.metadata.name)?.tokenUID === tokenSecret.metadata.uid;
    if (need === undefined && (tokenSecret === undefined || spent)) return held;
    if (remoteCluster === identity.clusterID) {
      throw new PeeringProblem(
        reasons.TokenInvalid,
        'the peering token was issued by this cluster; run hawser peer on the consumer',
      );
    }
    const token = tokenSecret && readToken(tokenSecret, remoteCluster);
    const remote = await ensureRemote(peering, token, signal);
    const tunnel = caches.tunnels.byKey(remoteCluster);
    if (remote.spec.controlPlane === 'OutOfBand' && remote.spec.gatewayURL === undefined) {
      throw new PeeringProblem(
        reasons.WaitingForRemoteCluster,
        `RemoteCluster ${remoteCluster} has no gatewayURL; run hawser peer with a token of ${remoteCluster}`,
      );
    }
    // A connection opened before the tunnel exists would leave by another route and stay on it.
    const wait = held === undefined ? tunnelWait(remote, tunnel) : undefined;
    if (wait !== undefined) throw new PeeringProblem(reasons.WaitingForTunnel, wait, true);
    // Our document is sent along, so that both sides can begin at once. Once it is composed, this reconciles again.
    if (readStored(remote.status?.localDocument)?.publicKey !== identity.key.publicKey) return held;
    const client = providers.of(remote);
    if (client === undefined) return held;
    const response = await askIdentity(client, peering, remote, token, identity, version, signal);
    const stored = located(peering, storedIdentity(response, clock.now()));
    await kube.apply(identitySecretObject(peering, namespace, stored), { fieldManager }, signal);
    issued.set(peering.metadata.name, { stored, at: clock.monotonic(), tokenUID: tokenSecret?.metadata.uid });
    // A new peering of the same name: the session that received the end belongs to the former one.
    if (before?.ended === true || before?.doubted === true) sessions.end(remoteCluster, peering.spec.peering);
    log.info('the provider issued an identity', {
      peering: peering.metadata.name,
      why: need ?? 'NewToken',
      expiresAt: stored.expiresAt,
    });
    if (response.networkDocument !== undefined) {
      await storeDocument(context, remoteCluster, response.networkDocument, identity, undefined, signal);
    }
    if (tokenSecret !== undefined)
      await kube.delete(refOf(tokenSecret), { uid: tokenSecret.metadata.uid ?? '' }, signal);
    return stored;
  }

  /** The identity with the current address of the provider's API server. */
  function located(peering: OutgoingPeering, held: StoredIdentity): StoredIdentity {
    const { remoteCluster } = peering.spec;
    const remote = caches.remotes.byKey(remoteCluster);
    if (remote === undefined) return held;
    const stated = readStored(remote.spec.networkDocument)?.apiServer;
    return locateAPIServer(held, remote, caches.tunnels.byKey(remoteCluster), stated);
  }

  /** Stores the new address of the provider's API server. */
  async function follow(
    peering: OutgoingPeering,
    held: StoredIdentity,
    signal: AbortSignal,
  ): Promise<StoredIdentity> {
    const moved = located(peering, held);
    if (moved === held) return held;
    await kube.apply(identitySecretObject(peering, namespace, moved), { fieldManager }, signal);
    const { name } = peering.metadata;
    issued.set(name, { stored: moved, at: clock.monotonic(), tokenUID: issued.get(name)?.tokenUID });
    log.info('the address of a provider’s API server has changed', {
      peering: name,
      url: moved.apiServerURL,
    });
    return moved;
  }

  /** New inputs of the request invalidate an earlier refusal. */
  function askedWith(peering: OutgoingPeering): string {
    const { tokenSecretName, remoteCluster } = peering.spec;
    const secret =
      tokenSecretName === undefined ? undefined : caches.ownSecrets.get(namespace, tokenSecretName);
    const remote = caches.remotes.byKey(remoteCluster);
    return JSON.stringify([
      secret?.metadata.uid,
      secret?.metadata.resourceVersion,
      remote && [caches.gatewayOf(remote), tunnelWait(remote, caches.tunnels.byKey(remoteCluster))],
    ]);
  }

  async function attempt(
    peering: OutgoingPeering,
    held: StoredIdentity | undefined,
    signal: AbortSignal,
  ): Promise<IdentityState> {
    const name = peering.metadata.name;
    const asked = askedWith(peering);
    const last = refusals.get(name);
    if (last !== undefined && last.with === asked && last.at > clock.monotonic())
      return { held, problem: last.problem };
    const wanted = whileWanted(name, signal);
    try {
      const next = await authenticate(peering, held, wanted.signal);
      refusals.delete(name);
      return { held: next && (await follow(peering, next, wanted.signal)), problem: undefined };
    } catch (error) {
      if (!(error instanceof PeeringProblem)) throw error;
      const failures = last?.with === asked ? last.failures + 1 : 0;
      const pause = error.temporary ? backoff(failures, { base: 500, most: 30_000 }) : refusedMilliseconds;
      // The request itself may have changed its inputs, by creating the RemoteCluster.
      refusals.set(name, {
        problem: error,
        failures,
        at: clock.monotonic() + pause,
        with: askedWith(peering),
      });
      log.warn('no identity yet', { peering: name, reason: error.reason, error: error.message });
      return { held, problem: error };
    } finally {
      wanted.release();
    }
  }

  /**
   * A signal that is also aborted some time after the peering's deletion, so that a provider that never answers doesn't delay
   * the removal. Until then its answer is awaited: otherwise it might create the tenant after it was notified of the end.
   */
  function whileWanted(name: string, signal: AbortSignal): { signal: AbortSignal; release: () => void } {
    const ending = linked(signal);
    let cancel = () => {};
    const stop = caches.outgoing.onChange((key, peering) => {
      if (key !== name || peering?.metadata.deletionTimestamp === undefined) return;
      cancel();
      cancel = clock.after(answerMilliseconds, () => {
        unanswered.add(name);
        ending.abort(new Error('the peering is being removed'));
      });
    });
    const release = () => {
      stop();
      cancel();
      ending.release();
    };
    return { signal: ending.signal, release };
  }

  async function keep(peering: OutgoingPeering, signal: AbortSignal): Promise<Result | void> {
    const { name } = peering.metadata;
    const provider = peering.spec.remoteCluster;
    const local = caches.local.byKey('self');
    const recent = issued.get(name);
    // Used until the cache shows it; later, an absent one was deleted.
    const before =
      recent !== undefined && clock.monotonic() - recent.at < cacheMilliseconds
        ? recent.stored
        : parseIdentity(caches.identitySecret(name));
    const ready = (local?.status?.podCIDRs?.length ?? 0) > 0 && local?.status?.externalCIDR !== undefined;
    const state: IdentityState = ready
      ? await attempt(peering, before, signal)
      : {
          held: before,
          problem: {
            reason: reasons.WaitingForLocalCluster,
            message: `this cluster’s own ranges are not known yet: kubectl describe localcluster self`,
          },
        };
    const now = clock.now();
    if (state.held !== undefined) sessions.ensure(provider, peering.spec.peering);
    const session = sessions.state(provider, peering.spec.peering);
    const negotiated = isNegotiated(caches.remotes.byKey(provider));
    const ended = session?.ended === true || state.problem?.reason === reasons.PeeringEnded;
    const finding = identityFinding(provider, state, now);
    const document = readStored(caches.remotes.byKey(provider)?.spec.networkDocument);
    const findings = outgoingFindings(
      peering,
      ended
        ? {
            type: 'IdentityValid',
            status: 'False',
            reason: reasons.PeeringEnded,
            message:
              state.problem?.reason === reasons.PeeringEnded
                ? state.problem.message
                : `${provider} has ended the peering; unpeer, or peer again with a new token`,
          }
        : finding,
      {
        done: negotiated,
        message: negotiated
          ? `network documents exchanged; both clusters are up to date`
          : `waiting for ${provider} and this cluster to exchange network documents${session?.problem ? `: ${session.problem.slice(0, 500)}` : ''}`,
      },
    );
    await applyStatus(
      {
        kube,
        fieldManager,
        object: peering,
        now,
        events,
        fields: {
          tenantNamespace: state.held?.tenantNamespace ?? peering.status?.tenantNamespace,
          grant: statedGrant(document, peering.spec.peering) ?? state.held?.grant ?? peering.status?.grant,
          // The last known state holds until there is another one.
          providerDesired: statedDesire(document, peering.spec.peering) ?? peering.status?.providerDesired,
          identity:
            state.held === undefined
              ? undefined
              : {
                  expiresAt: state.held.expiresAt,
                  renewAfter: state.held.renewAfter,
                  apiServerURL: state.held.apiServerURL,
                  secretName: secrets.identity(name),
                },
          phases: phasesOf(peering, findings, now),
        },
        findings,
      },
      signal,
    );
    const refusal = refusals.get(name);
    if (refusal !== undefined) return { requeueAfterMilliseconds: Math.max(50, refusal.at - now) };
    return state.held === undefined
      ? undefined
      : { requeueAfterMilliseconds: lookAgainAfter(state.held, now) };
  }

  return async (key: string, signal: AbortSignal): Promise<Result | void> => {
    const peering = caches.outgoing.byKey(key);
    if (peering === undefined) {
      refusals.delete(key);
      issued.delete(key);
      unanswered.delete(key);
      return;
    }
    if (peering.metadata.deletionTimestamp !== undefined) {
      return removeOutgoing(
        { context, caches, providers, sessions, unanswered: unanswered.has(key) },
        peering,
        signal,
      );
    }
    const kept = await ensureFinalizer(kube, peering, peeringFinalizer, signal);
    return kept && keep(kept, signal);
  };
}
