/** What the removal of a virtual node does next, and when it stops waiting. Pure. */

export interface RemovalState {
  /** Milliseconds since 1970: of the deletion, or of this process if that is younger. */
  waitingSince: number;
  now: number;
  /** NoIdentity: there is nothing to reach the provider with. */
  provider: 'Reachable' | 'Unreachable' | 'Unknown' | 'NoIdentity';
  /** Milliseconds since 1970: since when it is so. */
  providerSince: number;
  /** Pods on the virtual node. */
  pods: readonly { key: string; deleting: boolean }[];
  /** TwinNamespaces at the provider; undefined when they cannot be seen. */
  twins: readonly { name: string; deleting: boolean }[] | undefined;
}

export interface RemovalPlan {
  deletePods: string[];
  /** With no grace: nobody will ever say that they ended. */
  forcePods: string[];
  deleteTwins: string[];
  /** The Node can go. */
  done: boolean;
  /** What is being done or waited for. */
  message: string;
  /** What is left at the provider, when done. */
  residue: string[];
}

/** How long a provider that does not answer is waited for. */
export const unreachableDeadlineMilliseconds = 10_000;
/** How long one that has not answered for longer than that already gets once more. */
const knownLostMilliseconds = 1_000;
/** How long pods and twins may take at a provider that answers. */
export const reachableDeadlineMilliseconds = 60_000;

/**
 * Pods and twins together (a provider ends what is in a twin faster than pod by pod), then the node; never longer than a
 * deadline.
 */
export function planRemoval(state: RemovalState): RemovalPlan {
  const waited = state.now - state.waitingSince;
  // Unknown lasts for the first probes only, and is no evidence of anything.
  const lost = state.provider === 'Unreachable' || state.provider === 'NoIdentity';
  const givenUp =
    (state.provider === 'Reachable' && waited >= reachableDeadlineMilliseconds) ||
    (state.provider === 'Unreachable' &&
      (waited >= unreachableDeadlineMilliseconds ||
        (waited >= knownLostMilliseconds &&
          state.now - state.providerSince >= unreachableDeadlineMilliseconds))) ||
    // Without an identity nothing can be done there, now or later.
    state.provider === 'NoIdentity';
  const deletePods = state.pods.filter((pod) => !pod.deleting).map((pod) => pod.key);
  const forcePods = givenUp ? state.pods.filter((pod) => pod.deleting).map((pod) => pod.key) : [];
  const twins = state.twins ?? [];
  const deleteTwins = twins.filter((twin) => !twin.deleting).map((twin) => twin.name);
  const base = { deletePods, forcePods, deleteTwins, done: false, residue: [] };
  if (state.pods.length > 0) {
    return {
      ...base,
      message: lost
        ? `The provider does not answer; ${state.pods.length} pods are removed without its confirmation.`
        : `${state.pods.length} pods are leaving the node.`,
    };
  }
  if ((twins.length > 0 || state.twins === undefined) && !givenUp) {
    return {
      ...base,
      message:
        state.twins === undefined
          ? 'The twin namespaces at the provider cannot be read; waiting for the provider until the deadline.'
          : `${twins.length} twin namespaces are being removed at the provider.`,
    };
  }
  const residue =
    state.twins === undefined
      ? state.provider === 'NoIdentity'
        ? []
        : [
            'The provider could not be reached: twin namespaces and their pods may remain there until its administrator removes the incoming peering.',
          ]
      : twins.map(
          (twin) =>
            `TwinNamespace ${twin.name} is still at the provider; removing the incoming peering there removes it.`,
        );
  return { ...base, done: true, residue, message: 'The node is removed.' };
}
