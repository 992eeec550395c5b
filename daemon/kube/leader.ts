/** Leader election: work that runs only while this process holds a Lease. */
import type { KubeClient } from '../../shared/kube/client.ts';
import { deadline, linked, sleep, systemClock, type Clock } from '../../shared/time.ts';
import { isConflict, messageOf } from '../../shared/kube/errors.ts';
import type { Log } from './log.ts';
import { kind, type Ref } from '../../shared/kube/refs.ts';
import type { Lease } from '../../shared/kube/types.ts';

export interface LeaderOptions {
  kube: Pick<KubeClient, 'get' | 'create' | 'replace'>;
  namespace: string;
  name: string;
  /** This process's identity: the pod's name, so that a restarted container of the pod continues at once. */
  identity: string;
  /** Others may take a lease that was not renewed for this time. Default 15 s, as in Kubernetes' own controllers. */
  leaseSeconds?: number;
  log?: Log;
  clock?: Clock;
}

/** The observed lease, timed by this process's own clock: clocks of different machines are never compared. */
export interface Observation {
  resourceVersion: string;
  /** When this process first saw this version. */
  at: number;
}

/** Whether this process may take the lease. Pure. `observed`: when this process first saw the current version. */
export function mayTake(
  lease: Lease | undefined,
  identity: string,
  observed: Observation | undefined,
  leaseSeconds: number,
  now: number,
): boolean {
  const holder = lease?.spec?.holderIdentity;
  if (lease === undefined || !holder || holder === identity) return true;
  const seconds = lease.spec?.leaseDurationSeconds ?? leaseSeconds;
  return observed !== undefined && now - observed.at >= seconds * 1000;
}

/** RFC 3339 with microseconds: metav1.MicroTime. */
export const microTime = (now: number): string => `${new Date(now).toISOString().slice(0, -1)}000Z`;

/**
 * Waits for the lease, then runs `work` with a signal that is aborted as soon as the lease can no longer be proved to be held,
 * at the latest two thirds of its duration after the last renewal, before another candidate may take it. Returns when the work
 * has ended. Releases the lease when the signal was aborted, so that the next one need not wait.
 */
export async function runAsLeader(
  options: LeaderOptions,
  work: (signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const { kube, namespace, name, identity, leaseSeconds = 15, log, clock = systemClock } = options;
  const ref: Ref<Lease> = { kind: kind.lease, namespace, name };
  const renewEvery = (leaseSeconds * 1000) / 3;
  const giveUpAfter = (leaseSeconds * 1000 * 2) / 3;
  let observed: Observation | undefined;
  let held: Lease | undefined;

  const attempt = async (): Promise<boolean> => {
    const limit = deadline(signal, renewEvery, `lease ${name}`, clock);
    try {
      const present = held ?? (await kube.get(ref, limit.signal));
      const version = present?.metadata.resourceVersion ?? '';
      if (observed?.resourceVersion !== version)
        observed = { resourceVersion: version, at: clock.monotonic() };
      if (!mayTake(present, identity, observed, leaseSeconds, clock.monotonic())) return false;
      const now = microTime(clock.now());
      const ours = present?.spec?.holderIdentity === identity;
      const next: Lease = {
        apiVersion: ref.kind.apiVersion,
        kind: ref.kind.kind,
        metadata: { ...present?.metadata, name, namespace },
        spec: {
          holderIdentity: identity,
          leaseDurationSeconds: leaseSeconds,
          acquireTime: ours && held !== undefined ? (present?.spec?.acquireTime ?? now) : now,
          renewTime: now,
          leaseTransitions: (present?.spec?.leaseTransitions ?? 0) + (ours || present === undefined ? 0 : 1),
        },
      };
      held =
        present === undefined
          ? await kube.create(next, limit.signal)
          : await kube.replace(next, {}, limit.signal);
      return true;
    } catch (error) {
      // The remembered version is stale: read the lease again.
      if (isConflict(error)) held = undefined;
      throw error;
    } finally {
      limit.release();
    }
  };

  let said = '';
  for (;;) {
    if (signal.aborted) return;
    try {
      if (await attempt()) break;
      const holder = 'waiting for the lease';
      if (said !== holder) log?.info(holder, { lease: name });
      said = holder;
    } catch (error) {
      if (messageOf(error) !== said && !isConflict(error))
        log?.warn('failed to acquire the lease', { lease: name, error });
      said = messageOf(error);
    }
    await sleep(leaseSeconds * 100, signal, clock);
  }
  log?.info('leading', { lease: name, identity });

  using leading = linked(signal);
  const renewing = (async () => {
    let renewed = clock.monotonic();
    while (!leading.signal.aborted) {
      const cancel = clock.after(renewed + giveUpAfter - clock.monotonic(), () =>
        leading.abort(new Error(`the lease ${name} could not be renewed for ${giveUpAfter / 1000} s`)),
      );
      await sleep(
        Math.min(renewEvery, Math.max(0, renewed + renewEvery - clock.monotonic())),
        leading.signal,
        clock,
      );
      if (leading.signal.aborted) {
        cancel();
        break;
      }
      const sent = clock.monotonic();
      try {
        if (await attempt()) renewed = sent;
        else leading.abort(new Error(`the lease ${name} has another holder`));
      } catch (error) {
        log?.warn('failed to renew the lease', { lease: name, error });
        await sleep(500, leading.signal, clock);
      } finally {
        cancel();
      }
    }
  })();

  try {
    await work(leading.signal);
  } finally {
    const lost = leading.signal.aborted && !signal.aborted;
    if (lost) log?.error('lost leadership', { lease: name, error: leading.signal.reason });
    leading.abort(new Error('the work has ended'));
    await renewing;
    if (!lost && held !== undefined) {
      const limit = deadline(new AbortController().signal, 2000, `lease ${name}`, clock);
      const released: Lease = {
        ...held,
        spec: { ...held.spec, holderIdentity: '', leaseDurationSeconds: 1 },
      };
      await kube
        .replace(released, {}, limit.signal)
        .catch((error: unknown) => log?.warn('failed to release the lease', { lease: name, error }));
      limit.release();
    }
  }
}
