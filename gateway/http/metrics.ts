/** The API gateway's counters. Bounded: label values come from fixed sets only. */
import { Histogram, labelText, renderMetrics, type Labels, type MetricFamily } from '../../shared/metrics.ts';

/** Bucket bounds in seconds; an answer without API calls takes milliseconds, a redemption up to the tenant's deadline. */
const BUCKETS = [0.005, 0.02, 0.1, 0.5, 2, 10] as const;

interface Family {
  help: string;
  type: MetricFamily['type'];
  /** By the text of the labels. */
  series: Map<string, { labels: Labels; value: number; histogram?: Histogram }>;
}

export class Metrics {
  readonly #families = new Map<string, Family>();
  readonly #gauges: (() => void)[] = [];

  count(name: string, help: string, labels: Labels = {}, by = 1): void {
    this.#series(name, help, 'counter', labels).value += by;
  }

  /** Reads a value at each scrape. */
  gauge(name: string, help: string, read: () => number, labels: Labels = {}): void {
    const series = this.#series(name, help, 'gauge', labels);
    this.#gauges.push(() => (series.value = read()));
  }

  observeSeconds(name: string, help: string, seconds: number, labels: Labels): void {
    const series = this.#series(name, help, 'histogram', labels);
    series.histogram ??= new Histogram(BUCKETS);
    series.histogram.observe(seconds);
  }

  render(): string {
    for (const read of this.#gauges) read();
    return renderMetrics(
      [...this.#families].map(([name, { help, type, series }]) => ({
        name,
        help,
        type,
        samples: [...series.values()].flatMap(({ labels, value, histogram }) =>
          histogram === undefined ? [{ labels, value }] : histogram.samples(labels),
        ),
      })),
    );
  }

  #series(name: string, help: string, type: Family['type'], labels: Labels) {
    let family = this.#families.get(name);
    if (family === undefined) this.#families.set(name, (family = { help, type, series: new Map() }));
    const key = labelText(labels);
    let series = family.series.get(key);
    if (series === undefined) family.series.set(key, (series = { labels, value: 0 }));
    return series;
  }
}
