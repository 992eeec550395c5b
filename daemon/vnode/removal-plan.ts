/** The next step of a virtual node's removal, and its deadlines. Pure. */

export interface RemovalState {
  /** Start of the deletion, or of this process if that is later; milliseconds since 1970. */
  waitingSince: number;
  now: number;
  /** NoIdentity: there are no credentials for the provider. */
  provider: 'Reachable' | 'Unreachable' | 'Unknown' | 'NoIdentity';
  /** Milliseconds since 1970: since when it is so. */
  providerSince: number;
  /** Pods on the virtual node. */
  pods: readonly { key: string; deleting: boolean }[];
  /** TwinNamespaces at the provider; undefined if unknown. */
  twins: readonly { name: string; deleting: boolean }[] | undefined;
}

export interface RemovalPlan {
  deletePods: string[];
  /** Without grace period, since their end will never be reported. */
  forcePods: string[];
  deleteTwins: string[];
  /** The Node can go. */
  done: boolean;
  /** What is in progress or awaited. */
  message: string;
  /** Residue at the provider, when done. */
  residue: string[];
}

/** Deadline for a provider that does not answer. */
export const unreachableDeadlineMilliseconds = 10_000;
/** Additional time for a provider that was already unreachable for longer. */
const knownLostMilliseconds = 1_000;
/** Deadline for pods and twin namespaces at a provider that answers. */
export const reachableDeadlineMilliseconds = 60_000;

/**
 * Pods and twin namespaces together (a provider removes a whole twin namespace faster than single pods), then the node, within
 * a deadline.
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
    // Without an identity nothing can ever be done there.
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
