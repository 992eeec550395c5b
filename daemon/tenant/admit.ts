/** The one gate between what a consumer asks for and a pod on this cluster. Pure. */
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
      /** The spec of the pod to make, with everything in it that this provider decides. */
      spec: PodSpec;
      usage: Usage;
    }
  | {
      admitted: false;
      reason: Refusal['reason'];
      /** The field that is not admitted, or the resource that is short. */
      field: string;
      /** A sentence for the consumer's pod. */
      message: string;
    };

/**
 * Most bytes of a spec and of labels and annotations, as JSON. Every node and controller of this cluster reads all of them:
 * fifty pods with a mebibyte of variables each are more than a daemon of it has memory for.
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
 * @param spec PodSpec as the consumer sent it: anything at all
 * @param ledger what this peering's other pods use already, over all of its twins
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
        // Pods of consumers have no identity at this API server.
        serviceAccountName: 'default',
        automountServiceAccountToken: false,
        // Variables of the twin's own Services would give the provider's addresses under the consumer's names.
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
