/** `-o json|yaml`: the same facts in machine-readable form. */
import { plainText } from '../shared/plain-text.ts';
import { text, type Invocation } from './command.ts';
import { UsageError } from './exit.ts';

export type Format = 'text' | 'json' | 'yaml';

/** The requested format. Throws UsageError. */
export function formatOf(invocation: Invocation): Format {
  const value = text(invocation, 'output') ?? 'text';
  if (value === 'text' || value === 'json' || value === 'yaml') return value;
  throw new UsageError(`--output ${value}: unsupported output format (supported: json, yaml)`);
}

/** Prints facts in the requested format; `render` makes them readable. */
export async function printFacts<T>(
  invocation: Invocation,
  facts: T,
  render: (facts: T) => string,
): Promise<void> {
  const format = formatOf(invocation);
  if (format === 'json') invocation.terminal.print(JSON.stringify(facts, null, 2));
  else if (format === 'yaml') invocation.terminal.print(await yamlOf(facts));
  else invocation.terminal.print(render(facts));
}

/** The terminal writes unsafe characters as JSON escapes, which YAML reads only in double quotes. */
async function yamlOf(facts: unknown): Promise<string> {
  const { dump } = await import('js-yaml');
  const options = { noRefs: true, lineWidth: 110 };
  const yaml = dump(facts, options);
  if (plainText(yaml) === yaml) return yaml;
  return dump(facts, { ...options, forceQuotes: true, quoteStyle: 'double' });
}
