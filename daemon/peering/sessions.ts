/**
 * The negotiation with providers. Each outgoing peering has a session that receives the provider's documents and the
 * peering's end; one session per provider also puts our document when it changes. Both directions are event-driven, without
 * polling.
 */
import {
  GatewayProblem,
  isProblem,
  isTemporary,
  type GatewayClient,
  MeaninglessAnswer,
} from '../clients/gateway/index.ts';
import type { RemoteCluster, SignedDocument } from '../../shared/api/clusters.ts';
import { peeringName } from '../../shared/names.ts';
import { supersedes } from '../../shared/trust/network-documents.ts';
import { backoff, sleep } from '../../shared/time.ts';
import { readStored } from '../../shared/trust/documents-cache.ts';
import type { ControllerContext } from '../kube/context.ts';
import { isConflict, messageOf } from '../../shared/kube/errors.ts';
import { kind } from '../../shared/kube/refs.ts';
import type { LocalIdentity } from '../peers/local-identity.ts';
import { followGateway } from './gateway-follow.ts';
import { fieldManager } from './names.ts';
import type { Providers } from './providers.ts';
import { createRateLimiter } from './rate-limiter.ts';
import { verifyRemoteDocument, type Delivered, type RefusedDocuments } from './remote-clusters.ts';
import type { Caches } from './caches.ts';

/** The last result of a session, for conditions. */
export interface SessionState {
  /** Why the provider cannot be reached now. */
  problem: string | undefined;
  /** The provider reports that the peering has ended. */
  ended: boolean;
  /** The provider rejects this cluster's signature; renewing the identity finds out whether the peering still exists. */
  doubted: boolean;
}

export interface Sessions {
  /** Starts a session for a peering that the provider knows, unless it runs. */
  ensure(remote: string, peering: string): void;
  /** Ends a session; others with the same provider continue. */
  end(remote: string, peering: string): void;
  state(remote: string, peering: string): SessionState | undefined;
}

interface Session {
  remote: string;
  peering: string;
  stop: AbortController;
  state: SessionState;
  /** A check of the provider's gateway in progress, and why it must be repeated, if so. */
  following: { again: 'failing' | 'changed' | undefined } | undefined;
  /** Current address of the provider; undefined until known. */
  address: string | undefined;
  /** Wakes the loop that puts our document. */
  wake: () => void;
}

const attempts = 6;
const lastingMilliseconds = 60_000;

/** Burst and interval of accepted documents of a remote, since each causes a write here. */
const documentsAtOnce = 16;
const documentMilliseconds = 1000;

/** Stores a verified document in RemoteCluster.spec if it is newer than the stored one; otherwise returns why it was refused. */
export async function storeDocument(
  { kube, log }: Pick<ControllerContext, 'kube' | 'log'>,
  remoteName: string,
  signed: SignedDocument,
  identity: LocalIdentity,
  cached: RemoteCluster | undefined,
  signal: AbortSignal,
): Promise<{ refused: string } | undefined> {
  let remote = cached ?? (await kube.get({ kind: kind.remoteCluster, name: remoteName }, signal));
  for (let attempt = 1; ; attempt++) {
    if (remote === undefined) return undefined;
    const { clusterID, publicKey } = remote.spec;
    const check = verifyRemoteDocument(signed, { clusterID, publicKey }, identity.clusterID);
    if (check.verdict === 'None' || check.verdict === 'KeyMismatch' || check.verdict === 'Invalid') {
      log.warn('refused a network document', {
        remote: remoteName,
        verdict: check.verdict,
        error: 'message' in check ? check.message : undefined,
      });
      return { refused: 'message' in check ? check.message : 'the network document is empty' };
    }
    const held = remote.spec.networkDocument;
    const heldGeneration = readStored(held)?.generation;
    const offered = readStored(signed);
    if (offered === undefined) return { refused: 'the network document cannot be read' };
    if (!supersedes(offered, heldGeneration)) {
      if (held?.payload === signed.payload) return undefined;
      const message = `the network document has generation ${offered.generation}, not higher than the stored ${heldGeneration}: generations only grow`;
      log.warn('refused a network document', { remote: remoteName, verdict: 'Stale', error: message });
      return { refused: message };
    }
    try {
      await kube.patch(
        { kind: kind.remoteCluster, name: remoteName },
        { metadata: { resourceVersion: remote.metadata.resourceVersion }, spec: { networkDocument: signed } },
        { type: 'merge', fieldManager },
        signal,
      );
      return undefined;
    } catch (error) {
      if (!isConflict(error) || attempt >= attempts) throw error;
      remote = await kube.get({ kind: kind.remoteCluster, name: remoteName }, signal);
    }
  }
}

