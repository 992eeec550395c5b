/** The one gate between what a consumer asks for and a pod on this cluster. Pure. */
import type { Grant } from '../../shared/api/grant.ts';
import type { PodSpec } from '../../shared/kube/types.ts';
import { Refusal } from './fields.ts';
import { podFields } from './pod-fields.ts';
import { checkPodSecurity, type Securable } from './pod-security.ts';
import { checkResourceNames, podUsage, shortage, withDefaults, type Usage } from './usage.ts';

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
 * Decides on one pod.
 *
 * @param spec PodSpec as the consumer sent it: anything at all
 * @param ledger what this peering's other pods use already, over all of its twins
 */
export function admit(spec: unknown, grant: Grant, tracker: Usage): Admission {
  try {
    const kept = podFields(spec, '') as PodSpec;
    if (!Array.isArray(kept.containers) || kept.containers.length === 0) {
      throw new Refusal('containers', 'a pod must have at least one container', 'Malformed');
    }
    checkPodSecurity(kept as Securable, grant.podSecurity);
    checkResourceNames(kept);
    const filled = withDefaults(kept, grant);
    const usage = podUsage(filled);
    const short = shortage(grant, tracker, usage);
    if (short !== undefined) throw new Refusal(short.resource, short.message, 'QuotaExceeded');
    return {
      admitted: true,
      usage,
      spec: {
        ...filled,
        // Pods of consumers are nobody to this API server.
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
