/**
 * Replaces `uvu` in test files that the runner starts. uvu hides errors of `before` and `after` hooks, counts their suite as
 * passed, and fails on thrown values that are no Errors; here both are reported. It also records the running test, so that a
 * hanging file's test can be named.
 */
import * as uvu from 'uvu';

/** The data that the process of a file reads from its suites. */
export const observed: { running: string; hookErrors: string[] } = { running: '', hookErrors: [] };

type Handler<T> = uvu.Callback<T>;

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(`thrown, but not an Error: ${String(thrown)}`);
}

function watchedTest<T>(suiteName: string, name: string, handler: Handler<T>): Handler<T> {
  return async (context) => {
    observed.running = suiteName === '' ? name : `${suiteName}: ${name}`;
    try {
      await handler(context);
    } catch (thrown) {
      throw asError(thrown);
    }
  };
}

function watchedHook<T>(suiteName: string, when: string, handler: Handler<T>): Handler<T> {
  return async (context) => {
    observed.running = `${suiteName}: ${when} hook`;
    try {
      await handler(context);
    } catch (thrown) {
      const error = asError(thrown);
      observed.hookErrors.push(`${suiteName}: the ${when} hook failed: ${error.stack ?? error.message}`);
      // After a failed `before` no test may run; after a failed `after` the count must not be lost.
      if (!when.startsWith('after')) throw error;
    }
  };
}

function watched<T>(real: uvu.Test<T>, suiteName: string): uvu.Test<T> {
  const before = Object.assign(
    (handler: Handler<T>) => real.before(watchedHook(suiteName, 'before', handler)),
    {
      each: (handler: Handler<T>) => real.before.each(watchedHook(suiteName, 'before.each', handler)),
    },
  );
  const after = Object.assign((handler: Handler<T>) => real.after(watchedHook(suiteName, 'after', handler)), {
    each: (handler: Handler<T>) => real.after.each(watchedHook(suiteName, 'after.each', handler)),
  });
  return Object.assign(
    (name: string, handler: Handler<T>) => real(name, watchedTest(suiteName, name, handler)),
    {
      before,
      after,
      only: (name: string, handler: Handler<T>) => real.only(name, watchedTest(suiteName, name, handler)),
      skip: (name?: string, handler?: Handler<T>) => real.skip(name, handler),
      run: () => real.run(),
    },
  );
}

export function suite<T = uvu.Context>(name?: string, context?: T): uvu.Test<T> {
  return watched(uvu.suite<T>(name, context), name ?? '');
}
export const test: uvu.Test = watched(uvu.test, '');
export const exec = uvu.exec;
