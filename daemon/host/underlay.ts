/** The network below the tunnel: by which device this node reaches the others. */
import { z } from 'zod';
import { runChecked, type RunCommand } from './command.ts';

const shape = z.array(
  z.looseObject({
    ifname: z.string(),
    mtu: z.number(),
    addr_info: z.array(z.looseObject({ local: z.string().optional() })),
  }),
);

/** MTU of the device that holds the address; undefined when none does (behind a translation, for example). */
export async function underlayMTU(
  run: RunCommand,
  address: string,
  signal: AbortSignal,
): Promise<number | undefined> {
  const links = shape.parse(JSON.parse(await runChecked(run, 'ip', ['-json', 'addr', 'show'], { signal })));
  return links.find((link) => link.addr_info.some(({ local }) => local === address))?.mtu;
}
