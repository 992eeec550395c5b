/** By which devices a node's pods are reached, whatever its network plugin: a bridge, or one device for each pod. */
import { addressFamily } from '../../shared/net/cidr.ts';
import type { RunCommand } from './command.ts';
import { readRecords, textOf } from './tool-output.ts';

/** Never one by which the node itself reaches the world: an address that has gone may be looked for there. */
export async function findPodDevices(
  run: RunCommand,
  addresses: readonly string[],
  signal: AbortSignal,
): Promise<string[]> {
  const families = [4, 6] as const;
  const found = await Promise.all(
    families.map(async (family) => {
      const ofFamily = addresses.filter((address) => addressFamily(address) === family);
      const [ways, defaults] = await Promise.all([
        ofFamily.length === 0
          ? []
          : ask(
              run,
              family,
              ofFamily.map((each) => `route get ${each}`),
              signal,
            ),
        ask(run, family, ['route show default'], signal),
      ]);
      return { ways, defaults };
    }),
  );
  const toCaches = new Set(found.flatMap(({ defaults }) => defaults).map(({ dev }) => textOf(dev)));
  const direct = found
    .flatMap(({ ways }) => ways)
    .filter(({ gateway, via, type }) => gateway === undefined && via === undefined && type !== 'local')
    .flatMap(({ dev }) => textOf(dev) ?? []);
  return [...new Set(direct)].filter((name) => name !== 'lo' && !toCaches.has(name)).toSorted();
}

/** One line of JSON for each question that has an answer. */
async function ask(run: RunCommand, family: 4 | 6, questions: readonly string[], signal: AbortSignal) {
  const input = `${questions.join('\n')}\n`;
  const { stdout } = await run('ip', [`-${family}`, '-json', '-force', '-batch', '-'], { input, signal });
  return stdout.split('\n').flatMap((line) => readRecords(line));
}
