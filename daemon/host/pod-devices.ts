/** Finds the devices by which a node's pods are reached: with some CNIs a bridge, with others one device per pod. */
import { addressFamily } from '../../shared/net/cidr.ts';
import type { RunCommand } from './command.ts';
import { readRecords, textOf } from './tool-output.ts';

/** Never the device of the default route, to which the route of a pod that no longer exists resolves. */
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

/** One line of JSON per successful query. */
async function ask(run: RunCommand, family: 4 | 6, questions: readonly string[], signal: AbortSignal) {
  const input = `${questions.join('\n')}\n`;
  const { stdout } = await run('ip', [`-${family}`, '-json', '-force', '-batch', '-'], { input, signal });
  return stdout.split('\n').flatMap((line) => readRecords(line));
}
