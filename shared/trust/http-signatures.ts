/**
 * HTTP Message Signatures (RFC 9421) with Ed25519 for a consumer's requests to an API gateway. They cover method, address,
 * path, query, the body by its digest (RFC 9530), and the recipient, so that a provider cannot forward a consumer's signed
 * request to another provider.
 */
import { verifySignature, type ClusterKey } from './cluster-key.ts';
import { sha256 } from './digest.ts';
import { bytesOf, equalBytes } from './encoding.ts';
import {
  parseByteSequences,
  parseInnerLists,
  serializeBytes,
  serializeInnerList,
  StructuredFieldError,
  type InnerList,
} from './structured-fields.ts';

/** Identifies the provider by the fingerprint of its cluster key; always covered by the signature. */
export const recipientHeader = 'hawser-recipient';
/** Maximum difference between the clocks of two clusters. */
export const maximumSkewMilliseconds = 5 * 60 * 1000;

const LABEL = 'hawser';
const ALGORITHM = 'ed25519';
/** RFC 9421, section 2.2: derived components, in the order of signing here. */
const COMPONENTS = ['@method', '@authority', '@path', '@query', 'content-digest', recipientHeader] as const;
/** Covers scheme, authority, path and query at once (RFC 9421, section 2.2.2): equivalent. */
const TARGET = '@target-uri';
const TARGET_PARTS: readonly string[] = ['@authority', '@path', '@query'];
const NONCE = /^[A-Za-z0-9_-]{16,64}$/;

/** A request, as seen by its sender and its receiver. */
export interface SignedMessage {
  method: string;
  /** Absolute. */
  url: string;
  headers: Headers;
  /** Empty if there is none. */
  body: Uint8Array;
}

export interface SigningOptions {
  key: ClusterKey;
  /** Cluster ID of the signer; the receiver finds the key by it. */
  clusterID: string;
  /** Fingerprint of the receiver's cluster key. */
  recipient: string;
  /** Milliseconds since 1970. */
  now: number;
  /** 16–64 characters of base64url, never used before. */
  nonce: string;
}

/** Headers with the signature of `message`, to be added to its own. */
export function signMessage(
  message: Omit<SignedMessage, 'headers'>,
  options: SigningOptions,
): Record<string, string> {
  const headers: Record<string, string> = {
    'content-digest': contentDigest(message.body),
    [recipientHeader]: options.recipient,
  };
  const list: InnerList = {
    items: [...COMPONENTS],
    parameters: new Map<string, string | number>([
      ['created', Math.floor(options.now / 1000)],
      ['nonce', options.nonce],
      ['alg', ALGORITHM],
      ['keyid', options.clusterID],
    ]),
  };
  const base = signatureBase({ ...message, headers: new Headers(headers) }, list);
  headers['signature-input'] = `${LABEL}=${serializeInnerList(list)}`;
  headers['signature'] = `${LABEL}=${serializeBytes(options.key.sign(bytesOf(base)))}`;
  return headers;
}

export type SignatureProblem =
  | 'Missing'
  | 'Malformed'
  | 'NotCovered'
  | 'OtherRecipient'
  | 'DigestMismatch'
  | 'ClockSkew'
  | 'BadSignature'
  | 'Replayed'
  | 'TooMany';

/** Why a signature is refused. The message is shown to the sender. */
export class SignatureError extends Error {
  override readonly name = 'SignatureError';
  readonly reason: SignatureProblem;
  /** The invalid header. */
  readonly field: string;
  constructor(reason: SignatureProblem, field: string, message: string) {
    super(message);
    this.reason = reason;
    this.field = field;
  }
}

/** Stores nonces for as long as their signatures are valid. */
export interface ReplayCache {
  /**
   * Returns false if this cluster has used the nonce already; throws SignatureError (TooMany) without room. Times in
   * milliseconds.
   */
  remember(clusterID: string, nonce: string, expiresAt: number, now: number): boolean;
}

/** A parsed signature that is not verified yet. */
export interface SignatureClaim {
  /** Cluster ID of the claimed signer. */
  clusterID: string;
  /** Milliseconds since 1970. */
  created: number;
  nonce: string;
  list: InnerList;
  signature: Uint8Array;
}

/** Reads the signature headers, without verification. Throws SignatureError. */
export function readSignature(headers: Headers): SignatureClaim {
  const input = headers.get('signature-input');
  const value = headers.get('signature');
  if (input === null) throw missing('signature-input');
  if (value === null) throw missing('signature');
  const list = parsed('signature-input', () => parseInnerLists(input).get(LABEL));
  const signature = parsed('signature', () => parseByteSequences(value).get(LABEL));
  if (list === undefined) throw missing('signature-input');
  if (signature === undefined) throw missing('signature');
  const created = list.parameters.get('created');
  const nonce = list.parameters.get('nonce');
  const keyID = list.parameters.get('keyid');
  const algorithm = list.parameters.get('alg') ?? ALGORITHM;
  if (
    typeof created !== 'number' ||
    typeof nonce !== 'string' ||
    typeof keyID !== 'string' ||
    !NONCE.test(nonce) ||
    algorithm !== ALGORITHM
  )
    throw new SignatureError(
      'Malformed',
      'signature-input',
      'the signature needs the parameters created (an integer), nonce (16 to 64 characters of base64url), keyid (the cluster ID) and, if any, alg="ed25519"',
    );
  if (new Set(list.items).size !== list.items.length)
    throw new SignatureError('Malformed', 'signature-input', 'the signature covers a component twice');
  return { clusterID: keyID, created: created * 1000, nonce, list, signature };
}

