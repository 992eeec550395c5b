/**
 * The API gateway on Deno, with the same app as on Node. Deno also accepts TLS 1.2, which its API cannot disable. Hawser's own
 * client uses only TLS 1.3.
 *
 *     deno run --no-remote --unstable-net --unstable-no-legacy-abort --allow-net --allow-read --allow-env gateway/deno.ts
 *
 * (`--unstable-net` is for `reusePort`, by which a renewed certificate is taken up without a refused connection, `--unstable-no-legacy-abort` for signals that tell a
 * sender that went away from an answer that was given.)
 */
import type { CertificatePair } from './certificates.ts';
import type { GatewayContext } from './http/context.ts';
import { createFetchTransport } from './kube/fetch-transport.ts';
import { runOn, type Handler, type Runtime } from './entry.ts';

/** Grace period of pending requests at shutdown. */
const GRACE_MILLISECONDS = 5_000;
/** The same after a certificate change: event streams may continue for a while with the former one. */
const CHANGE_MILLISECONDS = 10 * 60_000;

const encoder = new TextEncoder();
const everywhere = { hostname: '::', onListen: () => {} };

const runtime: Runtime = {
  readText: (path) => Deno.readTextFile(path),
  writeLine: (line) => void Deno.stdout.writeSync(encoder.encode(`${line}\n`)),
  random: (length) => crypto.getRandomValues(new Uint8Array(length)),
  kubeTransport: ({ url, ca, token }) => {
    const client = Deno.createHttpClient({ caCerts: [ca] });
    return createFetchTransport({
      url,
      token,
      fetch: (target, init) => fetch(target, { ...init, client } as RequestInit),
    });
  },
  // Deno has no function that only checks a pair; a listener on a free port of loopback does.
  checkPair: (pair) => Deno.listenTls({ hostname: '127.0.0.1', port: 0, ...pair }).close(),
  sourceOf: (context: GatewayContext) =>
    (context.env['remoteAddr'] as { hostname?: string } | undefined)?.hostname ?? 'unknown',
  listenHTTPS: async (handler, port, first) => {
    // A listener keeps its certificate; the next one takes over the port while the former finishes what it has.
    const serve = (pair: CertificatePair) =>
      closable((signal) =>
        Deno.serve({ ...everywhere, port, reusePort: true, signal, ...pair }, withAddress(handler)),
      );
    let close = serve(first);
    return {
      renew: (pair) => {
        const former = close;
        close = serve(pair);
        void former(CHANGE_MILLISECONDS);
      },
      close: () => close(GRACE_MILLISECONDS),
    };
  },
  listenHTTP: async (handler, port) => {
    const close = closable((signal) => Deno.serve({ ...everywhere, port, signal }, withAddress(handler)));
    return { renew: () => {}, close: () => close(GRACE_MILLISECONDS) };
  },
};

/** Runs the gateway until `signal` is aborted. Rejects when it can't begin. */
export function runGateway(
  environment: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): Promise<void> {
  return runOn(runtime, environment, signal);
}

/** A server and its end: no more connections, and after the grace (milliseconds) none at all. */
function closable(
  serve: (signal: AbortSignal) => { shutdown: () => Promise<void>; finished: Promise<void> },
): (grace: number) => Promise<void> {
  const ending = new AbortController();
  const server = serve(ending.signal);
  return async (grace) => {
    const timer = setTimeout(() => ending.abort(), grace);
    await Promise.race([server.shutdown(), server.finished]);
    clearTimeout(timer);
  };
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
