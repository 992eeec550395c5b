#!/usr/bin/env node
/** The `hawser` command, also as `kubectl hawser`. */
import { dispatch } from './dispatch.ts';

const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => {
    // The first signal stops gracefully, the second at once.
    if (stop.signal.aborted) process.exit(130);
    stop.abort(new Error(`got ${name}`));
  });
}
// A reader may close the pipe early: hawser status | head.
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
// A long-running process sets its own exit code.
if (exitCode !== 0) process.exitCode = exitCode;
// Sockets of interrupted requests must not keep the process alive.
setTimeout(() => process.exit(), 2000).unref();
