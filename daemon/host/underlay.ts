/** The network below the tunnel: the device by which this node reaches the others. */
import { runChecked, type RunCommand } from './command.ts';
import { numberOf, readRecords, recordsOf } from './tool-output.ts';

/** MTU of the device that holds the address; undefined when none does (behind NAT, for example). */
export async function underlayMTU(
  run: RunCommand,
  address: string,
  signal: AbortSignal,
): Promise<number | undefined> {
  const links = readRecords(await runChecked(run, 'ip', ['-json', 'addr', 'show'], { signal }));
  const holder = links.find((link) => recordsOf(link['addr_info']).some(({ local }) => local === address));
  return numberOf(holder?.['mtu']);
}
