/**
 * One consumer and several light providers at once: the code of `npm run bench:peering -- --providers …` with few providers, so
 * that the bench keeps working.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { growthTable, measureGrowth } from '../../bench/peering/growth.ts';

const test = suite('one consumer, many providers');
const providers = 3;

test('all become Ready with the real gateway and tunnel, costs are measured, and all end', async () => {
  const results = await measureGrowth({
    bedName: 'many-light',
    counts: [providers],
    restSeconds: 1,
    deadlineSeconds: 180,
    log: () => undefined,
  });
  const [result] = results;
  assert.ok(result !== undefined);
  assert.is(result.providers, providers);
  // Every provider passed every phase, since the measurement waits for all of them.
  for (const phase of ['IdentityValid', 'Negotiated', 'NodeReady', 'Ready'])
    assert.ok(result.phases[phase] !== undefined, phase);
  const parts = ['controller', 'gateway', 'node rome-n1', 'node rome-n2', 'etcd', 'kube-apiserver'];
  for (const part of [...parts, 'light providers 0']) {
    const use = result.processes.find(({ what }) => what === part);
    assert.ok((use?.residentMiB ?? 0) > 0, part);
  }
  // No durations are judged here, but the number of API requests is similar on every machine.
  assert.ok(result.requests > 10 * providers && result.requests < 400 * providers, `${result.requests}`);
  assert.ok(result.bytes > 10_000 * providers, `${result.bytes}`);
  assert.ok((result.rest?.requestsPerSecond ?? Infinity) < 50);
  assert.match(growthTable(results).join('\n'), /^seconds until all are Ready +\d/m);
});

test.run();
