/** `hawser tunnel …` without the rest of the command line: `node program.ts tunnel [-f] NAME`. */
import { runTunnel } from '../../daemon/roles/tunnel.ts';

const controller = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => controller.abort());
process.exitCode = await runTunnel(process.argv.slice(3), controller.signal);
