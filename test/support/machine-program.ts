/** The programs of this machine, where npm's packages bring others of the same name. */
import { existsSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { join } from 'node:path';

/** Of the programs in PATH the first that npm did not bring: what a user would start. Throws where there is none. */
export async function machineProgram(name: string): Promise<string> {
  const directories = (process.env['PATH'] ?? '').split(':').filter((path) => !path.includes('node_modules'));
  const found = directories.map((directory) => join(directory, name)).find((path) => existsSync(path));
  if (found === undefined) throw new Error(`there is no ${name} in PATH but that of node_modules`);
  return realpath(found);
}
