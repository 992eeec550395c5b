/** Metrics of a process in Prometheus' text format, and its probes, over plain HTTP. */
import { createServer } from 'node:http';
import type { ControllerMetrics } from '../kube/controller.ts';
import type { Informer } from '../kube/informer.ts';

export interface Metrics extends ControllerMetrics {
  /** The text that `/metrics` answers with. */
  text(informers: readonly Informer[], leading: boolean): string;
}

/** Upper bounds in seconds: a reconcile is a few requests of some milliseconds. */
const bounds = [0.005, 0.025, 0.1, 0.5, 2.5, 10];

/** Remote clusters times kinds of refusals. */
const mostRefusals = 4096;

interface Series {
  succeeded: number;
  failed: number;
  seconds: number;
  buckets: number[];
  waiting: number;
}

/** Counters, empty. */
export function createMetrics(): Metrics {
  const controllers = new Map<string, Series>();
  const refusals = new Map<string, number>();
  const of = (name: string): Series => {
    let series = controllers.get(name);
    if (series === undefined) {
      series = { succeeded: 0, failed: 0, seconds: 0, buckets: bounds.map(() => 0), waiting: 0 };
      controllers.set(name, series);
    }
    return series;
  };
  return {
    reconciled(name, outcome, seconds) {
      const series = of(name);
      series[outcome]++;
      series.seconds += seconds;
      bounds.forEach((bound, index) => {
        if (seconds <= bound) series.buckets[index]!++;
      });
    },
    queued(name, waiting) {
      of(name).waiting = waiting;
    },
    refused(remoteCluster, what) {
      const labels = `{remote_cluster="${remoteCluster}",what="${what}"}`;
      if (refusals.size < mostRefusals || refusals.has(labels))
        refusals.set(labels, (refusals.get(labels) ?? 0) + 1);
    },
    text(informers, leading) {
      const lines: string[] = [];
      const metric = (name: string, type: string, help: string, values: [string, number][]) => {
        lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
        for (const [labels, value] of values) lines.push(`${name}${labels} ${value}`);
      };
      const each = [...controllers];
      metric(
        'hawser_reconciles_total',
        'counter',
        'Reconciles by controller and outcome.',
        each.flatMap(([name, series]): [string, number][] => [
          [`{controller="${name}",outcome="succeeded"}`, series.succeeded],
          [`{controller="${name}",outcome="failed"}`, series.failed],
        ]),
      );
      lines.push(
        '# HELP hawser_reconcile_seconds Duration of reconciles.',
        '# TYPE hawser_reconcile_seconds histogram',
      );
      for (const [name, series] of each) {
        const count = series.succeeded + series.failed;
        bounds.forEach((bound, index) =>
          lines.push(
            `hawser_reconcile_seconds_bucket{controller="${name}",le="${bound}"} ${series.buckets[index]}`,
          ),
        );
        lines.push(
          `hawser_reconcile_seconds_bucket{controller="${name}",le="+Inf"} ${count}`,
          `hawser_reconcile_seconds_sum{controller="${name}"} ${series.seconds}`,
          `hawser_reconcile_seconds_count{controller="${name}"} ${count}`,
        );
      }
      metric(
        'hawser_queue_keys',
        'gauge',
        'Keys that wait for a reconcile.',
        each.map(([name, series]) => [`{controller="${name}"}`, series.waiting]),
      );
      metric(
        'hawser_refusals_total',
        'counter',
        'What remote clusters asked for or said and was refused, by remote cluster and kind.',
        [...refusals],
      );
      metric(
        'hawser_informer_contact_seconds',
        'gauge',
        'When the API server last said anything on a kind, seconds since 1970.',
        informers.map((informer) => [`{kind="${informer.kind.kind}"}`, informer.contactedAt / 1000]),
      );
      metric(
        'hawser_informer_watching',
        'gauge',
        'Whether a kind is being watched.',
        informers.map((informer) => [
          `{kind="${informer.kind.kind}"}`,
          informer.failure === undefined ? 1 : 0,
        ]),
      );
      metric('hawser_leading', 'gauge', 'Whether this process leads.', [['', leading ? 1 : 0]]);
      metric('process_resident_memory_bytes', 'gauge', 'Resident memory.', [['', process.memoryUsage.rss()]]);
      metric('process_start_time_seconds', 'gauge', 'Start of the process, seconds since 1970.', [
        ['', performance.timeOrigin / 1000],
      ]);
      const cpu = process.cpuUsage();
      metric('process_cpu_seconds_total', 'counter', 'User and system time.', [
        ['', (cpu.user + cpu.system) / 1e6],
      ]);
      return `${lines.join('\n')}\n`;
    },
  };
}

export interface ProbeOptions {
  port: number;
  host?: string;
  /** Why the process isn't ready; undefined: it is. */
  notReady(): string | undefined;
  metrics(): string;
}

/**
 * Serves `/livez`, `/readyz` and `/metrics` until the signal is aborted. `/livez` answers as long as the event loop
 * turns: it never asks the API server, so that an outage there restarts nothing here.
 */
export async function serveProbes(options: ProbeOptions, signal: AbortSignal): Promise<void> {
  const server = createServer({ requestTimeout: 10_000, headersTimeout: 5000 }, (request, response) => {
    const path = request.url?.split('?')[0];
    const answer = (status: number, text: string) => {
      response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
      response.end(text);
    };
    if (request.method !== 'GET' && request.method !== 'HEAD') answer(405, 'only GET\n');
    else if (path === '/livez') answer(200, 'ok\n');
    else if (path === '/readyz') {
      const why = options.notReady();
      answer(why === undefined ? 200 : 503, `${why ?? 'ok'}\n`);
    } else if (path === '/metrics') answer(200, options.metrics());
    else answer(404, '/livez, /readyz and /metrics are here\n');
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
