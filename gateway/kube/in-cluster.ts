/** Address and credentials of the gateway pod's API server, for every runtime. */
import { rereadToken } from '../../shared/kube/token.ts';

/** The API server of a pod's cluster, and the pod's credentials. */
export interface InClusterConnection {
  /** `https://host:port` */
  url: string;
  /** PEM of its CA. */
  ca: string;
  /** The current service account token. */
  token: () => Promise<string>;
}

/** Reads the mounted service account. Rejects when it does not exist. */
export async function readServiceAccount(options: {
  url: string;
  directory: string;
  /** Text of a file. */
  readText: (path: string) => Promise<string>;
  /** Monotonic, in milliseconds. */
  now: () => number;
}): Promise<InClusterConnection> {
  const { url, directory, readText, now } = options;
  return {
    url,
    ca: await readText(`${directory}/ca.crt`),
    token: rereadToken(() => readText(`${directory}/token`), now),
  };
}
