/** Logs of all processes: one JSON object per line, never a secret. The caller writes the lines. */

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** The same log with these fields on every line. */
  with(fields: LogFields): Log;
}

const order: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };
/** A second line of defence: fields with such names are redacted, in case that a secret is logged by mistake. */
const secretName = /secret$|token$|private_?key|password|authorization|psk$|^data$|stringdata/i;
const mostText = 4000;

/** The level of LOG_LEVEL, in any case; `info` if it names none. */
export function levelOf(text: string | undefined): LogLevel {
  const level = text?.toLowerCase();
  return level === 'debug' || level === 'warn' || level === 'error' ? level : 'info';
}

/** Name, message and cause of an error; never its other properties, which may hold anything. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error';
  const name = error.name === 'Error' ? '' : `${error.name}: `;
  const cause = error.cause instanceof Error ? ` (${error.cause.name}: ${error.cause.message})` : '';
  return `${name}${error.message}${cause}`.slice(0, mostText);
}

function plain(value: unknown): unknown {
  if (value instanceof Error) return describeError(value);
  if (typeof value === 'string') return value.slice(0, mostText);
  if (typeof value === 'bigint') return value.toString();
  return value;
}

/** One line. Fields named like secrets are redacted, long texts are truncated. */
export function logLine(time: number, level: LogLevel, message: string, fields: LogFields): string {
  const line: Record<string, unknown> = {
    time: new Date(time).toISOString(),
    level,
    message: message.slice(0, mostText),
  };
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined || name in line) continue;
    line[name] = secretName.test(name) ? '[not logged]' : plain(value);
  }
  return JSON.stringify(line, (name, value: unknown) =>
    name !== '' && secretName.test(name) ? '[not logged]' : plain(value),
  );
}

export interface LogOptions {
  write: (line: string) => void;
  /** Milliseconds since 1970. */
  now: () => number;
  /** Fields of every line. */
  fields?: LogFields;
}

/** A log that writes lines of this level and above. */
export function createLog(level: LogLevel, options: LogOptions): Log {
  const { fields = {}, write, now } = options;
  const at = (lineLevel: LogLevel) => (message: string, more?: LogFields) => {
    if (order[lineLevel] < order[level]) return;
    write(logLine(now(), lineLevel, message, { ...fields, ...more }));
  };
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    with: (more) => createLog(level, { fields: { ...fields, ...more }, write, now }),
  };
}

/** Writes nothing. */
export const silentLog: Log = createLog('error', { write: () => undefined, now: () => 0 });
