#!/usr/bin/env node
/** The `hawser` command, also as `kubectl hawser`. */
import { dispatch } from './dispatch.ts';

const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => {
    // The first one asks; whoever insists is obeyed at once.
    if (stop.signal.aborted) process.exit(130);
    stop.abort(new Error(`got ${name}`));
  });
}
// Whoever reads may have read enough: hawser status | head.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

const exitCode = await dispatch(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  environment: process.env,
  signal: stop.signal,
  now: Date.now,
});
// A process that serves sets its own.
if (exitCode !== 0) process.exitCode = exitCode;
// Sockets of what ended half-way must not keep the process.
setTimeout(() => process.exit(), 2000).unref();
