import { excludeCidr, normalizeCidr, parseCidr } from 'cidr-tools';

/** An address range with its bounds as numbers; `text` is its canonical form (RFC 5952 for IPv6), host bits zero. */
export interface Range {
  text: string;
  family: 4 | 6;
  /** Bits of the prefix, 0–32 or 0–128. */
  length: number;
  /** First and last address, both inclusive. */
  start: bigint;
  end: bigint;
}

/** A range of one address. */
export interface Host extends Range {
  /** The address in canonical form, without a length. */
  address: string;
}

/** The text is not a valid address or range; the message quotes it and states what is allowed. */
export class InvalidRange extends Error {
  override name = 'InvalidRange';
  readonly text: string;
  constructor(text: string, reason: string) {
    super(`"${text.slice(0, 64)}" is not a usable address range: ${reason}`);
    this.text = text;
  }
}

const octet = '(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])';
const ipv4 = new RegExp(`^${octet}(?:\\.${octet}){3}$`);
const ipv6Group = /^[0-9a-fA-F]{1,4}$/;
const decimal = /^(?:0|[1-9][0-9]{0,2})$/;

/** 4, 6, or undefined if the text is no address. Strict: no leading zeros, no missing octets, no zone. */
export function addressFamily(text: string): 4 | 6 | undefined {
  if (text.length > 45) return undefined;
  if (ipv4.test(text)) return 4;
  return text.includes(':') && isIPv6(text) ? 6 : undefined;
}

/** RFC 4291, section 2.2, in all three forms. */
function isIPv6(text: string): boolean {
  const halves = text.split('::');
  if (halves.length > 2) return false;
  const groups = halves.flatMap((half) => (half === '' ? [] : half.split(':')));
  const tail = groups.at(-1) ?? '';
  // An IPv4 address at the end counts as two groups.
  const embedded = ipv4.test(tail) && !text.endsWith('::');
  const plain = embedded ? groups.slice(0, -1) : groups;
  const count = plain.length + (embedded ? 2 : 0);
  return plain.every((group) => ipv6Group.test(group)) && (halves.length === 2 ? count <= 7 : count === 8);
}

const zero = '0'.charCodeAt(0);

/** The number of a valid address. */
function numberOf(address: string, family: 4 | 6): bigint {
  if (family === 6) return parseCidr(address).start;
  // Digit by digit, for speed: this runs for every pod of a cluster.
  let [number, part] = [0, 0];
  for (let index = 0; index < address.length; index++) {
    const digit = address.charCodeAt(index) - zero;
    if (digit >= 0) part = part * 10 + digit;
    else [number, part] = [number * 256 + part, 0];
  }
  return BigInt(number * 256 + part);
}

/**
 * Reads a range (`10.1.0.0/16`) or a single address (a range of one).
 * @throws InvalidRange when it is malformed or has host bits set (`10.1.0.1/16`): such a text is usually a mistake, and
 * silently widening a declared range is not safe.
 */
export function parseRange(text: string): Range {
  const [address = '', prefix, ...rest] = text.split('/');
  const family = addressFamily(address);
  if (family === undefined || rest.length > 0) {
    throw new InvalidRange(text, 'write it as address/length, for example 10.1.0.0/16 or fd00::/64');
  }
  const bits = bitsOf(family);
  if (prefix !== undefined && (!decimal.test(prefix) || Number(prefix) > bits)) {
    throw new InvalidRange(text, `the prefix length must be a number from 0 to ${bits}`);
  }
  const length = prefix === undefined ? bits : Number(prefix);
  const number = numberOf(address, family);
  const hostBits = BigInt(bits - length);
  const start = (number >> hostBits) << hostBits;
  if (start !== number) {
    const first = formatAddress(start, family);
    throw new InvalidRange(text, `bits after the prefix are set; the range is ${first}/${length}`);
  }
  return rangeFrom(start, length, family);
}

const bitsOf = (family: 4 | 6): number => (family === 4 ? 32 : 128);

/** The range at a first address without host bits. */
function rangeFrom(start: bigint, length: number, family: 4 | 6): Range {
  const size = 1n << BigInt(bitsOf(family) - length);
  return {
    text: `${formatAddress(start, family)}/${length}`,
    family,
    length,
    start,
    end: start + size - 1n,
  };
}

/** Reads a single address. @throws InvalidRange */
export function parseHost(text: string): Host {
  const { family, number } = addressNumber(text);
  return hostFrom(number, family);
}

/** Like `parseHost`, but returns undefined instead of an error. */
export function tryParseHost(text: string): Host | undefined {
  const family = addressFamily(text);
  return family === undefined ? undefined : hostFrom(numberOf(text, family), family);
}

/** The valid addresses of the texts; unreadable texts are skipped. */
export function readHosts(texts: readonly string[]): Host[] {
  return texts.flatMap((text) => tryParseHost(text) ?? []);
}

