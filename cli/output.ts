/** `-o json|yaml`: the same facts, for programs. */
import { text, type Invocation } from './command.ts';
import { UsageError } from './exit.ts';

export type Format = 'text' | 'json' | 'yaml';

/** The format that was asked for. Throws UsageError. */
export function formatOf(invocation: Invocation): Format {
  const value = text(invocation, 'output') ?? 'text';
  if (value === 'text' || value === 'json' || value === 'yaml') return value;
  throw new UsageError(`-o ${value}: there are json and yaml`);
}

/** Prints facts in the format that was asked for; `render` makes them readable. */
export async function printFacts<T>(
  invocation: Invocation,
  facts: T,
  render: (facts: T) => string,
): Promise<void> {
  const format = formatOf(invocation);
  if (format === 'json') invocation.terminal.print(JSON.stringify(facts, null, 2));
  else if (format === 'yaml') {
    const { dump } = await import('js-yaml');
    invocation.terminal.print(dump(facts, { noRefs: true, lineWidth: 110 }));
  } else invocation.terminal.print(render(facts));
}
