/** The pod's user decides how long it stays bound to a lost node, both at home and at a provider. Pure. */

export interface LostNodeToleration {
  key: string;
  operator: 'Exists';
  effect: 'NoExecute';
  tolerationSeconds?: number;
}

/** Taints of the node lifecycle controller (Kubernetes, "Taint based evictions"). */
const keys = new Set(['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable']);

/** A pod's tolerations of lost nodes; all others concern taints of the pod's own cluster. */
export function lostNodeTolerations(tolerations: unknown): LostNodeToleration[] {
  if (!Array.isArray(tolerations)) return [];
  return (tolerations as unknown[]).flatMap((each): LostNodeToleration[] => {
    const { key, operator, effect, tolerationSeconds } = (each ?? {}) as Record<string, unknown>;
    if (typeof key !== 'string' || !keys.has(key)) return [];
    if (operator !== 'Exists' || effect !== 'NoExecute') return [];
    const seconds =
      typeof tolerationSeconds === 'number' && Number.isSafeInteger(tolerationSeconds)
        ? { tolerationSeconds }
        : {};
    return [{ key, operator, effect, ...seconds }];
  });
}
