/** Logs as one JSON object a line. Who calls it passes no secrets: there is no body, header or query in any of them. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;
export type Log = (level: LogLevel, message: string, fields?: LogFields) => void;

const order: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

/** A log that writes lines at or above `level`. */
export function createLog(level: LogLevel, write: (line: string) => void, clock: () => number): Log {
  return (lineLevel, message, fields = {}) => {
    if (order.indexOf(lineLevel) < order.indexOf(level)) return;
    write(
      JSON.stringify({
        time: new Date(clock()).toISOString(),
        level: lineLevel,
        process: 'gateway',
        message,
        ...fields,
      }),
    );
  };
}

/** The level that a text names; `info` for none. */
export function parseLogLevel(text: string | undefined): LogLevel {
  return order.find((level) => level === text?.toLowerCase()) ?? 'info';
}

/** What an error says of itself, for a log line: never its properties, which may hold anything. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error';
  const cause = error.cause instanceof Error ? ` (${error.cause.name}: ${error.cause.message})` : '';
  return `${error.name}: ${error.message}${cause}`.slice(0, 1000);
}
