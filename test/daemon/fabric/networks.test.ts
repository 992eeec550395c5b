/** The networks that a node reports as used, and how it finds the API server's addresses. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ApiServerAddresses } from '../../../daemon/fabric/node/api-server.ts';
import { refusedProblems, reportNetworks } from '../../../daemon/fabric/node/networks.ts';
import { silentLog } from '../../../daemon/kube/index.ts';
import { maximumNetworks } from '../../../shared/api/network.ts';
import { contains, parseRange } from '../../../shared/net/cidr.ts';
import type { Clock } from '../../../shared/time.ts';

test('a node reports routes, resolvers and the API server, but no ranges of the CNI or of its own', () => {
  const reported = reportNetworks({
    routes: ['192.168.50.0/24', '10.244.1.0/24', '10.0.0.0/8'],
    resolvers: ['10.96.0.10', '127.0.0.53', '10.96.0.10', 'nonsense'],
    apiServer: ['192.0.2.10', '2001:db8::1'],
    podRanges: ['10.244.0.0/16'],
  });
  assert.equal(reported, [
    { range: '10.0.0.0/8', what: 'Route' },
    { range: '192.168.50.0/24', what: 'Route' },
    { range: '10.96.0.10/32', what: 'Resolver' },
    { range: '192.0.2.10/32', what: 'APIServer' },
    { range: '2001:db8::1/128', what: 'APIServer' },
  ]);
});

test('routes beyond the limit are aggregated, and none is left out', () => {
  const routes = Array.from({ length: 500 }, (_, index) => `10.${index & 255}.${index >> 8}.0/24`);
  const reported = reportNetworks({ routes, resolvers: [], apiServer: [], podRanges: [] });
  assert.ok(reported.length <= maximumNetworks);
  const wide = reported.map(({ range }) => parseRange(range));
  for (const text of routes)
    assert.ok(
      wide.some((range) => contains(range, parseRange(text))),
      text,
    );
});

test('a refused route is a host problem that names the range to be covered', () => {
  const needed = { range: '192.0.2.10/32', what: 'the API server' };
  const [problem] = refusedProblems([{ prefix: '192.0.2.0/24', needed }]);
  assert.is(problem?.reason, 'RouteRefused');
  assert.match(problem?.message ?? '', /192\.0\.2\.0\/24 .* would cover 192\.0\.2\.10\/32, the API server/);
});

test('addresses of the API server’s name accumulate, and stay when DNS fails', async () => {
  const ending = new AbortController();
  const answers = [['192.0.2.1'], undefined, ['192.0.2.2', '192.0.2.1']];
  let changes = 0;
  // Each wait ends as soon as nothing else is pending.
  const clock: Clock = {
    now: () => 0,
    monotonic: () => 0,
    after: (_milliseconds, call) => {
      const timer = setImmediate(call);
      return () => clearImmediate(timer);
    },
  };
  const known = new ApiServerAddresses({
    host: 'api.example',
    resolve: async () => {
      const answer = answers.shift();
      if (answers.length === 0) ending.abort();
      if (answer === undefined) throw new Error('no answer');
      return answer;
    },
    onChange: () => changes++,
    clock,
    log: silentLog,
  });
  await known.run(ending.signal);
  assert.equal(known.addresses, ['192.0.2.2', '192.0.2.1']);
  assert.is(changes, 2);
  const literal = { resolve: async () => [], onChange: () => {}, clock, log: silentLog };
  assert.equal(new ApiServerAddresses({ ...literal, host: '192.0.2.9' }).addresses, ['192.0.2.9']);
  assert.equal(new ApiServerAddresses({ ...literal, host: undefined }).addresses, []);
});

test.run();
