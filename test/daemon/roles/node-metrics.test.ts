/** The node's metrics in text form: Prometheus can parse every line. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { nodeMetricsText, type NodeMetricsInput } from '../../../daemon/roles/node-metrics.ts';

const test = suite('node metrics');

const input = {
  role: {
    counters: () => ({ planned: 3, hostFailures: 1 }),
    sessions: () => [
      {
        remoteCluster: 'milan"',
        tunnelEndpoint: '0',
        publicKey: 'k',
        pathVerified: true,
        roundTripMilliseconds: 12,
        receivedBytes: 5,
        sentBytes: 6,
        drops: { 'not-allowed': 2 },
      },
    ],
    drops: () => ({ 'unknown-peer': 4 }),
    refusals: () => [{ remoteCluster: 'milan', reason: 'Foreign', packets: 7 }],
    informers: () => [
      { kind: { kind: 'Pod' }, failure: undefined },
      { kind: { kind: 'Pod' }, failure: 'refused' },
    ],
  },
  inBand: { counters: () => ({ gateway: { active: 1, connectFailed: 2 } }) },
} as unknown as NodeMetricsInput;

test('node metrics - with sessions, drops and refusals - are valid exposition text', () => {
  const lines = nodeMetricsText(input).trimEnd().split('\n');
  const sample = /^[a-z_]+(\{([a-z_]+="([^"\\\n]|\\["\\n])*",?)+\})? (NaN|[+-]Inf|-?[0-9.e+-]+)$/;
  for (const line of lines) assert.ok(line.startsWith('# ') || sample.test(line), line);
  for (const expected of [
    'hawser_node_host_failures_total 1',
    'hawser_tunnel_round_trip_seconds{remote_cluster="milan\\"",tunnel_endpoint="0"} 0.012',
    'hawser_tunnel_drops_total{remote_cluster="milan\\"",tunnel_endpoint="0",reason="not-allowed"} 2',
    'hawser_tunnel_drops_total{remote_cluster="",tunnel_endpoint="",reason="unknown-peer"} 4',
    'hawser_refusals_total{remote_cluster="milan",reason="Foreign"} 7',
    'hawser_inband_connections_total{target="gateway",outcome="connect_failed"} 2',
    'hawser_inband_connections{target="gateway"} 1',
    'hawser_informer_watching{kind="Pod"} 0',
  ])
    assert.ok(lines.includes(expected), `${expected}\n${lines.join('\n')}`);
});

test.run();
