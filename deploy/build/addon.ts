/** `npm run build:native`: ensures the compilers, then builds the packet engine. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { ensureNeeds } from '../needs/ensure.ts';

const root = join(import.meta.dirname, '..', '..');

/** Compiles changed files. The compiler's output goes to standard error. */
export function buildAddon(): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(root, 'native', 'build.ts')], {
      cwd: root,
      stdio: ['ignore', 'ignore', 'inherit'],
      timeout: 900_000,
    });
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error('the packet engine was not built; what the compiler said is above'));
    });
  });
}

if (import.meta.main) {
  await ensureNeeds(['engine']);
  await buildAddon();
}
