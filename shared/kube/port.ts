/** The client's port to a transport: one function that sends requests, independent of sockets and files. */

export interface KubeRequest {
  method: string;
  /** From the API server's root on, with the query: `/api/v1/pods?limit=1`. */
  path: string;
  headers: Record<string, string>;
  body?: string | Uint8Array;
  /** Until the response's headers are there. */
  timeoutMilliseconds: number;
}

/** A response whose body has not been read; whoever gets it reads the body to the end or cancels it. */
export interface KubeResponse {
  status: number;
  /** By its lower-case name. */
  header(name: string): string | undefined;
  body: AsyncIterable<Uint8Array>;
  /** Ends the response; reading the body fails with the reason. */
  cancel(reason: Error): void;
}

/** The way to one API server: where it is, how it is verified, and as whom it is asked. */
export interface KubeTransport<R extends KubeResponse = KubeResponse> {
  /** `https://host:port`, with a path if the API server is behind one. */
  readonly url: string;
  /**
   * Sends the request with the credentials of this transport. Rejects with whatever went wrong, a `TimeoutError` when the
   * headers came too late, the signal's reason when it was aborted. The signal ends the body too.
   */
  send(request: KubeRequest, signal: AbortSignal): Promise<R>;
  /** Closes idle connections; the transport can still be used. */
  close(): void;
}
