/**
 * The string that an administrator of the provider hands over: `hawser1.` and base64url of
 *
 *     gateway URL without https:// (length in 2 bytes), pin (32), cluster ID (length in 1 byte), key fingerprint (32),
 *     secret (32), expiry in seconds since 1970 (5), checksum (4: the start of SHA-256 over prefix and all before)
 *
 * Numbers are big-endian. The checksum distinguishes a typo from a token that has expired or was never issued.
 */
import { tokenContent, type TokenContent } from '../wire/gateway-api.ts';
import { sha256 } from './digest.ts';
import {
  bytesOf,
  concatenate,
  equalBytes,
  fromBase64URL,
  fromHex,
  textOf,
  toBase64URL,
  toHex,
} from './encoding.ts';

const PREFIX = 'hawser1.';
const SCHEME = 'https://';
const HASH_LENGTH = 32;
const EXPIRY_LENGTH = 5;
const CHECKSUM_LENGTH = 4;
/** The longest URL (300) and ID (40) of the schema need 600 characters; a longer text is no token. */
const TEXT_LIMIT = 1024;

export type PeeringTokenProblem = 'NotAToken' | 'OtherVersion' | 'Mistyped' | 'Malformed';

/** Why a text is not a valid peering token. The message states a remedy, and never repeats the text. */
export class PeeringTokenError extends Error {
  override readonly name = 'PeeringTokenError';
  readonly reason: PeeringTokenProblem;
  constructor(reason: PeeringTokenProblem, message: string) {
    super(message);
    this.reason = reason;
  }
}

/**
 * Encodes content as the string to hand over. Throws ZodError for invalid content. The expiry is truncated to whole seconds.
 */
export function encodePeeringToken(content: TokenContent): string {
  const { gatewayURL, gatewayPin, clusterID, keyFingerprint, secret, expiresAt } =
    tokenContent.parse(content);
  const url = bytesOf(gatewayURL.slice(SCHEME.length));
  const id = bytesOf(clusterID);
  const seconds = Math.floor(Date.parse(expiresAt) / 1000);
  if (!(seconds >= 0 && seconds < 2 ** (8 * EXPIRY_LENGTH)))
    throw new RangeError(`${expiresAt} is not a valid expiry time of a token`);
  const body = concatenate(
    bigEndian(url.length, 2),
    url,
    fromHex(gatewayPin),
    bigEndian(id.length, 1),
    id,
    fromHex(keyFingerprint),
    fromBase64URL(secret),
    bigEndian(seconds, EXPIRY_LENGTH),
  );
  return PREFIX + toBase64URL(concatenate(body, checksum(body)));
}

/**
 * Decodes the string. White space in it (a line that was wrapped when it was copied) is ignored. The expiry is not checked.
 * Throws PeeringTokenError.
 */
export function decodePeeringToken(text: string): TokenContent {
  const whole = text.length > 2 * TEXT_LIMIT ? '' : text.replace(/\s+/g, '');
  const version = /^hawser([0-9]{1,4})\./.exec(whole)?.[1];
  if (version === undefined || whole.length > TEXT_LIMIT)
    throw new PeeringTokenError('NotAToken', `not a peering token: a peering token begins with "${PREFIX}"`);
  if (version !== '1')
    throw new PeeringTokenError(
      'OtherVersion',
      `this peering token has format ${version}, but this version of Hawser supports format 1: upgrade Hawser on this cluster`,
    );
  let bytes: Uint8Array;
  try {
    bytes = fromBase64URL(whole.slice(PREFIX.length));
  } catch {
    throw mistyped();
  }
  const body = bytes.subarray(0, -CHECKSUM_LENGTH);
  if (bytes.length <= CHECKSUM_LENGTH || !equalBytes(checksum(body), bytes.subarray(-CHECKSUM_LENGTH)))
    throw mistyped();
  return readBody(body);
}

function readBody(body: Uint8Array): TokenContent {
  let offset = 0;
  const take = (length: number): Uint8Array => {
    const part = body.subarray(offset, (offset += length));
    if (part.length !== length) throw malformed();
    return part;
  };
  const takeText = (lengthOfLength: number): string => {
    try {
      return textOf(take(number(take(lengthOfLength))));
    } catch {
      throw malformed();
    }
  };
  const content = {
    gatewayURL: SCHEME + takeText(2),
    gatewayPin: toHex(take(HASH_LENGTH)),
    clusterID: takeText(1),
    keyFingerprint: toHex(take(HASH_LENGTH)),
    secret: toBase64URL(take(HASH_LENGTH)),
    expiresAt: new Date(number(take(EXPIRY_LENGTH)) * 1000).toISOString().replace('.000Z', 'Z'),
  };
  const parsed = tokenContent.safeParse(content);
  if (offset !== body.length || !parsed.success) throw malformed();
  return parsed.data;
}

/** Whether a token has expired. `now` in milliseconds since 1970. */
export function isExpired(content: Pick<TokenContent, 'expiresAt'>, now: number): boolean {
  return !(now < Date.parse(content.expiresAt));
}

function mistyped(): PeeringTokenError {
  return new PeeringTokenError(
    'Mistyped',
    'the peering token is damaged: characters are missing or wrong; copy the whole token again',
  );
}

function malformed(): PeeringTokenError {
  return new PeeringTokenError(
    'Malformed',
    'the peering token is complete, but its content is not valid; ask for another one',
  );
}

function checksum(body: Uint8Array): Uint8Array {
  return sha256(bytesOf(PREFIX), body).subarray(0, CHECKSUM_LENGTH);
}

function bigEndian(value: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => Math.floor(value / 2 ** (8 * (length - 1 - index))) % 256);
}

function number(bytes: Uint8Array): number {
  return bytes.reduce((value, byte) => value * 256 + byte, 0);
}
