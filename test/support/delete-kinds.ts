/** Deletes Hawser's kinds as the README describes, and waits until the API server has removed them. */
import { waitFor } from '../testbed/run.ts';

type Kubectl = (args: readonly string[]) => Promise<string>;

const ofHawser = ['crd', '-l', 'app.kubernetes.io/part-of=hawser'];
const seconds = 240;
/** How long the API server gets before its CRDs are touched. */
const graceMilliseconds = 10_000;

/**
 * Deletes the CRDs and waits until they are gone. An API server that finds a kind's storage "(re)initializing" retries with
 * growing delays, minutes apart in the end; any change of the CRD makes it retry at once (crd_finalizer.go).
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
        // A CRD that disappears meanwhile needs no annotation.
        await kubectl(['annotate', '--overwrite', ...left, touch]).catch(() => undefined);
      }
      throw new Error(left.join(', '));
    },
    { timeoutMilliseconds: seconds * 1000, intervalMilliseconds: 300, ...(signal && { signal }) },
  );
}
