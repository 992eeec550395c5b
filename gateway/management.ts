/** `/livez`, `/readyz` and `/metrics`: plain HTTP on a separate port, for the cluster, not for peers. */
import { Hono } from 'hono';
import type { Metrics } from './http/metrics.ts';
import { metricsContentType } from '../shared/metrics.ts';

/** Named conditions of readiness: undefined if ready, otherwise what is waited for. */
export type ReadinessChecks = Readonly<Record<string, () => string | undefined>>;

/** Liveness has no dependencies: an API server outage must not restart the gateway. */
export function createManagement(checks: ReadinessChecks, metrics: Metrics): Hono {
  const app = new Hono();
  app.get('/livez', (context) => context.text('ok\n'));
  app.get('/readyz', (context) => {
    const results = Object.entries(checks).map(([name, check]) => ({ name, waiting: check() }));
    const lines = results.map(({ name, waiting }) =>
      waiting === undefined ? `[+] ${name} ok` : `[-] ${name}: ${waiting}`,
    );
    return context.text(
      `${lines.join('\n')}\n`,
      results.every(({ waiting }) => waiting === undefined) ? 200 : 503,
    );
  });
  app.get('/metrics', (context) =>
    context.text(metrics.render(), 200, { 'content-type': metricsContentType }),
  );
  return app;
}
