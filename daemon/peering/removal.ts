/** Removes an OutgoingPeering: in order, in bounded time, and with a report of the residue. */
import { isProblem, isTemporary } from '../clients/gateway/index.ts';
import type { OutgoingPeering } from '../../shared/api/peerings.ts';
import { findCondition } from '../../shared/conditions.ts';
import { peeringName, secrets } from '../../shared/names.ts';
import { deadline } from '../../shared/time.ts';
import type { ControllerContext } from '../kube/context.ts';
import type { Result } from '../kube/controller.ts';
import { messageOf } from '../../shared/kube/errors.ts';
import { hasFinalizer, removeFinalizer } from '../kube/finalizers.ts';
import { isUnreferenced } from '../peers/references.ts';
import { kind } from '../../shared/kube/refs.ts';
import { recordResidue } from '../peers/residue.ts';
import { fieldManager, nodeFinalizer, peeringFinalizer, reasons } from './names.ts';
import { applyStatus } from '../kube/status.ts';
import type { Providers } from './providers.ts';
import type { Sessions } from './sessions.ts';
import type { Caches } from './caches.ts';

/** Time for vnode/ to drain and remove its node. */
export const nodeMilliseconds = 10_000;
/** Time for the provider to confirm the end. */
export const providerMilliseconds = 3000;

export interface RemovalDependencies {
  context: ControllerContext;
  caches: Caches;
  providers: Providers;
  sessions: Sessions;
  /** A request for an identity was pending at the provider. */
  unanswered: boolean;
}

/** What to do next for a peering that is being deleted. Pure. */
export function removalStep(
  peering: OutgoingPeering,
  now: number,
): { step: 'None' } | { step: 'WaitForNode'; milliseconds: number } | { step: 'Remove' } {
  if (!hasFinalizer(peering, peeringFinalizer)) return { step: 'None' };
  const left = Date.parse(peering.metadata.deletionTimestamp ?? '') + nodeMilliseconds - now;
  // Without an identity vnode/ cannot wait for the provider: it removes the node on its own.
  return hasFinalizer(peering, nodeFinalizer) && left > 0
    ? { step: 'WaitForNode', milliseconds: left }
    : { step: 'Remove' };
}

/** Whether an identity was ever requested: even if the answer was lost, the provider may have created objects. */
export function mayKnowUs(peering: OutgoingPeering): boolean {
  const identity = findCondition(peering.status?.conditions, 'IdentityValid');
  return identity !== undefined && !identity.reason.startsWith('Waiting');
}

/** Performs the next step. */
export async function removeOutgoing(
  dependencies: RemovalDependencies,
  peering: OutgoingPeering,
  signal: AbortSignal,
): Promise<Result | void> {
  const { context, caches, providers, sessions, unanswered } = dependencies;
  const { kube, clock, namespace, events, log } = context;
  const next = removalStep(peering, clock.now());
  if (next.step === 'None') return;
  if (next.step === 'WaitForNode') return { requeueAfterMilliseconds: Math.max(50, next.milliseconds) };
  const { name, uid } = peering.metadata;
  const provider = peering.spec.remoteCluster;
  const residue: string[] = [];
  sessions.end(provider, peering.spec.peering);
  const told = await notifyProvider(dependencies, peering, signal);
  const held = caches.identitySecret(name) !== undefined;
  if (told !== undefined && (held || unanswered || mayKnowUs(peering))) {
    const there = peeringName(caches.local.byKey('self')?.status?.clusterID ?? '', peering.spec.peering);
    residue.push(
      `at the provider ${provider}: the objects it ${held ? 'created' : 'may have created'} for this peering, with the twin namespaces and their pods; remove them there with hawser unpeer ${there} --incoming (${told})`,
    );
  }
  await kube.delete({ kind: kind.secret, namespace, name: secrets.identity(name) }, {}, signal);
  const { tokenSecretName } = peering.spec;
  if (tokenSecretName !== undefined) {
    await kube.delete({ kind: kind.secret, namespace, name: tokenSecretName }, {}, signal);
  }
  if (residue.length > 0) {
    await applyStatus(
      {
        kube,
        fieldManager,
        object: peering,
        now: clock.now(),
        fields: { residue },
        findings: [
          {
            type: 'Ready',
            status: 'False',
            reason: reasons.Deleting,
            message: `removed on this cluster; not removed: ${residue.join('; ')}`,
          },
        ],
      },
      signal,
    );
    events.emit(peering, 'Warning', 'Residue', `removed on this cluster; not removed: ${residue.join('; ')}`);
    await recordResidue(kube, namespace, peering, residue, clock.now(), signal);
    log.warn('unpeered, with residue', { peering: name, residue });
  }
  if (isUnreferenced(provider, [...caches.outgoing.list(), ...caches.incoming.list()], uid)) {
    providers.forget(provider);
    await kube.delete({ kind: kind.remoteCluster, name: provider }, {}, signal);
  }
  await removeFinalizer(kube, peering, peeringFinalizer, signal);
}

/** The API gateway gives unknown senders and wrong signatures the same answer, so as not to reveal who is peered with it. */
export function isUnknownThere(error: unknown): boolean {
  return isProblem(error, 'signature-refused') && error.document.errors?.[0]?.detail === 'BadSignature';
}

/** Undefined if the provider confirmed the end, otherwise why it could not be reached. */
async function notifyProvider(
  { context, caches, providers }: RemovalDependencies,
  peering: OutgoingPeering,
  signal: AbortSignal,
): Promise<string | undefined> {
  const remote = caches.remotes.byKey(peering.spec.remoteCluster);
  const client = remote && providers.of(remote);
  if (client === undefined) return 'its API gateway is not known here';
  const limit = deadline(
    signal,
    providerMilliseconds,
    'asking the provider to end the peering',
    context.clock,
  );
  try {
    for (;;) {
      try {
        await client.deletePeering(peering.spec.peering, { signal: limit.signal });
        return undefined;
      } catch (error) {
        if (isProblem(error, 'no-peering') || isProblem(error, 'not-found')) return undefined;
        if (isUnknownThere(error)) {
          // Its answer to a cluster that it has forgotten: an earlier request ended the peering, or the provider itself.
          context.log.info('the provider does not know this cluster, or knows it by another key', {
            peering: peering.metadata.name,
            remote: peering.spec.remoteCluster,
          });
          return undefined;
        }
        if (signal.aborted) throw error;
        if (limit.signal.aborted || !isTemporary(error)) return messageOf(error).slice(0, 300);
        await new Promise<void>((resolve) => context.clock.after(250, resolve));
      }
    }
  } finally {
    limit.release();
  }
}
