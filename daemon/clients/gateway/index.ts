/** The API gateway's HTTP API as functions, for the daemon and the CLI. All answers are bounded and validated. */
import type { z } from 'zod';
import type { SignedDocument } from '../../../shared/api/clusters.ts';
import { defaultPeering } from '../../../shared/names.ts';
import { bytesOf } from '../../../shared/trust/encoding.ts';
import {
  identityResponse,
  info,
  parameters,
  peeringReport,
  preview,
  tokenList,
  tokenResponse,
  type IdentityRequest,
  type IdentityResponse,
  type Info,
  type PeeringReport,
  type Preview,
  type PreviewRequest,
  type TokenRequest,
  type TokenResponse,
} from '../../../shared/wire/gateway-api.ts';
import {
  GatewayProblem,
  GatewayUnreachable,
  isProblem,
  MeaninglessAnswer,
  parseJSON,
  problemOf,
} from './errors.ts';
import { CertificatePinError, pinnedTransport, type Transport } from './pinned-transport.ts';
import type { RequestSigner } from './signer.ts';
import { deadline } from '../../../shared/time.ts';
import { watchParameters, type WatchOptions } from './watch.ts';

export { GatewayProblem, GatewayUnreachable, isProblem, isTemporary, MeaninglessAnswer } from './errors.ts';
export { lookAtGateway, type GatewaySight } from './look.ts';
export { CertificatePinError, pinnedTransport, type Transport } from './pinned-transport.ts';
export { createRequestSigner, type RequestSigner, type RequestSignerOptions } from './signer.ts';
export type { WatchOptions } from './watch.ts';

const REQUEST_MILLISECONDS = 30_000;
const OWN_PARAMETERS = '/v1/parameters/self';
/** Fits a CA bundle of 64 KiB and a document of 64 KiB, with their JSON escapes. */
const ANSWER_BYTES = 512 * 1024;

export interface GatewayClientOptions {
  /** `https://host:port`, as in a token. */
  url: string;
  /** Pin of the gateway's certificate. */
  pin: string;
  /** Required for the calls of a consumer. */
  sign?: RequestSigner;
  /**
   * This cluster's document with the successions of its key, for a gateway that still knows an older key: when the gateway
   * rejects the signature, the client puts this document and repeats the request.
   */
  introduction?: () => SignedDocument | undefined;
  /** A Kubernetes bearer token of the gateway's cluster, required for calls on peering tokens. */
  bearer?: string;
  /** Default: HTTPS that trusts only the pin. */
  transport?: Transport;
}

export interface CallOptions {
  signal?: AbortSignal;
}

export type TokenSummary = z.infer<typeof tokenList>['items'][number];

/** All methods reject with GatewayProblem (refused), GatewayUnreachable (no valid answer) or CertificatePinError. */
export interface GatewayClient {
  info: (options?: CallOptions) => Promise<Info>;
  /** What redeeming a peering token would grant; the token is not spent. */
  preview: (request: PreviewRequest, options?: CallOptions) => Promise<Preview>;
  /** Redeems a token (with `secret`), or renews an identity (without). */
  requestIdentity: (request: IdentityRequest, options?: CallOptions) => Promise<IdentityResponse>;
  /** Puts this cluster's network document. Rejects with the GatewayProblem `stale-generation` if the gateway has a newer one. */
  putParameters: (document: SignedDocument, options?: CallOptions) => Promise<void>;
  /** The provider's network document; undefined while there is none. */
  getParameters: (peering?: string, options?: CallOptions) => Promise<SignedDocument | undefined>;
  /**
   * Yields the provider's network documents, the current one first. Reconnects automatically; ends when the peering ends
   * there. Throws GatewayProblem when the gateway no longer accepts this cluster.
   */
  watchParameters: (options: WatchOptions) => AsyncGenerator<SignedDocument, void, undefined>;
  /** How the provider sees a peering of this cluster. */
  getPeering: (peering?: string, options?: CallOptions) => Promise<PeeringReport>;
  /** Ends a peering. Succeeds if it does not exist. */
  deletePeering: (peering?: string, options?: CallOptions) => Promise<void>;
  createToken: (request: TokenRequest, options?: CallOptions) => Promise<TokenResponse>;
  listTokens: (options?: CallOptions) => Promise<TokenSummary[]>;
  /** Rejects with the GatewayProblem `not-found` if the token does not exist. */
  revokeToken: (name: string, options?: CallOptions) => Promise<void>;
  /** Closes the kept-alive connections. */
  close: () => void;
}

