/**
 * The gateway on Deno, over the same app as on Node. Deno offers TLS 1.3 and, to clients without it, TLS 1.2: its API has no
 * way to refuse that. Hawser's own client speaks TLS 1.3 only.
 *
 *     deno run --no-remote --unstable-net --unstable-no-legacy-abort --allow-net --allow-read --allow-env gateway/deno.ts
 *
 * (`--unstable-net` is for `reusePort`, by which a renewed certificate is taken up without a refused connection, `--unstable-no-legacy-abort` for signals that tell a
 * sender that went away from an answer that was given.)
 */
import type { CertificatePair } from './certificates.ts';
import type { GatewayContext } from './context.ts';
import { runOn, type Handler, type Runtime } from './entry.ts';

const encoder = new TextEncoder();
const everywhere = { hostname: '::', onListen: () => {} };

const runtime: Runtime = {
  readText: (path) => Deno.readTextFile(path),
  writeLine: (line) => void Deno.stdout.writeSync(encoder.encode(`${line}\n`)),
  random: (length) => crypto.getRandomValues(new Uint8Array(length)),
  fetchTrusting: (ca) => {
    const client = Deno.createHttpClient({ caCerts: [ca] });
    return (url, init) => fetch(url, { ...init, client } as RequestInit);
  },
  // Deno has no function that only checks a pair; a listener on a free port of loopback does.
  checkPair: (pair) => Deno.listenTls({ hostname: '127.0.0.1', port: 0, ...pair }).close(),
  sourceOf: (context: GatewayContext) =>
    (context.env['remoteAddr'] as { hostname?: string } | undefined)?.hostname ?? 'unknown',
  listenHTTPS: async (handler, port, first) => {
    // A listener keeps its certificate; the next one takes over the port while the former finishes what it has.
    const serve = (pair: CertificatePair) =>
      Deno.serve({ ...everywhere, port, reusePort: true, ...pair }, withAddress(handler));
    let server = serve(first);
    return {
      renew: (pair) => {
        const former = server;
        server = serve(pair);
        void former.shutdown();
      },
      close: () => server.shutdown(),
    };
  },
  listenHTTP: async (handler, port) => {
    const server = Deno.serve({ ...everywhere, port }, withAddress(handler));
    return { renew: () => {}, close: () => server.shutdown() };
  },
};

/** Runs the gateway until `signal` is aborted. Rejects when it can't begin. */
export function runGateway(
  environment: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): Promise<void> {
  return runOn(runtime, environment, signal);
}

function withAddress(
  handler: Handler,
): (request: Request, info: { remoteAddr: unknown }) => Response | Promise<Response> {
  return (request, info) => handler(request, { remoteAddr: info.remoteAddr });
}

if (import.meta.main) {
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) Deno.addSignalListener(name, () => stop.abort());
  await runGateway(Deno.env.toObject(), stop.signal);
  Deno.exit(0);
}
