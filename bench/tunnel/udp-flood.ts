/** The sender and counter of datagrams, compiled once. */
import { execFile } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export const FLOOD_PORT = '5202';

const source = fileURLToPath(new URL('udp-flood.c', import.meta.url));
let made: Promise<string> | undefined;

async function compile(): Promise<string> {
  const program = join(mkdtempSync(join(tmpdir(), 'hawser-bench-')), 'udp-flood');
  await promisify(execFile)(process.env['CC'] ?? 'gcc', ['-O2', '-o', program, source]);
  return program;
}

export function udpFlood(): Promise<string> {
  made ??= compile();
  return made;
}
