/** Serves a process's metrics in Prometheus' text format and its probes over plain HTTP. */
import { createServer } from 'node:http';
import {
  Histogram,
  labelText,
  metricsContentType,
  renderMetrics,
  type Labels,
  type MetricFamily,
  type Sample,
} from '../../shared/metrics.ts';
import type { ControllerMetrics } from '../kube/controller.ts';
import type { Informer } from '../../shared/kube/informer.ts';

export interface Metrics extends ControllerMetrics {
  /** The text of `/metrics`. */
  text(informers: readonly Informer[], leading: boolean): string;
}

/** Upper bounds in seconds: a reconcile is a few requests of some milliseconds. */
const bounds = [0.005, 0.025, 0.1, 0.5, 2.5, 10];

/** Maximum number of series (remote clusters times reasons); the rest is counted in one series. */
const mostRefusals = 4096;

interface Series {
  succeeded: number;
  failed: number;
  seconds: Histogram;
  waiting: number;
}

/** Creates the counters. */
export function createMetrics(): Metrics {
  const controllers = new Map<string, Series>();
  const refusals = new Map<string, { labels: Labels; value: number }>();
  const of = (name: string): Series => {
    let series = controllers.get(name);
    if (series === undefined) {
      series = { succeeded: 0, failed: 0, seconds: new Histogram(bounds), waiting: 0 };
      controllers.set(name, series);
    }
    return series;
  };
  const refusal = (remoteCluster: string, reason: string) => {
    const labels = { remote_cluster: remoteCluster, reason };
    const key = labelText(labels);
    let series = refusals.get(key);
    if (series === undefined) refusals.set(key, (series = { labels, value: 0 }));
    return series;
  };
  return {
    reconciled(name, outcome, seconds) {
      const series = of(name);
      series[outcome]++;
      series.seconds.observe(seconds);
    },
    queued(name, waiting) {
      of(name).waiting = waiting;
    },
    refused(remoteCluster, reason) {
      const known = refusals.has(labelText({ remote_cluster: remoteCluster, reason }));
      (known || refusals.size < mostRefusals ? refusal(remoteCluster, reason) : refusal('', 'Other')).value++;
    },
    text: (informers, leading) => renderMetrics(families(controllers, refusals.values(), informers, leading)),
  };
}

function families(
  controllers: ReadonlyMap<string, Series>,
  refusals: Iterable<Sample>,
  informers: readonly Informer[],
  leading: boolean,
): MetricFamily[] {
  const each = [...controllers].map(([controller, series]) => ({ labels: { controller }, series }));
  const cpu = process.cpuUsage();
  return [
    {
      name: 'hawser_reconciles_total',
      type: 'counter',
      help: 'Number of reconciles by controller and outcome.',
      samples: each.flatMap(({ labels, series }) => [
        { labels: { ...labels, outcome: 'succeeded' }, value: series.succeeded },
        { labels: { ...labels, outcome: 'failed' }, value: series.failed },
      ]),
    },
    {
      name: 'hawser_reconcile_seconds',
      type: 'histogram',
      help: 'Duration of reconciles.',
      samples: each.flatMap(({ labels, series }) => series.seconds.samples(labels)),
    },
    {
      name: 'hawser_queue_keys',
      type: 'gauge',
      help: 'Number of keys waiting for a reconcile.',
      samples: each.map(({ labels, series }) => ({ labels, value: series.waiting })),
    },
    {
      name: 'hawser_refusals_total',
      type: 'counter',
      help: 'Requests and statements of remote clusters that were refused, by remote cluster and reason.',
      samples: [...refusals],
    },
    {
      name: 'hawser_informer_contact_seconds',
      type: 'gauge',
      help: 'Time of the last message from the API server about a kind, seconds since 1970.',
      samples: informers.map((informer) => ({
        labels: { kind: informer.kind.kind },
        value: informer.contactedAt / 1000,
      })),
    },
    {
      name: 'hawser_informer_watching',
      type: 'gauge',
      help: 'Whether the watch of a kind works (1) or fails (0).',
      samples: informers.map((informer) => ({
        labels: { kind: informer.kind.kind },
        value: informer.failure === undefined ? 1 : 0,
      })),
    },
    {
      name: 'hawser_leading',
      type: 'gauge',
      help: 'Whether this process leads.',
      samples: [{ value: leading ? 1 : 0 }],
    },
    residentMemory(),
    {
      name: 'process_start_time_seconds',
      type: 'gauge',
      help: 'Start of the process, seconds since 1970.',
      samples: [{ value: performance.timeOrigin / 1000 }],
    },
    {
      name: 'process_cpu_seconds_total',
      type: 'counter',
      help: 'User and system CPU time, seconds.',
      samples: [{ value: (cpu.user + cpu.system) / 1e6 }],
    },
  ];
}

/** Metrics of this process. */
export const residentMemory = (): MetricFamily => ({
  name: 'process_resident_memory_bytes',
  type: 'gauge',
  help: 'Resident memory, bytes.',
  samples: [{ value: process.memoryUsage.rss() }],
});

export interface ProbeOptions {
  port: number;
  host?: string;
  /** Why the process isn't ready; undefined if it is. */
  notReady(): string | undefined;
  metrics(): string;
}

/**
 * Serves `/livez`, `/readyz` and `/metrics` until the signal is aborted. `/livez` answers as long as the event loop runs: it
 * does not depend on the API server, whose outage must not restart this process.
 */
export async function serveProbes(options: ProbeOptions, signal: AbortSignal): Promise<void> {
  const server = createServer({ requestTimeout: 10_000, headersTimeout: 5000 }, (request, response) => {
    const path = request.url?.split('?')[0];
    const answer = (status: number, text: string, type = 'text/plain; charset=utf-8') => {
      response.writeHead(status, { 'content-type': type });
      response.end(text);
    };
    if (request.method !== 'GET' && request.method !== 'HEAD') answer(405, 'Only GET is allowed here.\n');
    else if (path === '/livez') answer(200, 'ok\n');
    else if (path === '/readyz') {
      const why = options.notReady();
      answer(why === undefined ? 200 : 503, `${why ?? 'ok'}\n`);
    } else if (path === '/metrics') answer(200, options.metrics(), metricsContentType);
    else answer(404, 'Not found. Paths: /livez, /readyz, /metrics.\n');
  });
  server.maxConnections = 64;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.once('close', resolve);
    const close = () => {
      server.close();
      server.closeAllConnections();
    };
    if (signal.aborted) return resolve();
    signal.addEventListener('abort', close, { once: true });
    server.listen(options.port, options.host);
  });
}
