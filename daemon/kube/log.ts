/** Logs: one JSON object a line on standard error, never a secret. */

export type Level = 'debug' | 'info' | 'warn' | 'error';
export type Fields = Record<string, unknown>;

export interface Log {
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
  /** The same log with these fields on every line. */
  with(fields: Fields): Log;
}

const order: Record<Level, number> = { debug: 0, info: 1, warn: 2, error: 3 };
/** Belt to the braces: whoever logs a secret by mistake logs its absence. */
const secretName = /secret$|token$|private_?key|password|authorization|psk$|^data$|stringdata/i;
const mostText = 4000;

/** LOG_LEVEL of the environment; `info` when it is none of the levels. */
export function levelOf(text: string | undefined): Level {
  return text === 'debug' || text === 'warn' || text === 'error' ? text : 'info';
}

function plain(value: unknown): unknown {
  if (value instanceof Error) return value.message.slice(0, mostText);
  if (typeof value === 'string') return value.slice(0, mostText);
  if (typeof value === 'bigint') return value.toString();
  return value;
}

/** One line, as it is written. Fields named like secrets are replaced. Exported for its test. */
export function logLine(time: number, level: Level, message: string, fields: Fields): string {
  const line: Fields = { time: new Date(time).toISOString(), level, message: message.slice(0, mostText) };
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined || name in line) continue;
    line[name] = secretName.test(name) ? '[not logged]' : plain(value);
  }
  return JSON.stringify(line, (name, value: unknown) =>
    name !== '' && secretName.test(name) ? '[not logged]' : plain(value),
  );
}

export interface LogOptions {
  /** On every line. */
  fields?: Fields;
  write?: (line: string) => void;
  now?: () => number;
}

const toStandardError = (line: string) => void process.stderr.write(`${line}\n`);

/** A log that writes lines of the level and above. */
export function createLog(level: Level = 'info', options: LogOptions = {}): Log {
  const { fields = {}, write = toStandardError, now = Date.now } = options;
  const at = (lineLevel: Level) => (message: string, more?: Fields) => {
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

/** Says nothing: for tests. */
export const silentLog: Log = createLog('error', { write: () => undefined });
