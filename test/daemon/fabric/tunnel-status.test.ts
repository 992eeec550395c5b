/** Which tunnels are evaluated again after a node's report. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { remotesConcerned } from '../../../daemon/fabric/controller/tunnel-status.ts';
import { apiVersion } from '../../../shared/api/meta.ts';
import type { FabricNode, NodeSession } from '../../../shared/api/network.ts';

const test = suite('remotes affected by a node’s report');

const session = (remoteCluster: string, more: Partial<NodeSession> = {}): NodeSession => ({
  remoteCluster,
  tunnelEndpoint: '0',
  endpoint: '192.0.2.1:7470',
  latestHandshake: '2026-01-01T00:00:00Z',
  pathVerified: true,
  pathMessage: 'it answers',
  probedAt: '2026-01-01T00:00:10Z',
  roundTripMilliseconds: 1,
  receivedBytes: 1,
  sentBytes: 1,
  ...more,
});
const report = (sessions: NodeSession[], heldTunnelEndpoint = '0'): FabricNode => ({
  apiVersion,
  kind: 'FabricNode',
  metadata: { name: 'n1' },
  spec: { tunnelEndpoint: '0' },
  status: { heldTunnelEndpoint, sessions },
});
const before = report([session('a'), session('b')]);

for (const [what, after, concerned] of [
  [
    'counters alone: none',
    report([session('a', { receivedBytes: 9, drops: { replay: 1 } }), session('b')]),
    [],
  ],
  ['a later probe: none', report([session('a', { probedAt: '2026-01-01T00:00:20Z' }), session('b')]), []],
  ['a path that broke', report([session('a', { pathVerified: false }), session('b')]), ['a']],
  [
    'another handshake',
    report([session('a'), session('b', { latestHandshake: '2026-01-01T00:02:00Z' })]),
    ['b'],
  ],
  ['another endpoint', report([session('a', { endpoint: '192.0.2.9:1' }), session('b')]), ['a']],
  ['other words', report([session('a', { pathMessage: 'and sees us' }), session('b')]), ['a']],
  [
    'a report after long silence',
    report([session('a', { probedAt: '2026-01-01T00:01:00Z' }), session('b')]),
    ['a'],
  ],
  ['a new remote', report([session('a'), session('b'), session('c')]), ['c']],
  ['a remote that went', report([session('a')]), ['b']],
] as const)
  test(what, () => {
    assert.equal(remotesConcerned(after, before), concerned);
  });

test('all remotes are affected when a node is added, removed, or takes a tunnel endpoint over', () => {
  assert.is(remotesConcerned(before, undefined), undefined);
  assert.is(remotesConcerned(undefined, before), undefined);
  assert.is(remotesConcerned(before, report([session('a')], '1')), undefined);
});

test.run();
