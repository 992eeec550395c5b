/** A bearer token that is renewed externally, like kubelets do in a file. */

/** A kubelet renews a token at four fifths of its lifetime, which is at least ten minutes: a delay of a minute is safe. */
const heldMilliseconds = 60_000;

/**
 * The present token: the trimmed result of `read`, at most a minute old. `now` is monotonic, in milliseconds. Rejects like
 * `read`.
 */
export function rereadToken(read: () => Promise<string>, now: () => number): () => Promise<string> {
  let held: { token: string; at: number } | undefined;
  return async () => {
    if (held === undefined || now() - held.at > heldMilliseconds)
      held = { token: (await read()).trim(), at: now() };
    return held.token;
  };
}
