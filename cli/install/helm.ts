/** Helm, which installs the chart. */
import { spawn } from 'node:child_process';
import { CommandError } from '../exit.ts';

export interface HelmRun {
  args: readonly string[];
  /** The chart's values as JSON, which is YAML; by standard input, so that nothing is left in a file. */
  values: string;
  environment: Record<string, string | undefined>;
  signal: AbortSignal;
}

/** Length of Helm's last output that an error repeats. */
const mostText = 2_000;

/** Runs Helm to its end; rejects with its output. */
export function runHelm({ args, values, environment, signal }: HelmRun): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('helm', args, { stdio: ['pipe', 'pipe', 'pipe'], env: environment, signal });
    let said = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        said = (said + text).slice(-mostText);
      });
    child.stdin.on('error', () => undefined); // Helm ended without reading all input: its exit code shows why.
    child.stdin.end(values);
    child.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT')
        reject(
          new CommandError(
            'helm was not found in PATH; install Helm 3.12 or newer, or use --print and run the commands elsewhere',
          ),
        );
      else reject(error);
    });
    child.once('close', (code) => {
      if (code === 0) resolve();
      else reject(new CommandError(`helm ended with exit code ${code}: ${said.trim()}`));
    });
  });
}
