/** The shared Kubernetes client with limits for a process that is exposed to strangers. */
import { createKubeClient, type KubeClient } from '../../shared/kube/client.ts';
import type { KubeTransport } from '../../shared/kube/port.ts';

/** The API server's own limit is a minute; the gateway's callers do not wait that long. */
const CALL_MILLISECONDS = 10_000;
/** Limit of one answer, page or watch event. etcd's objects have at most 1.5 MiB; larger pages are requested in parts. */
const ANSWER_BYTES = 4 * 1024 * 1024;
const NAME = 'hawser-gateway';

/** The client of the gateway's own API server. It connects at the first request. */
export function createGatewayKubeClient(transport: KubeTransport): KubeClient {
  return createKubeClient(transport, {
    timeoutMilliseconds: CALL_MILLISECONDS,
    maximumBytes: ANSWER_BYTES,
    fieldManager: NAME,
    userAgent: NAME,
  });
}
