/**
 * A common memory limit of several caches. A limit of objects is not enough: etcd allows 1.5 MiB for each, and another
 * cluster's API server can send larger ones.
 */
export interface ByteBudget {
  readonly limit: number;
  readonly held: number;
  /** Reserves bytes; a negative number releases some. Returns false, and reserves nothing, beyond the limit. */
  take(bytes: number): boolean;
  give(bytes: number): void;
}

/** A budget with nothing reserved. */
export function createByteBudget(limit: number): ByteBudget {
  let held = 0;
  return {
    limit,
    get held() {
      return held;
    },
    take(bytes) {
      // A shrinking object is accepted even above the limit, since that leads back below it.
      if (bytes > 0 && held + bytes > limit) return false;
      held += bytes;
      return true;
    },
    give(bytes) {
      held -= bytes;
    },
  };
}
