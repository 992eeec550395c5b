/**
 * Parses the output of `ip -json` and `nft -j` without a schema library: it would cost memory on every node, and these tools
 * come from Hawser's own image.
 */

export type JSONRecord = Record<string, unknown>;

/** The objects of an array; other elements are left out. Throws SyntaxError for invalid JSON. */
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
