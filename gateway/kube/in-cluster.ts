/** How a pod reaches its API server: the service account's token, read again as the kubelet renews it. */
import type { KubeConnection } from './client.ts';

/** The kubelet renews a token at four fifths of its life, an hour at least: half a minute late is early enough. */
const TOKEN_MILLISECONDS = 30_000;

export interface InClusterOptions {
  server: string;
  serviceAccountDirectory: string;
  /** Text of a file. */
  readText: (path: string) => Promise<string>;
  fetch: KubeConnection['fetch'];
  clock: () => number;
}

export function inClusterConnection(options: InClusterOptions): KubeConnection {
  let token = '';
  let readAt = Number.NEGATIVE_INFINITY;
  return {
    server: options.server,
    fetch: options.fetch,
    token: async () => {
      const now = options.clock();
      if (now - readAt >= TOKEN_MILLISECONDS) {
        token = (await options.readText(`${options.serviceAccountDirectory}/token`)).trim();
        readAt = now;
      }
      return token;
    },
  };
}
