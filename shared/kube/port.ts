/** The client's port to a transport: one function that sends requests, independent of sockets and files. */

export interface KubeRequest {
  method: string;
  /** Relative to the API server's root, with the query: `/api/v1/pods?limit=1`. */
  path: string;
  headers: Record<string, string>;
  body?: string | Uint8Array;
  /** Timeout of the response's headers. */
  timeoutMilliseconds: number;
}

/** A response with an unread body; the receiver must read it to its end or cancel it. */
export interface KubeResponse {
  status: number;
  /** By its lower-case name. */
  header(name: string): string | undefined;
  body: AsyncIterable<Uint8Array>;
  /** Ends the response; reading the body fails with the reason. */
  cancel(reason: Error): void;
}

/** A transport to one API server, with its address, verification and credentials. */
export interface KubeTransport<R extends KubeResponse = KubeResponse> {
  /** `https://host:port`, with a path if the API server is behind one. */
  readonly url: string;
  /**
   * Sends the request with the credentials of this transport. Rejects with the transport's error, a `TimeoutError` for late
   * headers, or the signal's reason after an abort. The signal also aborts the body.
   */
  send(request: KubeRequest, signal: AbortSignal): Promise<R>;
  /** Closes idle connections; the transport can still be used. */
  close(): void;
}
