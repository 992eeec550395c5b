/** The node role as a separate process, for tests that run it in a network namespace. */
import { createLog, levelOf } from '../../../daemon/kube/index.ts';
import { runNodeWith } from '../../../daemon/roles/node.ts';
import { connectKube } from '../../../daemon/clients/kubernetes/index.ts';
import { defaultConnection } from '../../../daemon/clients/kubernetes/kubeconfig.ts';

const ending = new AbortController();
process.once('SIGTERM', () => ending.abort(new Error('asked to end')));
const kube = connectKube(await defaultConnection(process.env));
await runNodeWith(
  { kube, log: createLog(levelOf(process.env['LOG_LEVEL'])), environment: process.env, probePort: 0 },
  ending.signal,
);
kube.close();
