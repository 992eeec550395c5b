/** Answers of the webhooks, for pods of offloaded namespaces and for NamespaceOffloadings. */
import type { KubernetesObject } from '../../shared/api/meta.ts';
import type { NamespaceOffloading } from '../../shared/api/offloading.ts';
import { annotations, labels } from '../../shared/names.ts';
import { sleep } from '../../shared/time.ts';
import { isNotFound, kind, messageOf, type ControllerContext, type Informer } from '../kube/index.ts';
import type { Namespace, Pod } from '../../shared/kube/types.ts';
import { isOffloadable } from '../peers/offloaded.ts';
import type { VirtualPods } from '../peers/virtual-pods.ts';
import { fieldManager } from './caches.ts';
import { misfitMessage, misfitOf } from './fit.ts';
import { offloadingName } from './offloading.ts';
import type { RemotePlacement } from './webhook-registration.ts';
import { nodesRefusing } from './refused-pods.ts';
import { isBoundToNode, keepAtHome, mutatePod, type PatchOperation } from './pod-mutation.ts';

/** AdmissionReview of admission.k8s.io/v1, as far as it is read here. */
export interface AdmissionReview {
  request?: {
    uid?: string;
    namespace?: string;
    object?: KubernetesObject;
    dryRun?: boolean;
  };
}

export interface AdmissionResponse {
  uid: string;
  allowed: boolean;
  /** 422: the object is invalid. */
  status?: { code: number; message: string };
  warnings?: string[];
  patchType?: 'JSONPatch';
  /** RFC 6902, base64. */
  patch?: string;
}

export interface Reviews {
  /** Undefined if the review is malformed. */
  pod(review: AdmissionReview, placement: RemotePlacement): AdmissionResponse | undefined;
  offloading(review: AdmissionReview, signal: AbortSignal): Promise<AdmissionResponse | undefined>;
}

/**
 * The API server selects webhooks by the namespaces in its own cache: a label just written is visible there after this time
 * at the latest.
 */
const cacheMilliseconds = 200;

export function createReviews(
  context: ControllerContext,
  offloadings: Informer<NamespaceOffloading>,
  namespaces: Informer<Namespace>,
  pods: Pick<VirtualPods, 'listIn'>,
): Reviews {
  return {
    pod({ request }, placement) {
      const { uid, namespace, object } = request ?? {};
      if (uid === undefined || namespace === undefined || object === undefined) return undefined;
      // A new NamespaceOffloading may not be in the cache yet; the called webhook determines the placement.
      const spec = offloadings.get(namespace, offloadingName)?.spec ?? { podPlacement: placement };
      const refusedOn = nodesRefusing(object as Pod, pods.listIn(namespace));
      return reviewPod(uid, namespace, object as Pod, spec, refusedOn);
    },
    async offloading({ request }, signal) {
      const { uid, namespace, object, dryRun } = request ?? {};
      if (uid === undefined || namespace === undefined || object === undefined) return undefined;
      const placement = (object as NamespaceOffloading).spec.podPlacement;
      const present = namespaces.get(undefined, namespace)?.metadata.labels;
      const wanted =
        object.metadata.name === offloadingName &&
        object.metadata.deletionTimestamp === undefined &&
        isOffloadable(namespace, context.namespace) &&
        present?.[labels.origin] === undefined;
      if (wanted && dryRun !== true && present?.[labels.offloading] !== placement) {
        const at = new Date(context.clock.now()).toISOString();
        const change = {
          metadata: {
            labels: { [labels.offloading]: placement },
            annotations: { [annotations.offloadingAdmitted]: at },
          },
        };
        const ref = { kind: kind.namespace, name: namespace };
        await context.kube.patch(ref, change, { type: 'merge', fieldManager }, signal).then(
          () => sleep(cacheMilliseconds, signal, context.clock),
          (error: unknown) => {
            // The controller labels it as soon as it sees the object.
            if (!isNotFound(error))
              context.log.warn('failed to label an offloaded namespace at admission', {
                namespace,
                error: messageOf(error),
              });
          },
        );
      }
      return { uid, allowed: true };
    },
  };
}

/** The answer for one new pod. Pure. */
export function reviewPod(
  uid: string,
  namespace: string,
  pod: Pod,
  spec: Pick<NamespaceOffloading['spec'], 'podPlacement' | 'clusterSelector'> | undefined,
  refusedOn: readonly string[] = [],
): AdmissionResponse {
  if (spec === undefined || spec.podPlacement === 'Local') return { uid, allowed: true };
  const misfit = isBoundToNode(pod) ? undefined : misfitOf(pod);
  if (misfit !== undefined) {
    const message = misfitMessage(misfit, spec.podPlacement, namespace);
    if (spec.podPlacement === 'Remote') return { uid, allowed: false, status: { code: 422, message } };
    return { ...admitted(uid, keepAtHome(pod)), warnings: [message] };
  }
  return admitted(uid, mutatePod(pod, spec, refusedOn));
}

function admitted(uid: string, operations: readonly PatchOperation[]): AdmissionResponse {
  if (operations.length === 0) return { uid, allowed: true };
  const patch = Buffer.from(JSON.stringify(operations)).toString('base64');
  return { uid, allowed: true, patchType: 'JSONPatch', patch };
}
