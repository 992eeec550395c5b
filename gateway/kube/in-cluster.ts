/** How the gateway's pod reaches its API server, whichever runtime dials it. */
import { rereadToken } from '../../shared/kube/token.ts';

/** The API server of the cluster that a pod runs in, and who the pod is. */
export interface InClusterConnection {
  /** `https://host:port` */
  url: string;
  /** PEM of its authority. */
  ca: string;
  /** The service account's token as it is now. */
  token: () => Promise<string>;
}

/** Reads the service account that Kubernetes mounts. Rejects when it is not there. */
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
