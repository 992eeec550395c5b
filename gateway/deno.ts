/**
 * The gateway on Deno, over the same app as on Node. Deno offers TLS 1.3 and, to clients without it, TLS 1.2: its API has no
 * way to refuse that. Hawser's own client speaks TLS 1.3 only.
 */
import { CertificateFiles, type CertificatePair } from './certificate-files.ts';
import { readConfiguration } from './configuration.ts';
import type { GatewayContext } from './context.ts';
import { inClusterConnection } from './kube/in-cluster.ts';
import { createLog } from './log.ts';
import { createGatewayService } from './service.ts';

/** Runs the gateway until `signal` is aborted. Rejects when it can't begin. */
export async function runGateway(
  environment: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): Promise<void> {
  const configuration = readConfiguration(environment);
  const encoder = new TextEncoder();
  const write = (line: string) => void Deno.stdout.writeSync(encoder.encode(`${line}\n`));
  const log = createLog(configuration.logLevel, write, Date.now);
  const ca = await Deno.readTextFile(`${configuration.serviceAccountDirectory}/ca.crt`);
  const client = Deno.createHttpClient({ caCerts: [ca] });
  const certificates = new CertificateFiles({
    directory: configuration.certificateDirectory,
    readText: (path) => Deno.readTextFile(path),
    check: checkPair,
    log,
  });
  const service = createGatewayService({
    connection: inClusterConnection({
      server: configuration.apiServer,
      serviceAccountDirectory: configuration.serviceAccountDirectory,
      readText: (path) => Deno.readTextFile(path),
      fetch: (url, init) => fetch(url, { ...init, client } as RequestInit),
      clock: Date.now,
    }),
    namespace: configuration.namespace,
    clock: Date.now,
    random: (length) => crypto.getRandomValues(new Uint8Array(length)),
    log,
    sourceOf,
    stopping: signal,
    waitingFor: () => certificates.waitingFor,
  });
  const quiet = { onListen: () => {} };
  const management = Deno.serve(
    { ...quiet, port: configuration.metricsPort, hostname: '::' },
    (request: Request) => service.management.fetch(request),
  );
  log('info', 'probes and metrics are served', { port: configuration.metricsPort });
  const running = service.run();
  const first = await certificates.first(signal);
  if (first !== undefined) {
    const serve = (pair: CertificatePair) =>
      Deno.serve(
        // A listener keeps its certificate; the next one takes over the port while this one finishes what it has.
        { ...quiet, port: configuration.port, hostname: '::', reusePort: true, ...pair },
        (request: Request, info: { remoteAddr: unknown }) =>
          service.app.fetch(request, { remoteAddr: info.remoteAddr }),
      );
    let server = serve(first);
    log('info', 'peers are served', { port: configuration.port });
    await certificates.watch((pair) => {
      const former = server;
      server = serve(pair);
      void former.shutdown();
    }, signal);
    await server.shutdown();
  }
  await management.shutdown();
  await running;
  client.close();
}

// Deno has no function that only checks a pair; a listener on a free port of loopback does.
function checkPair(pair: CertificatePair): void {
  Deno.listenTls({ hostname: '127.0.0.1', port: 0, ...pair }).close();
}

function sourceOf(context: GatewayContext): string {
  return (context.env['remoteAddr'] as { hostname?: string } | undefined)?.hostname ?? 'unknown';
}

if (import.meta.main) {
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) Deno.addSignalListener(name, () => stop.abort());
  await runGateway(Deno.env.toObject(), stop.signal);
}