export function createGatewayClient(options: GatewayClientOptions): GatewayClient {
  const transport = options.transport ?? pinnedTransport(options.pin);
  const requester = new Requester(options, transport);
  const query = (peering: string | undefined) =>
    `?${new URLSearchParams({ peering: peering ?? defaultPeering }).toString()}`;
  return {
    info: (call) => requester.json(info, 'GET', '/v1/info', 'None', undefined, call),
    preview: (request, call) => requester.json(preview, 'POST', '/v1/previews', 'None', request, call),
    requestIdentity: (request, call) =>
      requester.json(identityResponse, 'POST', '/v1/identities', 'ClusterKey', request, call),
    putParameters: (networkDocument, call) =>
      requester.nothing('PUT', OWN_PARAMETERS, 'ClusterKey', { networkDocument }, call),
    getParameters: async (peering, call) => {
      const path = `/v1/parameters/remote${query(peering)}`;
      try {
        return (await requester.json(parameters, 'GET', path, 'ClusterKey', undefined, call)).networkDocument;
      } catch (error) {
        if (isProblem(error, 'no-document-yet')) return undefined;
        throw error;
      }
    },
    watchParameters: (watch) =>
      watchParameters(
        (headers, signal) =>
          requester.open(
            'GET',
            `/v1/parameters/remote${query(watch.peering)}`,
            'ClusterKey',
            undefined,
            headers,
            signal,
          ),
        watch,
      ),
    getPeering: (peering, call) =>
      requester.json(peeringReport, 'GET', `/v1/peering${query(peering)}`, 'ClusterKey', undefined, call),
    deletePeering: (peering, call) =>
      requester.nothing('DELETE', `/v1/peering${query(peering)}`, 'ClusterKey', undefined, call),
    createToken: (request, call) =>
      requester.json(tokenResponse, 'POST', '/v1/tokens', 'Kubernetes', request, call),
    listTokens: async (call) =>
      (await requester.json(tokenList, 'GET', '/v1/tokens', 'Kubernetes', undefined, call)).items,
    revokeToken: (name, call) =>
      requester.nothing('DELETE', `/v1/tokens/${encodeURIComponent(name)}`, 'Kubernetes', undefined, call),
    close: () => transport.close(),
  };
}

type Credentials = 'None' | 'ClusterKey' | 'Kubernetes';

class Requester {
  readonly #options: GatewayClientOptions;
  readonly #transport: Transport;

  constructor(options: GatewayClientOptions, transport: Transport) {
    this.#options = options;
    this.#transport = transport;
  }

  async json<S extends z.ZodType>(
    schema: S,
    method: string,
    path: string,
    credentials: Credentials,
    body: unknown,
    call: CallOptions | undefined,
  ): Promise<z.output<S>> {
    const text = await this.#text(method, path, credentials, body, call);
    const parsed = schema.safeParse(parseJSON(text));
    if (parsed.success) return parsed.data;
    const field = parsed.error.issues[0]?.path.map(String).join('.');
    throw new MeaninglessAnswer(
      `the gateway at ${this.#options.url} gave an unexpected answer to ${method} ${path.split('?')[0]} (at "${field ?? ''}"): its version is not compatible with this one`,
    );
  }

  async nothing(
    method: string,
    path: string,
    credentials: Credentials,
    body: unknown,
    call: CallOptions | undefined,
  ): Promise<void> {
    await this.#text(method, path, credentials, body, call);
  }

