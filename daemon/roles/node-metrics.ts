/** The node role's metrics. */
import { renderMetrics, type Labels, type MetricFamily, type Sample } from '../../shared/metrics.ts';
import type { FabricNodeRole } from '../fabric/node/index.ts';
import type { InBand } from '../inband/index.ts';
import { residentMemory } from './metrics.ts';

/** The parts of the node role and of the in-band server that metrics are computed from. */
export interface NodeMetricsInput {
  role: Pick<FabricNodeRole, 'counters' | 'sessions' | 'drops' | 'refusals' | 'informers'>;
  inBand: Pick<InBand, 'counters'>;
}

const snakeCase = (name: string) => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** The text of `/metrics`. */
export function nodeMetricsText(input: NodeMetricsInput): string {
  return renderMetrics([
    ...counters(input),
    ...tunnels(input),
    ...connections(input),
    watching(input),
    residentMemory(),
  ]);
}

function counters({ role }: NodeMetricsInput): MetricFamily[] {
  return Object.entries(role.counters()).map(([name, value]) => ({
    name: `hawser_node_${snakeCase(name)}_total`,
    type: 'counter',
    help: `Count of ${name} in the node daemon.`,
    samples: [{ value }],
  }));
}

function tunnels({ role }: NodeMetricsInput): MetricFamily[] {
  const sessions = role.sessions();
  type Session = (typeof sessions)[number];
  const labelsOf = ({ remoteCluster, tunnelEndpoint = '' }: Session): Labels => ({
    remote_cluster: remoteCluster,
    tunnel_endpoint: tunnelEndpoint,
  });
  const each = (read: (session: Session) => number): Sample[] =>
    sessions.map((session) => ({ labels: labelsOf(session), value: read(session) }));
  return [
    {
      name: 'hawser_tunnel_path_verified',
      type: 'gauge',
      help: 'Whether probes reach a remote and return (1) or not (0).',
      samples: each(({ pathVerified }) => (pathVerified ? 1 : 0)),
    },
    {
      name: 'hawser_tunnel_round_trip_seconds',
      type: 'gauge',
      help: 'Round-trip time of the last probe.',
      samples: each(({ roundTripMilliseconds }) => (roundTripMilliseconds ?? Number.NaN) / 1000),
    },
    {
      name: 'hawser_tunnel_received_bytes_total',
      type: 'counter',
      help: 'Authenticated bytes received through the tunnel.',
      samples: each(({ receivedBytes }) => receivedBytes),
    },
    {
      name: 'hawser_tunnel_sent_bytes_total',
      type: 'counter',
      help: 'Encrypted bytes sent through the tunnel.',
      samples: each(({ sentBytes }) => sentBytes),
    },
    {
      name: 'hawser_tunnel_drops_total',
      type: 'counter',
      help: 'Dropped packets by remote and reason; without a remote: packets of no known peer.',
      samples: [
        ...sessions.flatMap((session) =>
          Object.entries(session.drops ?? {}).map(([reason, value]) => ({
            labels: { ...labelsOf(session), reason },
            value,
          })),
        ),
        ...Object.entries(role.drops()).map(([reason, value]) => ({
          labels: { remote_cluster: '', tunnel_endpoint: '', reason },
          value: value ?? 0,
        })),
      ],
    },
    {
      name: 'hawser_refusals_total',
      type: 'counter',
      help: 'Packets of consumers’ pods that isolation dropped, by remote cluster and reason; without a remote cluster: from an address that was not known yet.',
      samples: role.refusals().map(({ remoteCluster, reason, packets }) => ({
        labels: { remote_cluster: remoteCluster, reason },
        value: packets,
      })),
    },
  ];
}

function connections({ inBand }: NodeMetricsInput): MetricFamily[] {
  const targets = Object.entries(inBand.counters());
  return [
    {
      name: 'hawser_inband_connections_total',
      type: 'counter',
      help: 'Connections of in-band consumers, by target and outcome.',
      samples: targets.flatMap(([target, { active: _now, ...outcomes }]) =>
        Object.entries(outcomes).map(([outcome, value]) => ({
          labels: { target, outcome: snakeCase(outcome) },
          value,
        })),
      ),
    },
    {
      name: 'hawser_inband_connections',
      type: 'gauge',
      help: 'Open connections of in-band consumers, by target.',
      samples: targets.map(([target, { active }]) => ({ labels: { target }, value: active })),
    },
  ];
}

/** Of two informers of one kind (this node's pods, and all pods) a failing one takes precedence. */
function watching({ role }: NodeMetricsInput): MetricFamily {
  return {
    name: 'hawser_informer_watching',
    type: 'gauge',
    help: 'Whether the watch of a kind works (1) or fails (0).',
    samples: [...Map.groupBy(role.informers(), ({ kind }) => kind.kind)].map(([kind, all]) => ({
      labels: { kind },
      value: all.every(({ failure }) => failure === undefined) ? 1 : 0,
    })),
  };
}