/** Creates an empty set of sessions. `onChange` is called with a remote when its state changes or a document was delivered. */
export function createSessions(
  context: ControllerContext,
  caches: Caches,
  identity: LocalIdentity,
  providers: Providers,
  delivered: Delivered,
  refusedDocuments: RefusedDocuments,
  onChange: (remote: string) => void,
  signal: AbortSignal,
): Sessions {
  const { log, clock } = context;
  const sessions = new Map<string, Session>();
  const refuse = (remote: string, message: string) => {
    context.metrics?.refused(remote, 'Document');
    const count = (refusedDocuments.get(remote)?.count ?? 0) + 1;
    refusedDocuments.set(remote, { count, at: clock.now(), message: message.slice(0, 600) });
    onChange(remote);
  };
  const accept = (remote: string) => {
    if (refusedDocuments.delete(remote)) onChange(remote);
  };
  const sessionsWith = (remote: string) => [...sessions.values()].filter((each) => each.remote === remote);

  const say = (session: Session, change: Partial<SessionState>) => {
    const next = { ...session.state, ...change };
    const { problem, ended, doubted } = session.state;
    if (next.problem === problem && next.ended === ended && next.doubted === doubted) return;
    session.state = next;
    onChange(session.remote);
    // Another session may have to put our document from now on.
    for (const each of sessionsWith(session.remote)) each.wake();
  };
  /** Our document is the same for all peerings with a provider, so one of them puts it. */
  const speaks = (session: Session) =>
    sessionsWith(session.remote).find(({ state }) => !state.ended) === session;

  /** Checks the provider's address if it may have changed; one check at a time. */
  function follow(session: Session, failing: boolean): void {
    if (session.stop.signal.aborted) return;
    if (session.following !== undefined) {
      session.following.again ||= failing ? 'failing' : 'changed';
      return;
    }
    const following: NonNullable<Session['following']> = { again: undefined };
    session.following = following;
    followGateway(context, caches, session.remote, failing, session.stop.signal)
      .catch((error: unknown) => {
        if (!session.stop.signal.aborted)
          log.warn('failed to follow the certificate of a gateway', { remote: session.remote, error });
      })
      .finally(() => {
        session.following = undefined;
        if (following.again !== undefined) follow(session, following.again === 'failing');
      });
  }

  /** Receives the provider's documents. */
  async function receive(session: Session, client: GatewayClient): Promise<void> {
    const name = session.remote;
    const remote = caches.remotes.byKey(name);
    const heldGeneration = readStored(remote?.spec.networkDocument)?.generation;
    const documents = client.watchParameters({
      peering: session.peering,
      signal: session.stop.signal,
      ...(heldGeneration !== undefined && { heldGeneration }),
      onInterruption: (error) => {
        if (error instanceof MeaninglessAnswer) refuse(name, messageOf(error));
        say(session, { problem: messageOf(error) });
        follow(session, true);
      },
    });
    const limiter = createRateLimiter(clock, documentsAtOnce, documentMilliseconds);
    for await (const signed of documents) {
      // The stream is read no faster than this, which slows down an endless sender.
      await limiter.wait(session.stop.signal);
      say(session, { problem: undefined, ended: false, doubted: false });
      const cached = caches.remotes.byKey(name);
      const { signal: stop } = session.stop;
      const outcome = await storeDocument(context, name, signed, identity, cached, stop);
      if (outcome === undefined) accept(name);
      else refuse(name, outcome.refused);
    }
    if (!session.stop.signal.aborted) say(session, { ended: true });
  }

  /** Puts our document when it changes. */
  async function send(session: Session, client: GatewayClient): Promise<void> {
    const name = session.remote;
    const { signal: stop } = session.stop;
    let failures = 0;
    let refused = 0;
    while (!stop.aborted) {
      const changed = new Promise<void>((resolve) => {
        session.wake = resolve;
      });
      const document = caches.remotes.byKey(name)?.status?.localDocument;
      const generation = readStored(document)?.generation;
      if (
        document === undefined ||
        generation === undefined ||
        !speaks(session) ||
        Math.max(delivered.get(name) ?? 0, refused) >= generation
      ) {
        await changed;
        continue;
      }
      try {
        await client.putParameters(document, { signal: stop });
        failures = 0;
        delivered.set(name, generation);
        say(session, { problem: undefined });
        onChange(name);
      } catch (error) {
        if (stop.aborted) return;
        if (isProblem(error, 'stale-generation')) {
          // The provider has a newer document of ours, which this cluster has lost. The next one is newer by the clock.
          refused = generation;
          say(session, { problem: messageOf(error) });
          continue;
        }
        say(session, { problem: messageOf(error) });
        if (!isTemporary(error) && failures > 3)
          log.warn('the provider refused our network document', { remote: name, error });
        await Promise.race([
          sleep(backoff(failures++, { base: 250, most: 30_000 }), stop, clock),
          // A change in the meantime may have removed the cause.
          ...(error instanceof GatewayProblem && error.status < 500 ? [changed] : []),
        ]);
      }
    }
  }

  async function run(session: Session): Promise<void> {
    const name = session.remote;
    const { signal: stop } = session.stop;
    let sending: Promise<void> | undefined;
    follow(session, false);
    for (let failures = 0; !stop.aborted; failures++) {
      const remote = caches.remotes.byKey(name);
      const client = remote && providers.of(remote);
      if (client !== undefined) {
        // A new address ends the session, so that a session always uses one client.
        sending ??= send(session, client);
        const begun = clock.monotonic();
        try {
          await receive(session, client);
        } catch (error) {
          if (stop.aborted) break;
          say(session, {
            problem: messageOf(error),
            ended: isProblem(error, 'no-peering'),
            doubted: isProblem(error, 'signature-refused'),
          });
          log.warn('exchange of network documents was interrupted; retrying', {
            remote: name,
            peering: session.peering,
            error,
          });
          follow(session, true);
        }
        // A connection that lasted resets the backoff.
        if (clock.monotonic() - begun > lastingMilliseconds) failures = 0;
      }
      await sleep(backoff(failures, { base: 500, most: 30_000 }), stop, clock);
    }
    await sending;
  }

  const end = (session: Session) => {
    const key = peeringName(session.remote, session.peering);
    if (sessions.get(key) === session) sessions.delete(key);
    session.stop.abort(new Error('the session is no longer needed'));
    session.wake();
    for (const each of sessionsWith(session.remote)) each.wake();
  };

  // A change of our document is sent at once; a change of address starts a new session.
  const moved = (session: Session): boolean => {
    const remote = caches.remotes.byKey(session.remote);
    const address = remote && caches.gatewayOf(remote);
    const text = address && JSON.stringify(address);
    // A temporarily unknown address counts as unchanged.
    if (text === undefined || text === session.address) return false;
    const before = session.address;
    session.address = text;
    if (before === undefined) return false;
    end(session);
    sessionsApi.ensure(session.remote, session.peering);
    return true;
  };
  const unfollow = caches.tunnels.onChange((name) => {
    for (const session of sessionsWith(name)) moved(session);
  });
  const unsubscribe = caches.remotes.onChange((name, remote, previous) => {
    for (const session of sessionsWith(name)) {
      if (remote === undefined) {
        end(session);
        continue;
      }
      if (moved(session)) continue;
      if (remote.status?.localDocument?.payload !== previous?.status?.localDocument?.payload) session.wake();
      // Not right after storing it: the cache, which contains the address to check, may be stale.
      if (remote.spec.networkDocument?.payload !== previous?.spec.networkDocument?.payload) {
        follow(session, false);
      }
    }
  });
  signal.addEventListener(
    'abort',
    () => {
      unsubscribe();
      unfollow();
      for (const session of sessions.values()) end(session);
    },
    { once: true },
  );

  const sessionsApi: Sessions = {
    ensure(remote, peering) {
      const key = peeringName(remote, peering);
      if (signal.aborted || sessions.has(key)) return;
      const session: Session = {
        remote,
        peering,
        stop: new AbortController(),
        state: { problem: undefined, ended: false, doubted: false },
        following: undefined,
        address: undefined,
        wake: () => {},
      };
      sessions.set(key, session);
      moved(session);
      run(session).catch((error: unknown) => {
        log.error('a session failed', { remote, peering, error });
        if (sessions.get(key) === session) sessions.delete(key);
        onChange(remote);
      });
    },
    end(remote, peering) {
      const session = sessions.get(peeringName(remote, peering));
      if (session !== undefined) end(session);
    },
    state: (remote, peering) => sessions.get(peeringName(remote, peering))?.state,
  };
  return sessionsApi;
}
