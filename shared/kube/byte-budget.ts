/**
 * How much several caches may hold together. Objects alone are no bound: etcd takes 1.5 MiB for each, and whoever runs the
 * API server of another cluster can claim more.
 */
export interface ByteBudget {
  readonly limit: number;
  readonly held: number;
  /** Takes so many bytes more; a negative number gives some back. False, and nothing taken, if they are too many. */
  take(bytes: number): boolean;
  give(bytes: number): void;
}

/** A budget of which nothing is taken. */
export function createByteBudget(limit: number): ByteBudget {
  let held = 0;
  return {
    limit,
    get held() {
      return held;
    },
    take(bytes) {
      // Less than before is taken even above the limit: it leads back below it.
      if (bytes > 0 && held + bytes > limit) return false;
      held += bytes;
      return true;
    },
    give(bytes) {
      held -= bytes;
    },
  };
}
