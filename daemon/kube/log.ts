/** The daemon's log: on standard error, with the machine's clock. */
import * as shared from '../../shared/log.ts';

export { levelOf, silentLog, type Log, type LogFields, type LogLevel } from '../../shared/log.ts';

const toStandardError = (line: string) => void process.stderr.write(`${line}\n`);

/** Creates a log that writes lines of the level and above. */
export function createLog(
  level: shared.LogLevel = 'info',
  options: Partial<shared.LogOptions> = {},
): shared.Log {
  return shared.createLog(level, { write: toStandardError, now: Date.now, ...options });
}
