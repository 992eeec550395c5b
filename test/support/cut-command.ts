/** Commands that are interrupted: by SIGINT as a user does, or by SIGKILL as in a crash. */
import { spawn } from 'node:child_process';
import type { Cut, CuttingRelay } from './cutting-relay.ts';

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stderr: string;
}

/** Runs a command until it prints a text, interrupts it (SIGINT), and returns how it ended. Rejects if the text never came. */
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

/** Runs a command and kills it (SIGKILL) at the given request. Rejects if the command never sent that request. */
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

/** `onSaid` is called at the start with an empty text, and with the whole output whenever there is more. */
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