  /** A successful answer whose body is not yet read. */
  async open(
    method: string,
    path: string,
    credentials: Credentials,
    body: unknown,
    headers: Record<string, string>,
    signal: AbortSignal,
  ): Promise<Response> {
    const url = new URL(path, this.#options.url).href;
    const text = body === undefined ? undefined : JSON.stringify(body);
    const bytes = bytesOf(text ?? '');
    const sent: Record<string, string> = {
      accept: 'application/json',
      'user-agent': 'hawser',
      ...(text !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    };
    const send = () =>
      this.#transport.fetch(url, {
        method,
        headers: { ...sent, ...this.#credentials(credentials, { method, url, body: bytes }) },
        signal,
        ...(text !== undefined && { body: bytes }),
      });
    let response: Response;
    try {
      // A server may close a kept-alive connection, or change its certificate, at the moment when it is used.
      response = await send().catch((error: unknown) => {
        if (wasReset(error) && mayRepeat(method, path)) return send();
        throw error;
      });
    } catch (error) {
      throw this.#unreachable(error, signal);
    }
    if (response.ok) return response;
    const problem = problemOf(response, await this.#read(response, signal));
    const document = this.#options.introduction?.();
    if (
      credentials === 'ClusterKey' &&
      isProblem(problem, 'signature-refused') &&
      path !== OWN_PARAMETERS &&
      document?.successions !== undefined
    ) {
      await this.#text('PUT', OWN_PARAMETERS, 'ClusterKey', { networkDocument: document }, { signal });
      const again = await send().catch((error: unknown) => {
        throw this.#unreachable(error, signal);
      });
      if (again.ok) return again;
      throw problemOf(again, await this.#read(again, signal));
    }
    throw problem;
  }

  async #text(
    method: string,
    path: string,
    credentials: Credentials,
    body: unknown,
    call: CallOptions | undefined,
  ): Promise<string> {
    const parent = call?.signal ?? new AbortController().signal;
    using limited = deadline(parent, REQUEST_MILLISECONDS, `${method} ${path}`);
    return await this.#read(
      await this.open(method, path, credentials, body, {}, limited.signal),
      limited.signal,
    );
  }

  #credentials(credentials: Credentials, message: Parameters<RequestSigner>[0]): Record<string, string> {
    const { sign, bearer } = this.#options;
    if (credentials === 'None') return {};
    if (credentials === 'Kubernetes') {
      if (bearer === undefined) throw new TypeError('this call needs a client with a bearer token');
      return { authorization: `Bearer ${bearer}` };
    }
    if (sign === undefined) throw new TypeError('this call needs a client with a signer');
    return sign(message);
  }

  async #read(response: Response, signal: AbortSignal): Promise<string> {
    const chunks: Uint8Array[] = [];
    let size = 0;
    try {
      for await (const chunk of response.body ?? []) {
        size += chunk.length;
        if (size > ANSWER_BYTES) throw new RangeError(`an answer of more than ${ANSWER_BYTES} bytes`);
        chunks.push(chunk);
      }
    } catch (error) {
      throw this.#unreachable(error, signal);
    }
    return new TextDecoder().decode(Buffer.concat(chunks));
  }

  #unreachable(error: unknown, signal: AbortSignal): unknown {
    if (error instanceof CertificatePinError || error instanceof GatewayProblem) return error;
    // The caller's own abort is passed on unchanged; only an exceeded deadline is reported as the gateway's failure.
    if (signal.aborted && !(signal.reason instanceof DOMException && signal.reason.name === 'TimeoutError'))
      return signal.reason;
    const why = error instanceof Error ? error.message : 'unknown error';
    const Kind = error instanceof RangeError ? MeaninglessAnswer : GatewayUnreachable;
    return new Kind(`no answer from the gateway at ${this.#options.url}: ${why}`, { cause: error });
  }
}

function wasReset(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
}

// All requests but the creation of a token are idempotent.
function mayRepeat(method: string, path: string): boolean {
  return !(method === 'POST' && path === '/v1/tokens');
}
