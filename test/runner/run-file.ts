/** Runs one test file as a child process with a deadline, and returns its result. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { duration, type FileReport, type FileResult } from './report.ts';

const runnerOfOne = join(import.meta.dirname, 'one.ts');
/** Longer output is shortened in the middle, since it is unreadable anyway. */
const outputLimit = 200_000;
/** Time between SIGTERM for a late file (exit handlers run, `after` hooks don't) and SIGKILL. */
const killAfterMilliseconds = 5000;

export interface RunFileOptions {
  deadlineMilliseconds: number;
  signal?: AbortSignal | undefined;
  /** Called with each line as the file prints it. */
  onLine?: ((line: string) => void) | undefined;
}

/** Runs a file to its end; never throws because of the file. */
export async function runFile(file: string, options: RunFileOptions): Promise<FileResult> {
  const begun = performance.now();
  const child = spawn(process.execPath, [runnerOfOne, file], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    // In its own process group, so that its children end with it at the deadline.
    detached: true,
    env: { ...process.env, ...(process.stdout.isTTY ? {} : { NO_COLOR: '1' }) },
  });
  let running = '';
  let finished: Extract<FileReport, { type: 'finished' }> | undefined;
  const complaints: string[] = [];
  child.on('message', (report: FileReport) => {
    if (report.type === 'running') running = report.test;
    else if (report.type === 'finished') finished = report;
    else {
      complaints.push(
        `its tests ended, the process did not: left open are ${report.resources.join(', ') || 'unknown handles'}`,
      );
    }
  });
  let output = '';
  let line = '';
  const onText = (text: string) => {
    if (output.length < outputLimit) output += text;
    if (options.onLine === undefined) return;
    const lines = (line + text).split('\n');
    line = lines.pop() ?? '';
    for (const each of lines) options.onLine(each);
  };
  child.stdout?.setEncoding('utf8').on('data', onText);
  child.stderr?.setEncoding('utf8').on('data', onText);

  const killGroup = (signal: NodeJS.Signals) => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, signal);
    } catch {
      // It has ended already.
    }
  };
  const timers: NodeJS.Timeout[] = [];
  const end = () => {
    killGroup('SIGTERM');
    timers.push(setTimeout(killGroup, killAfterMilliseconds, 'SIGKILL'));
  };
  timers.push(
    setTimeout(() => {
      const where = running === '' ? '' : ` in "${running}"`;
      complaints.push(`not done after ${duration(options.deadlineMilliseconds)}${where}, and ended`);
      end();
    }, options.deadlineMilliseconds),
  );
  options.signal?.addEventListener('abort', end, { once: true });
  if (options.signal?.aborted) end();

  const exit = await new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once('error', (error) => {
      complaints.push(`could not be started: ${error.message}`);
      resolve({ code: null, signal: null });
    });
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
  for (const timer of timers) clearTimeout(timer);
  options.signal?.removeEventListener('abort', end);
  if (line !== '') options.onLine?.(line);

  if (finished !== undefined) complaints.unshift(...finished.complaints);
  if (complaints.length === 0 && (finished === undefined || exit.code !== 0)) {
    const how = exit.signal === null ? `with exit code ${exit.code}` : `by ${exit.signal}`;
    const when = finished === undefined ? 'before its tests did' : 'although its tests had passed';
    if (finished === undefined || finished.failed === 0) complaints.push(`ended ${how} ${when}`);
  }
  return {
    file,
    passed: finished?.passed ?? 0,
    // A complaint without a failed test counts as one.
    failed: (finished?.failed ?? 0) || (complaints.length > 0 ? 1 : 0),
    skipped: finished?.skipped ?? 0,
    milliseconds: performance.now() - begun,
    complaints,
    output,
  };
}
