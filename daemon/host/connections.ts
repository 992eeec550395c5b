/** The kernel's memory of connections (conntrack), of which the first packet decides how all others are translated. */
import { parseRange } from '../../shared/net/cidr.ts';
import { CommandError, type RunCommand } from './command.ts';

/** Removes the connections to these ranges: their next packets are translated by the rules of now. */
export async function forgetConnections(
  run: RunCommand,
  ranges: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  for (const range of ranges) {
    const family = parseRange(range).family === 4 ? 'ipv4' : 'ipv6';
    const answer = await run('conntrack', ['-D', '-f', family, '-d', range], { signal });
    // With nothing to delete it ends with 1, and says so.
    if (answer.code === 0 || /\b0 flow entries have been deleted/.test(answer.stderr)) continue;
    throw new CommandError(`conntrack -D -d ${range}`, answer.stderr.trim().slice(0, 1000) || 'no message');
  }
}
