/** Reachability checks against a server that answers, is silent, drops one request, or refuses. */
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { systemClock } from '../../../shared/time.ts';
import { measureReachability } from '../../../daemon/peers/reachability.ts';
import { eventually } from '../../support/workload.ts';
import { connectKube } from '../../../daemon/clients/kubernetes/index.ts';

type Way = 'answers' | 'silent' | 'loses one' | 'refuses';

const test = suite('reachability');
const stop = new AbortController();
const kept: ServerResponse[] = [];
let way: Way = 'answers';
const server = createServer((_request, response) => {
  if (way === 'silent' || way === 'loses one') {
    kept.push(response);
    if (way === 'loses one') way = 'answers';
    return;
  }
  response.writeHead(way === 'answers' ? 200 : 403, { 'content-type': 'application/json' }).end('{}');
});

test.after(async () => {
  stop.abort();
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
});

test('a provider’s API server - silent, refusing or back - is reported, one lost answer is not', async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const told: string[] = [];
  const askNow = measureReachability(
    {
      client: connectKube({ url: `http://127.0.0.1:${port}` }),
      path: '/',
      clock: systemClock,
      report: ({ state, message }) => told.push(`${state}: ${message}`),
    },
    stop.signal,
  );
  const last = (pattern: RegExp) =>
    eventually(String(pattern), 60, async () => pattern.test(told.at(-1) ?? ''));
  await last(/^Reachable: the API server answers$/);
  way = 'loses one';
  askNow();
  await eventually('one to be lost', 30, async () => kept.length === 1);
  way = 'silent';
  await last(/^Unreachable: .*no answer within/);
  way = 'answers';
  await last(/^Reachable/);
  way = 'refuses';
  askNow();
  await last(/^Unreachable: the API server refuses this cluster's identity \(403\)$/);
  assert.equal(
    told.map((each) => each.split(':')[0]),
    ['Reachable', 'Unreachable', 'Reachable', 'Unreachable'],
  );
});

test.run();
