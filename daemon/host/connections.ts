/** Connection tracking (conntrack): the first packet of a connection determines the translation of all others. */
import { parseRange } from '../../shared/net/cidr.ts';
import { CommandError, type RunCommand } from './command.ts';

/** Removes the connections to these ranges, so that the present rules translate their next packets. */
export async function forgetConnections(
  run: RunCommand,
  ranges: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  for (const range of ranges) {
    const family = parseRange(range).family === 4 ? 'ipv4' : 'ipv6';
    const answer = await run('conntrack', ['-D', '-f', family, '-d', range], { signal });
    // If there is nothing to delete, conntrack exits with 1 and prints this.
    if (answer.code === 0 || /\b0 flow entries have been deleted/.test(answer.stderr)) continue;
    throw new CommandError(`conntrack -D -d ${range}`, answer.stderr.trim().slice(0, 1000) || 'no message');
  }
}
