/**
 * The negotiation with providers: for each remote that this cluster dials, put our document when it changed, and take
 * theirs as it comes. Event-driven both ways; nothing is polled.
 */
import { GatewayProblem, isProblem, isTemporary, type GatewayClient } from '../../gateway/client/index.ts';
import type { RemoteCluster, SignedDocument } from '../../shared/api/clusters.ts';
import { supersedes } from '../../shared/trust/network-documents.ts';
import { backoff, sleep } from '../kube/clock.ts';
import type { ControllerContext } from '../kube/context.ts';
import { isConflict, messageOf } from '../kube/errors.ts';
import { kind } from '../kube/refs.ts';
import type { LocalIdentity } from './cluster-key.ts';
import { fieldManager } from './names.ts';
import type { Providers } from './providers.ts';
import { judgeDocument, readStored, type Delivered } from './remote-clusters.ts';
import type { World } from './world.ts';

/** What a session last heard, for conditions. */
export interface SessionState {
  /** Why the provider cannot be talked to now. */
  problem: string | undefined;
  /** The provider says that the peering is no more. */
  ended: boolean;
}

export interface Sessions {
  /** Makes sure that a session runs for the remote, on behalf of a peering that the provider knows. */
  ensure(remote: string, peering: string): void;
  /** Ends it. */
  end(remote: string): void;
  state(remote: string): SessionState | undefined;
}

interface Session {
  peering: string;
  stop: AbortController;
  state: SessionState;
  /** Wakes the one who puts our document. */
  wake: () => void;
}

const attempts = 6;

/** Stores a verified document in RemoteCluster.spec if it is newer than what is there. Says whether it is held now. */
export async function storeDocument(
  { kube, log }: Pick<ControllerContext, 'kube' | 'log'>,
  remoteName: string,
  signed: SignedDocument,
  identity: LocalIdentity,
  cached: RemoteCluster | undefined,
  signal: AbortSignal,
): Promise<boolean> {
  let remote = cached ?? (await kube.get({ kind: kind.remoteCluster, name: remoteName }, signal));
  for (let attempt = 1; ; attempt++) {
    if (remote === undefined) return false;
    const { clusterID, publicKey } = remote.spec;
    const judgement = judgeDocument(signed, { clusterID, publicKey }, identity.clusterID);
    if (
      judgement.verdict === 'None' ||
      judgement.verdict === 'KeyMismatch' ||
      judgement.verdict === 'Invalid'
    ) {
      log.warn('a network document is refused', {
        remote: remoteName,
        verdict: judgement.verdict,
        error: 'message' in judgement ? judgement.message : undefined,
      });
      return false;
    }
    const heldGeneration = readStored(remote.spec.networkDocument)?.generation;
    const offered = readStored(signed);
    if (offered === undefined) return false;
    if (!supersedes(offered, heldGeneration)) return heldGeneration === offered.generation;
    try {
      await kube.patch(
        { kind: kind.remoteCluster, name: remoteName },
        { metadata: { resourceVersion: remote.metadata.resourceVersion }, spec: { networkDocument: signed } },
        { type: 'merge', fieldManager },
        signal,
      );
      return true;
    } catch (error) {
      if (!isConflict(error) || attempt >= attempts) throw error;
      remote = await kube.get({ kind: kind.remoteCluster, name: remoteName }, signal);
    }
  }
}

