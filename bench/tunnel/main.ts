/**
 * `npm run bench:tunnel`: installs the dependencies of `compare.ts` first, since that file loads the packet engine at import.
 */
import { ensureNeeds } from '../../deploy/needs/ensure.ts';
import { build, releaseVariant } from '../../native/build.ts';

await ensureNeeds(['interop']);
await build(releaseVariant());
await import('./compare.ts');
