/**
 * Metrics in Prometheus' text format (exposition format 0.0.4), for all processes. Each feature bounds the number of its
 * series: label values come from fixed sets, or the map of counts has a limit.
 */
export const metricsContentType = 'text/plain; version=0.0.4; charset=utf-8';

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  labels?: Labels;
  value: number;
  /** Which series of a histogram. */
  suffix?: '_bucket' | '_sum' | '_count';
}

export interface MetricFamily {
  name: string;
  type: 'counter' | 'gauge' | 'histogram';
  help: string;
  samples: readonly Sample[];
}

/** Label values are free text: backslash, quote and line feed are escaped. */
export function labelText(labels: Labels = {}): string {
  const entries = Object.entries(labels).map(
    ([name, value]) => `${name}="${value.replace(/["\\\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`))}"`,
  );
  return entries.length === 0 ? '' : `{${entries.join(',')}}`;
}

/** The response text of `/metrics`. */
export function renderMetrics(families: Iterable<MetricFamily>): string {
  const lines: string[] = [];
  for (const { name, type, help, samples } of families) {
    const plain = help.replace(/[\\\n]/g, (c) => (c === '\n' ? '\\n' : '\\\\'));
    lines.push(`# HELP ${name} ${plain}`, `# TYPE ${name} ${type}`);
    for (const { labels, value, suffix = '' } of samples)
      lines.push(`${name}${suffix}${labelText(labels)} ${number(value)}`);
  }
  return `${lines.join('\n')}\n`;
}

/** Counts of observations up to each bound. */
export class Histogram {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;
  #count = 0;

  /** Bounds in ascending order. */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = bounds.map(() => 0);
  }

  get count(): number {
    return this.#count;
  }

  observe(value: number): void {
    this.#bounds.forEach((bound, index) => {
      if (value <= bound) this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    });
    this.#sum += value;
    this.#count++;
  }

  samples(labels: Labels = {}): Sample[] {
    return [
      ...this.#bounds.map((bound, index) => ({
        suffix: '_bucket' as const,
        labels: { ...labels, le: String(bound) },
        value: this.#counts[index] ?? 0,
      })),
      { suffix: '_bucket', labels: { ...labels, le: '+Inf' }, value: this.#count },
      { suffix: '_sum', labels, value: this.#sum },
      { suffix: '_count', labels, value: this.#count },
    ];
  }
}

/** The format writes infinities as `+Inf` and `-Inf`. */
function number(value: number): string {
  if (Number.isFinite(value) || Number.isNaN(value)) return String(value);
  return value > 0 ? '+Inf' : '-Inf';
}