/** Sessions, none yet. `onChange` is called with the remote whenever its state turned or something was delivered. */
export function createSessions(
  context: ControllerContext,
  world: World,
  identity: LocalIdentity,
  providers: Providers,
  delivered: Delivered,
  onChange: (remote: string) => void,
  signal: AbortSignal,
): Sessions {
  const { log, clock } = context;
  const sessions = new Map<string, Session>();

  const say = (name: string, session: Session, change: Partial<SessionState>) => {
    const next = { ...session.state, ...change };
    if (next.problem === session.state.problem && next.ended === session.state.ended) return;
    session.state = next;
    onChange(name);
  };

  /** Their document, as it comes. */
  async function receive(name: string, session: Session, client: GatewayClient): Promise<void> {
    const remote = world.remotes.byKey(name);
    const heldGeneration = readStored(remote?.spec.networkDocument)?.generation;
    const documents = client.watchParameters({
      peering: session.peering,
      signal: session.stop.signal,
      ...(heldGeneration !== undefined && { heldGeneration }),
      onInterruption: (error) => say(name, session, { problem: messageOf(error) }),
    });
    for await (const signed of documents) {
      say(name, session, { problem: undefined, ended: false });
      await storeDocument(context, name, signed, identity, world.remotes.byKey(name), session.stop.signal);
    }
    if (!session.stop.signal.aborted) say(name, session, { ended: true });
  }

  /** Our document, when it changed. */
  async function send(name: string, session: Session, client: GatewayClient): Promise<void> {
    const { signal: stop } = session.stop;
    let failures = 0;
    let refused = 0;
    while (!stop.aborted) {
      const changed = new Promise<void>((resolve) => {
        session.wake = resolve;
      });
      const document = world.remotes.byKey(name)?.status?.localDocument;
      const generation = readStored(document)?.generation;
      if (
        document === undefined ||
        generation === undefined ||
        Math.max(delivered.get(name) ?? 0, refused) >= generation
      ) {
        await changed;
        continue;
      }
      try {
        await client.putParameters(document, { signal: stop });
        failures = 0;
        delivered.set(name, generation);
        say(name, session, { problem: undefined });
        onChange(name);
      } catch (error) {
        if (stop.aborted) return;
        if (isProblem(error, 'stale-generation')) {
          // It holds a newer one of ours, from before this cluster lost its own. The next one is newer by the clock.
          refused = generation;
          say(name, session, { problem: messageOf(error) });
          continue;
        }
        say(name, session, { problem: messageOf(error) });
        if (!isTemporary(error) && failures > 3)
          log.warn('our network document is refused', { remote: name, error });
        await Promise.race([
          sleep(backoff(failures++, { base: 250, most: 30_000 }), stop, clock),
          // What changed meanwhile may be what was wrong.
          ...(error instanceof GatewayProblem && error.status === 422 ? [changed] : []),
        ]);
      }
    }
  }

  async function run(name: string, session: Session): Promise<void> {
    const { signal: stop } = session.stop;
    let sending: Promise<void> | undefined;
    for (let failures = 0; !stop.aborted; failures++) {
      const remote = world.remotes.byKey(name);
      const client = remote && providers.of(remote);
      if (client !== undefined) {
        // Another address ends the session, so that the client stays the same for as long as this one lasts.
        sending ??= send(name, session, client);
        try {
          await receive(name, session, client);
        } catch (error) {
          if (stop.aborted) break;
          say(name, session, { problem: messageOf(error), ended: isProblem(error, 'no-peering') });
          log.warn('negotiation was interrupted', { remote: name, error });
        }
      }
      await sleep(backoff(failures, { base: 500, most: 30_000 }), stop, clock);
    }
    await sending;
  }

  const end = (name: string) => {
    const session = sessions.get(name);
    sessions.delete(name);
    session?.stop.abort(new Error('the session is not needed any more'));
    session?.wake();
  };

  // A change of our document is sent at once; a change of address begins anew.
  const addressOf = (remote: RemoteCluster | undefined) =>
    JSON.stringify([remote?.spec.gatewayURL, remote?.spec.gatewayPin, remote?.spec.publicKey]);
  const unsubscribe = world.remotes.onChange((name, remote, previous) => {
    const session = sessions.get(name);
    if (session === undefined) return;
    if (remote === undefined) return end(name);
    if (previous !== undefined && addressOf(previous) !== addressOf(remote)) {
      const { peering } = session;
      end(name);
      sessionsApi.ensure(name, peering);
      return;
    }
    if (remote.status?.localDocument?.payload !== previous?.status?.localDocument?.payload) session.wake();
  });
  signal.addEventListener(
    'abort',
    () => {
      unsubscribe();
      for (const name of sessions.keys()) end(name);
    },
    { once: true },
  );

  const sessionsApi: Sessions = {
    ensure(name, peering) {
      const present = sessions.get(name);
      // The peering that it spoke for may be gone while others to the same provider are not.
      if (signal.aborted || (present !== undefined && (present.peering === peering || !present.state.ended)))
        return;
      end(name);
      const session: Session = {
        peering,
        stop: new AbortController(),
        state: { problem: undefined, ended: false },
        wake: () => {},
      };
      sessions.set(name, session);
      run(name, session).catch((error: unknown) => {
        log.error('a session failed', { remote: name, error });
        if (sessions.get(name) === session) sessions.delete(name);
        onChange(name);
      });
    },
    end,
    state: (name) => sessions.get(name)?.state,
  };
  return sessionsApi;
}
