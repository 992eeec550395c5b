/** Derives an input from others, like libFuzzer. All randomness comes from one generator. */
const LONGEST = 4_096;
/** Boundary values. */
const NUMBERS = [0, 1, 32, 33, 64, 128, 129, 255, 256, 65_535, 65_536, 99_999, 2 ** 32 - 1, 2 ** 32];

const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39;

export function mutate(
  one: Uint8Array,
  other: Uint8Array,
  tokens: readonly Uint8Array[],
  random: () => number,
): Uint8Array {
  const below = (bound: number): number => Math.floor(random() * bound);
  let bytes = [...one];
  for (let changes = random() < 0.5 ? 1 : 1 + below(4); changes > 0; changes--) {
    const at = below(bytes.length + 1);
    switch (below(10)) {
      case 0:
        if (at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << below(8));
        break;
      case 1:
        if (at < bytes.length) bytes[at] = below(256);
        break;
      case 2:
        bytes.splice(at, 1 + below(8));
        break;
      case 3:
        bytes.splice(at, 0, ...Array.from({ length: 1 + below(8) }, () => below(256)));
        break;
      case 4: {
        const from = below(bytes.length + 1);
        bytes.splice(at, 0, ...bytes.slice(from, from + below(64)));
        break;
      }
      case 5: {
        const from = below(other.length + 1);
        bytes = [...bytes.slice(0, at), ...other.slice(from)];
        break;
      }
      case 6:
      case 7: {
        // Replace a number in text by another one.
        const start = bytes.findIndex((byte, index) => index >= at && isDigit(byte));
        if (start < 0) break;
        let end = start;
        while (end < bytes.length && isDigit(bytes[end] ?? 0)) end++;
        const number = random() < 0.5 ? below(200) : (NUMBERS[below(NUMBERS.length)] ?? 0);
        bytes.splice(start, end - start, ...Buffer.from(String(number)));
        break;
      }
      default: {
        const token = tokens[below(tokens.length)] ?? new Uint8Array(0);
        bytes.splice(at, random() < 0.5 ? token.length : 0, ...token);
      }
    }
  }
  return Uint8Array.from(bytes.slice(0, LONGEST));
}
