/** `npm run bench:tunnel`: makes sure of what `compare.ts` needs, the packet engine among it, which that one loads at once. */
import { ensureNeeds } from '../../deploy/needs/ensure.ts';
import { build, releaseVariant } from '../../native/build.ts';

await ensureNeeds(['interop']);
await build(releaseVariant());
await import('./compare.ts');
