/** Commands that are ended in the middle: as a person does it, and as a machine that fails does. */
import { spawn } from 'node:child_process';
import type { Cut, CuttingRelay } from './cutting-relay.ts';

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stderr: string;
}

/** Runs the command until it has said this, interrupts it (SIGINT), and tells how it ended. Rejects when it never said it. */
export async function interruptAfter(
  words: RegExp,
  command: readonly string[],
  seconds: number,
): Promise<Ended> {
  let interrupted = false;
  const ended = await follow(command, seconds, (child, said) => {
    if (interrupted || !words.test(said)) return;
    interrupted = true;
    child.kill('SIGINT');
  });
  if (!words.test(ended.stderr))
    throw new Error(`ended with ${ended.code} before it said ${words.source}: ${ended.stderr}`);
  return ended;
}

/** Runs the command, and kills it (SIGKILL) at this request of its. Rejects when it never came to it. */
export async function killAt(
  relay: CuttingRelay,
  cut: Cut,
  command: readonly string[],
  seconds: number,
): Promise<Ended> {
  const ended = await follow(command, seconds, (child, said) => {
    if (said === '') relay.arm(cut, () => child.kill('SIGKILL'));
  });
  if (relay.disarm()) return ended;
  const what = `${cut.when} ${cut.method} ${cut.path.source}`;
  throw new Error(`ended with ${ended.code} and never came to ${what}: ${ended.stderr}`);
}

type Child = ReturnType<typeof spawn>;

/** `onSaid` is called at the beginning, with nothing, and with all that was said whenever there is more. */
function follow(
  [program = '', ...args]: readonly string[],
  seconds: number,
  onSaid: (child: Child, said: string) => void,
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    const timer = setTimeout(() => child.kill('SIGKILL'), seconds * 1000);
    let stderr = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
      onSaid(child, stderr);
    });
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stderr });
    });
    onSaid(child, '');
  });
}
