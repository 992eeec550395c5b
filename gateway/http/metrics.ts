/** Counters in the text format of Prometheus (exposition format 0.0.4). Bounded: label values come from fixed sets only. */
export const metricsContentType = 'text/plain; version=0.0.4; charset=utf-8';

/** Seconds; an answer without API calls takes milliseconds, a redemption up to the tenant's deadline. */
const BUCKETS = [0.005, 0.02, 0.1, 0.5, 2, 10] as const;

type Labels = Readonly<Record<string, string>>;

interface Family {
  help: string;
  type: 'counter' | 'gauge' | 'histogram';
  samples: Map<string, number>;
}

export class Metrics {
  readonly #families = new Map<string, Family>();
  readonly #gauges: (() => void)[] = [];

  count(name: string, help: string, labels: Labels = {}, by = 1): void {
    const { samples } = this.#family(name, help, 'counter');
    const key = name + text(labels);
    samples.set(key, (samples.get(key) ?? 0) + by);
  }

  /** Reads a value whenever the metrics are asked for. */
  gauge(name: string, help: string, read: () => number, labels: Labels = {}): void {
    const { samples } = this.#family(name, help, 'gauge');
    this.#gauges.push(() => samples.set(name + text(labels), read()));
  }

  observeSeconds(name: string, help: string, seconds: number, labels: Labels): void {
    const { samples } = this.#family(name, help, 'histogram');
    const add = (key: string, by: number) => samples.set(key, (samples.get(key) ?? 0) + by);
    for (const bucket of BUCKETS)
      add(`${name}_bucket${text({ ...labels, le: String(bucket) })}`, seconds <= bucket ? 1 : 0);
    add(`${name}_bucket${text({ ...labels, le: '+Inf' })}`, 1);
    add(`${name}_sum${text(labels)}`, seconds);
    add(`${name}_count${text(labels)}`, 1);
  }

  render(): string {
    for (const read of this.#gauges) read();
    const lines: string[] = [];
    for (const [name, family] of this.#families) {
      lines.push(`# HELP ${name} ${family.help}`, `# TYPE ${name} ${family.type}`);
      for (const [sample, value] of family.samples) lines.push(`${sample} ${value}`);
    }
    return `${lines.join('\n')}\n`;
  }

  #family(name: string, help: string, type: Family['type']): Family {
    let family = this.#families.get(name);
    if (family === undefined) this.#families.set(name, (family = { help, type, samples: new Map() }));
    return family;
  }
}

function text(labels: Labels): string {
  const entries = Object.entries(labels).map(
    ([name, value]) => `${name}="${value.replace(/["\\\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`))}"`,
  );
  return entries.length === 0 ? '' : `{${entries.join(',')}}`;
}
