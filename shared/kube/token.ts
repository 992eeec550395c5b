/** A bearer token that somebody else renews, as kubelets do in a file. */

/** A kubelet renews a token at four fifths of its life, which is ten minutes at least: a minute late is early enough. */
const heldMilliseconds = 60_000;

/**
 * The token as it is now: what `read` gives, trimmed, at most a minute old. `now` is monotonic, in milliseconds. Rejects as
 * `read` does.
 */
export function rereadToken(read: () => Promise<string>, now: () => number): () => Promise<string> {
  let held: { token: string; at: number } | undefined;
  return async () => {
    if (held === undefined || now() - held.at > heldMilliseconds)
      held = { token: (await read()).trim(), at: now() };
    return held.token;
  };
}
