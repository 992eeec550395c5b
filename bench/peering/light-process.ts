/**
 * Many light providers in one process in its own network namespace. Its configuration is one line of JSON on standard input; it
 * prints its providers' peering tokens in one line, and ends at the end of its input.
 */
import { createInterface } from 'node:readline';
import { LightProvider, type SharedServer } from './light-provider.ts';

export interface LightProcessOptions {
  first: number;
  count: number;
  address: string;
  server: SharedServer;
}

const lines = createInterface({ input: process.stdin });
const providers: LightProvider[] = [];
lines.once('line', (line) => {
  const { first, count, address, server } = JSON.parse(line) as LightProcessOptions;
  void (async () => {
    for (let index = first; index < first + count; index++) {
      const provider = new LightProvider({ index, address, server });
      providers.push(provider);
      await provider.start();
    }
    console.log(JSON.stringify(providers.map((provider) => provider.issueToken())));
  })().catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
});
lines.once('close', () => {
  for (const provider of providers) provider.close();
  process.exit(0);
});
