/** One engine in a separate process, controlled over IPC, so that each test chooses its network namespace. */
import { Engine } from '../../native/index.js';
import type { EngineEvent, EngineOptions } from '../../native/index.js';

interface Request {
  id: number;
  method: string;
  parameters: unknown[];
}

let engine: Engine | undefined;
const events: EngineEvent[] = [];

function collect(): void {
  for (
    let drained = engine?.drain();
    drained !== undefined;
    drained = drained.more ? engine?.drain() : undefined
  )
    events.push(...drained.events);
}

function counterRow(row: number): Record<string, number> {
  if (engine === undefined) throw new Error('there is no engine yet');
  const { columns, stride } = engine.counterLayout;
  return Object.fromEntries(
    Object.entries(columns).map(([name, at]) => [name, Number(engine?.counters[row * stride + at])]),
  );
}

function perform({ method, parameters }: Request): unknown {
  switch (method) {
    case 'start':
      engine = new Engine({ ...(parameters[0] as EngineOptions), onEvents: collect });
      return { port: engine.port, features: engine.features };
    case 'counters':
      return counterRow(parameters[0] as number);
    case 'engineCounters':
      return counterRow((engine?.counters.length ?? 0) / (engine?.counterLayout.stride ?? 1) - 1);
    case 'events':
      collect();
      return events.splice(0);
    case 'taken':
      // Without polling: the events that `onEvents` delivered.
      return events.splice(0);
    case 'stallThen': {
      // Blocks JavaScript for that many milliseconds, and then acts before it reads any event.
      const [milliseconds, then, ...rest] = parameters as [number, string, ...unknown[]];
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
      return perform({ id: 0, method: then, parameters: rest });
    }
    case 'usage':
      return { ...process.cpuUsage(), resident: process.memoryUsage.rss() };
    default:
      if (engine === undefined) throw new Error('there is no engine yet');
      return (engine as unknown as Record<string, (...all: unknown[]) => unknown>)[method]?.(...parameters);
  }
}

process.on('message', (request: Request) => {
  try {
    process.send?.({ id: request.id, result: perform(request) });
  } catch (error) {
    process.send?.({ id: request.id, error: error instanceof Error ? error.message : String(error) });
  }
});
process.on('disconnect', () => {
  engine?.close();
  process.exit(0);
});
