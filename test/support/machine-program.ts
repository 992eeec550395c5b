/** Finds programs of this machine where npm packages bring others of the same name. */
import { existsSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { join } from 'node:path';

/** The first program in PATH that is not from npm, as a user would start it. Throws if there is none. */
export async function machineProgram(name: string): Promise<string> {
  const directories = (process.env['PATH'] ?? '').split(':').filter((path) => !path.includes('node_modules'));
  const found = directories.map((directory) => join(directory, name)).find((path) => existsSync(path));
  if (found === undefined) throw new Error(`there is no ${name} in PATH but that of node_modules`);
  return realpath(found);
}
