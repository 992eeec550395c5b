/** Admission of a consumer's pods: the only way from a consumer's request to a pod on this cluster. Pure. */
import type { Grant } from '../../shared/api/grant.ts';
import type { PodSpec } from '../../shared/kube/types.ts';
import { Refusal } from './fields.ts';
import { podFields } from './pod-fields.ts';
import { checkPodSecurity, withoutRawNetwork, type Securable } from './pod-security.ts';
import { checkLimits, checkResources, withDefaults, withVolumeSizes } from './container-resources.ts';
import { podUsage, shortage, type Usage } from './usage.ts';

export type Admission =
  | {
      admitted: true;
      /** The spec of the real pod, with everything that this provider decides. */
      spec: PodSpec;
      usage: Usage;
    }
  | {
      admitted: false;
      reason: Refusal['reason'];
      /** The field that is not admitted, or the resource that is exhausted. */
      field: string;
      /** A sentence for the consumer's pod. */
      message: string;
    };

/**
 * Maximum bytes of a spec, and of labels and annotations, as JSON. Every node and controller of this cluster caches them:
 * fifty pods with a mebibyte of variables each would exceed a daemon's memory.
 */
const mostSpecBytes = 32_768;
const mostMetadataBytes = 16_384;

/** Labels and annotations of the consumer's pod. */
export interface PodMetadata {
  labels?: Record<string, string> | undefined;
  annotations?: Record<string, string> | undefined;
}

/**
 * Decides on one pod.
 *
 * @param spec PodSpec from the consumer: unvalidated
 * @param ledger usage of this peering's other pods, over all of its twin namespaces
 */
export function admit(spec: unknown, grant: Grant, tracker: Usage, metadata: PodMetadata = {}): Admission {
  try {
    checkBytes('metadata', [metadata.labels, metadata.annotations], mostMetadataBytes);
    const kept = podFields(spec, '') as PodSpec;
    if (!Array.isArray(kept.containers) || kept.containers.length === 0) {
      throw new Refusal('containers', 'a pod must have at least one container', 'Malformed');
    }
    checkBytes('spec', kept, mostSpecBytes);
    checkPodSecurity(kept as Securable, grant.podSecurity);
    checkResources(kept, grant);
    const filled = withDefaults(kept, grant);
    checkLimits(filled, grant);
    const usage = podUsage(filled);
    const short = shortage(grant, tracker, usage);
    if (short !== undefined) throw new Refusal(short.resource, short.message, 'QuotaExceeded');
    return {
      admitted: true,
      usage,
      spec: {
        ...withoutRawNetwork(withVolumeSizes(filled, usage, grant), grant),
        // Pods of consumers get no credentials for this API server.
        serviceAccountName: 'default',
        automountServiceAccountToken: false,
        // Service environment variables would contain the provider's addresses under the consumer's names.
        enableServiceLinks: kept['enableServiceLinks'] ?? true,
      },
    };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { admitted: false, reason: error.reason, field: error.field, message: error.message };
  }
}

function checkBytes(field: string, value: unknown, most: number): void {
  const bytes = Buffer.byteLength(JSON.stringify(value));
  if (bytes <= most) return;
  throw new Refusal(
    field,
    `has ${bytes} bytes as JSON, at most ${most} are admitted; keep long text in a ConfigMap`,
  );
}
