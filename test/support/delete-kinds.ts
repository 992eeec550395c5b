/** Deleting Hawser's kinds, as the README says, and waiting until the API server has forgotten them. */
import { waitFor } from '../testbed/run.ts';

type Kubectl = (args: readonly string[]) => Promise<string>;

const ofHawser = ['crd', '-l', 'app.kubernetes.io/part-of=hawser'];
const seconds = 240;
/** So long the API server is left alone with it. */
const graceMilliseconds = 10_000;

/**
 * Deletes the CRDs and waits until they are gone. An API server that finds a kind's storage "(re)initializing" looks again
 * later and later, minutes apart in the end; any change of the CRD has it look at once (crd_finalizer.go).
 */
export async function deleteKinds(kubectl: Kubectl, signal?: AbortSignal): Promise<void> {
  await kubectl(['delete', ...ofHawser, '--wait=false']);
  let touchedAt = performance.now();
  await waitFor(
    'the API server to have forgotten Hawser’s kinds',
    async () => {
      const left = (await kubectl(['get', ...ofHawser, '-o', 'name'])).split('\n').filter(Boolean);
      if (left.length === 0) return true;
      if (performance.now() - touchedAt > graceMilliseconds) {
        touchedAt = performance.now();
        const touch = `hawser.dev/touched=${Date.now()}`;
        // One that goes meanwhile is none that waits.
        await kubectl(['annotate', '--overwrite', ...left, touch]).catch(() => undefined);
      }
      throw new Error(left.join(', '));
    },
    { timeoutMilliseconds: seconds * 1000, intervalMilliseconds: 300, ...(signal && { signal }) },
  );
}
