/**
 * Which of the addresses of a remote tunnel endpoint is tried: the first, and after a while without a handshake the next.
 * The one that worked last stays until it fails.
 */

/** Three tries of a handshake (REKEY_TIMEOUT of WireGuard is 5 s). */
const tryMilliseconds = 15_000;

export class EndpointChoice {
  readonly #tried = new Map<string, { endpoint: string; since: number }>();

  /**
   * @param established whether the tunnel endpoint has a session that can send now
   * @param endpoints addresses with ports, best first
   */
  pick(
    publicKey: string,
    endpoints: readonly string[],
    established: boolean,
    now: number,
  ): string | undefined {
    const present = this.#tried.get(publicKey);
    const index = present === undefined ? -1 : endpoints.indexOf(present.endpoint);
    if (present !== undefined && index >= 0) {
      if (established) present.since = now;
      if (endpoints.length === 1 || now - present.since < tryMilliseconds) return present.endpoint;
    }
    const endpoint = endpoints[(index + 1) % endpoints.length];
    if (endpoint === undefined) this.#tried.delete(publicKey);
    else this.#tried.set(publicKey, { endpoint, since: now });
    return endpoint;
  }

  /** Drops the state of tunnel endpoints that are no longer in the plan. */
  keep(publicKeys: ReadonlySet<string>): void {
    for (const key of this.#tried.keys()) if (!publicKeys.has(key)) this.#tried.delete(key);
  }
}
