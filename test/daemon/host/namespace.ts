import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';

/** A network namespace for one test; deleted by `remove`. */
export interface TestNamespace {
  name: string;
  prefix: readonly string[];
  /** Runs a command in it; throws if it fails. */
  run(command: string, input?: string): string;
  /** Like `run`, but asynchronous, and a failure is a result. */
  attempt(command: string): Promise<{ code: number; output: string }>;
  remove(): void;
}

export function createNamespace(label = 'host'): TestNamespace {
  const name = `hawser-test-${label}-${randomBytes(4).toString('hex')}`;
  execFileSync('ip', ['netns', 'add', name]);
  const prefix = ['ip', 'netns', 'exec', name];
  const run = (command: string, input = '') =>
    execFileSync('ip', ['netns', 'exec', name, 'sh', '-ec', command], {
      encoding: 'utf8',
      input,
      timeout: 20_000,
    });
  run('ip link set lo up');
  return {
    name,
    prefix,
    run,
    attempt: (command) =>
      new Promise((resolve) => {
        execFile(
          'ip',
          ['netns', 'exec', name, 'sh', '-c', command],
          { encoding: 'utf8', timeout: 20_000 },
          (error, stdout, stderr) =>
            resolve({
              code: error === null ? 0 : typeof error.code === 'number' ? error.code : 128,
              output: stdout + stderr,
            }),
        );
      }),
    remove: () => void spawnSync('ip', ['netns', 'del', name]),
  };
}