function hostFrom(number: bigint, family: 4 | 6): Host {
  const address = formatAddress(number, family);
  const length = bitsOf(family);
  return { text: `${address}/${length}`, family, length, start: number, end: number, address };
}

/** Like `parseRange`, but returns undefined instead of an error. */
export function tryParseRange(text: string): Range | undefined {
  try {
    return parseRange(text);
  } catch (error) {
    if (error instanceof InvalidRange) return undefined;
    throw error;
  }
}

/** The valid ranges of the texts; unreadable texts are skipped. */
export function readRanges(texts: readonly string[]): Range[] {
  return texts.flatMap((text) => tryParseRange(text) ?? []);
}

/** An address as a number. @throws InvalidRange */
export function addressNumber(text: string): { family: 4 | 6; number: bigint } {
  const family = addressFamily(text);
  if (family === undefined) throw new InvalidRange(text, 'it is not a valid IP address');
  return { family, number: numberOf(text, family) };
}

/** Text of an address: dotted decimal, or RFC 5952. */
export function formatAddress(number: bigint, family: 4 | 6): string {
  if (family === 4) {
    const bits = Number(number);
    return `${bits >>> 24}.${(bits >>> 16) & 255}.${(bits >>> 8) & 255}.${bits & 255}`;
  }
  const groups = Array.from({ length: 8 }, (_, index) =>
    ((number >> BigInt(112 - 16 * index)) & 0xffffn).toString(16),
  );
  return normalizeCidr(groups.join(':'), { hexify: true });
}

/** Canonical text of an address, equal for all its spellings. @throws InvalidRange */
export function normalizeAddress(text: string): string {
  const { family, number } = addressNumber(text);
  return formatAddress(number, family);
}

/** The range of exactly this address. @throws InvalidRange */
export function hostRange(address: string): string {
  return parseHost(address).text;
}

/** Number of addresses. */
export function rangeSize(range: Range): bigint {
  return range.end - range.start + 1n;
}

export function overlaps(one: Range, other: Range): boolean {
  return one.family === other.family && one.start <= other.end && other.start <= one.end;
}

/** Whether `outer` contains all of `inner`. */
export function contains(outer: Range, inner: Range): boolean {
  return outer.family === inner.family && outer.start <= inner.start && inner.end <= outer.end;
}

/** Whether any range contains the address; false if the text is no address. */
export function anyContains(ranges: readonly Range[], address: string): boolean {
  if (addressFamily(address) === undefined) return false;
  const { family, number } = addressNumber(address);
  return ranges.some((range) => range.family === family && range.start <= number && number <= range.end);
}

/** Whether any range contains all of `inner`. */
export function covers(ranges: readonly Range[], inner: Range): boolean {
  return ranges.some((range) => contains(range, inner));
}

/** The address at `offset` from the first one. @throws InvalidRange if the range is smaller than that. */
export function hostAt(range: Range, offset: number | bigint): Host {
  const number = range.start + BigInt(offset);
  if (BigInt(offset) < 0n || number > range.end) {
    throw new InvalidRange(range.text, `it has no address number ${offset}`);
  }
  return hostFrom(number, range.family);
}

/** The same as text. @throws InvalidRange */
export function addressAt(range: Range, offset: number | bigint): string {
  return hostAt(range, offset).address;
}

/** The offset from the first address; undefined if the address lies outside. */
export function offsetOf(range: Range, address: string): bigint | undefined {
  if (addressFamily(address) !== range.family) return undefined;
  const { number } = addressNumber(address);
  return number < range.start || number > range.end ? undefined : number - range.start;
}

/** The remainder of a range without others, in as few ranges as possible. */
export function without(range: Range, others: readonly Range[]): Range[] {
  const met = others.filter((other) => overlaps(other, range));
  if (met.length === 0) return [range];
  if (met.some((other) => contains(other, range))) return [];
  const rest = excludeCidr(
    range.text,
    met.map((other) => other.text),
  );
  return rest.map((each) => parseRange(each));
}

/**
 * The first free range of `length` bits, aligned, inside the pools in their order, that overlaps nothing in `used`. Undefined
 * if there is none.
 */
export function firstFreeRange(
  length: number,
  pools: readonly Range[],
  used: readonly Range[],
): Range | undefined {
  for (const pool of pools) {
    if (pool.length > length) continue;
    const avoid = used.filter((range) => overlaps(range, pool));
    if (avoid.some((range) => contains(range, pool))) continue;
    const free =
      avoid.length === 0
        ? [pool.text]
        : excludeCidr(
            pool.text,
            avoid.map((range) => range.text),
          );
    // The remainder is sorted and aligned: the first block that is large enough starts with the result.
    for (const text of free) {
      const block = parseRange(text);
      if (block.length <= length) return rangeFrom(block.start, length, block.family);
    }
  }
  return undefined;
}
