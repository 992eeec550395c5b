/** The sender and counter of datagrams, compiled once into a temporary folder that is removed with the benchmark. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export const FLOOD_PORT = '5202';

const source = fileURLToPath(new URL('udp-flood.c', import.meta.url));
let made: Promise<string> | undefined;

async function compile(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'hawser-bench-'));
  const program = join(folder, 'udp-flood');
  try {
    await promisify(execFile)(process.env['CC'] ?? 'gcc', ['-O2', '-o', program, source]);
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
  return program;
}

export function udpFlood(): Promise<string> {
  made ??= compile();
  return made;
}

/** Call it when the program no longer runs. */
export async function removeUdpFlood(): Promise<void> {
  const program = await made?.catch(() => undefined);
  made = undefined;
  if (program !== undefined) rmSync(dirname(program), { recursive: true, force: true });
}