export interface HeadVerificationOptions {
  /** Cluster key of the claimed signer, base64. */
  publicKey: string;
  /** Fingerprints of the receiver's own cluster key and its predecessors: a sender that was disconnected knows one of those. */
  recipients: readonly string[];
  /** Milliseconds since 1970. */
  now: number;
  /** Earlier signatures are refused, milliseconds since 1970: the memory of nonces starts then. */
  notBefore?: number;
}

/**
 * Verifies a signature over a complete message. It stores nothing, since any sender with a key of its own can pass.
 * `refuseReplay` checks that the request is new, once the key is known to be relevant. Throws SignatureError.
 */
export function verifyMessage(
  message: SignedMessage,
  claim: SignatureClaim,
  options: HeadVerificationOptions,
): void {
  verifyHead(message, claim, options);
  verifyContentDigest(message);
}

/**
 * Records a verified request of a known cluster, or of a sender with an existing token; other senders must not use memory. By
 * cluster instead of by key, since a cluster may sign successions to any number of keys. Throws SignatureError.
 */
export function refuseReplay(claim: SignatureClaim, replays: ReplayCache, now: number): void {
  const expiresAt = claim.created + maximumSkewMilliseconds;
  if (!replays.remember(claim.clusterID, claim.nonce, expiresAt, now))
    throw new SignatureError(
      'Replayed',
      'signature-input',
      'this signed request was received before; sign it again',
    );
}

/**
 * Verifies everything of a signature that needs neither the body nor the memory of nonces: it proves the sender, but not that
 * the body is the signed one, nor that the request is new. Throws SignatureError.
 */
export function verifyHead(
  message: Omit<SignedMessage, 'body'>,
  claim: SignatureClaim,
  options: HeadVerificationOptions,
): void {
  const { items } = claim.list;
  const notCovered = COMPONENTS.filter(
    (component) =>
      !items.includes(component) && !(TARGET_PARTS.includes(component) && items.includes(TARGET)),
  );
  if (notCovered.length > 0)
    throw new SignatureError(
      'NotCovered',
      'signature-input',
      `the signature does not cover ${notCovered.join(', ')}`,
    );
  if (message.headers.get('content-digest') === null) throw missing('content-digest');
  if (!options.recipients.includes(message.headers.get(recipientHeader) ?? ''))
    throw new SignatureError(
      'OtherRecipient',
      recipientHeader,
      'the request was signed for another cluster: hawser-recipient must be the fingerprint of this cluster’s key',
    );
  if (Math.abs(options.now - claim.created) > maximumSkewMilliseconds)
    throw new SignatureError(
      'ClockSkew',
      'signature-input',
      `the signature was created at ${timeText(claim.created)} and it is ${timeText(options.now)} here: synchronize the clocks; they may differ by at most 5 minutes`,
    );
  if (options.notBefore !== undefined && claim.created < options.notBefore)
    throw new SignatureError(
      'ClockSkew',
      'signature-input',
      `the signature was created at ${timeText(claim.created)}, before this API gateway started at ${timeText(options.notBefore)}: sign it again; if that is refused too, synchronize the clocks`,
    );
  const base = signatureBase(message, claim.list);
  if (!verifySignature(options.publicKey, bytesOf(base), claim.signature))
    throw new SignatureError(
      'BadSignature',
      'signature',
      'the signature was not made by that cluster’s key over this request',
    );
}

/** `Content-Digest` of a body (RFC 9530). */
export function contentDigest(body: Uint8Array): string {
  return `sha-256=${serializeBytes(sha256(body))}`;
}

function verifyContentDigest(message: SignedMessage): void {
  const digests = parsed('content-digest', () =>
    parseByteSequences(message.headers.get('content-digest') ?? ''),
  );
  const digest = digests.get('sha-256');
  if (digest === undefined || !equalBytes(digest, sha256(message.body)))
    throw new SignatureError(
      'DigestMismatch',
      'content-digest',
      'the body is not the one that was signed (sha-256)',
    );
}

/** RFC 9421, section 2.5. */
function signatureBase(message: Omit<SignedMessage, 'body'>, list: InnerList): string {
  const url = new URL(message.url);
  const lines = list.items.map((component) => {
    const value = componentValue(component, message, url);
    if (value === null)
      throw new SignatureError(
        'Malformed',
        'signature-input',
        'the signature covers a component that is not there',
      );
    return `"${component}": ${value}`;
  });
  return [...lines, `"@signature-params": ${serializeInnerList(list)}`].join('\n');
}

function componentValue(component: string, message: Omit<SignedMessage, 'body'>, url: URL): string | null {
  switch (component) {
    case '@method':
      return message.method;
    case '@authority':
      return url.host;
    case '@path':
      return url.pathname;
    case '@query':
      return url.search === '' ? '?' : url.search;
    case TARGET:
      return url.href;
    default:
      return component.startsWith('@') ? null : message.headers.get(component);
  }
}

function parsed<T>(field: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof StructuredFieldError)
      throw new SignatureError('Malformed', field, `the header ${field} is malformed: ${error.message}`);
    throw error;
  }
}

function missing(field: string): SignatureError {
  return new SignatureError(
    'Missing',
    field,
    `the header ${field} is missing: this request must be signed by a cluster key (RFC 9421, label "${LABEL}")`,
  );
}

function timeText(milliseconds: number): string {
  const time = new Date(milliseconds);
  return Number.isNaN(time.getTime()) ? 'an impossible time' : time.toISOString();
}
