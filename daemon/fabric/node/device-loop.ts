/** Keeps the tunnel device running: anyone with CAP_NET_ADMIN may delete it. */
import { messageOf, type Log } from '../../kube/index.ts';
import { backoff, sleep, type Clock } from '../../../shared/time.ts';
import type { TunnelDevice } from '../ports.ts';

/** After a run of this length the backoff starts over. */
const steadyMilliseconds = 10_000;

/**
 * Runs until the signal is aborted.
 *
 * @param onStart called before each start: addresses and routes vanish with a device and must be programmed again
 * @param onFailure called with the reason when the device stopped unexpectedly
 */
export async function runDevice(
  device: TunnelDevice,
  { onStart, onFailure }: { onStart: () => void; onFailure: (reason: string) => void },
  clock: Clock,
  log: Log,
  signal: AbortSignal,
): Promise<void> {
  let failures = 0;
  while (!signal.aborted) {
    const startedAt = clock.monotonic();
    let reason = 'the device stopped unexpectedly';
    onStart();
    try {
      await device.run(signal);
    } catch (error) {
      reason = messageOf(error);
    }
    if (signal.aborted) return;
    log.error('the tunnel device failed; restarting it', { error: reason });
    onFailure(reason);
    failures = clock.monotonic() - startedAt > steadyMilliseconds ? 0 : failures + 1;
    await sleep(backoff(failures, { base: 100, most: 5_000 }), signal, clock);
  }
}
