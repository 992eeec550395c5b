/**
 * What `ip -json` and `nft -j` print, read without a schema library: a node pays for all that it loads, and these tools
 * are part of its own image.
 */

export type JSONRecord = Record<string, unknown>;

/** The objects of an array; anything else in it is left out. Throws SyntaxError for what is no JSON. */
export function readRecords(text: string): JSONRecord[] {
  return recordsOf(text.trim() === '' ? [] : JSON.parse(text));
}

export function recordsOf(value: unknown): JSONRecord[] {
  return Array.isArray(value) ? value.filter((each): each is JSONRecord => isRecord(each)) : [];
}

export function isRecord(value: unknown): value is JSONRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

export function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}

/** The entries of an nft listing. */
export function readListing(text: string): JSONRecord[] {
  const parsed: unknown = JSON.parse(text);
  return isRecord(parsed) ? recordsOf(parsed['nftables']) : [];
}
