/**
 * Kubernetes quantities (k8s.io/apimachinery, pkg/api/resource): `500m`, `1.5Gi`, `1e3`. Computed exactly, in billionths, which
 * are Kubernetes' smallest unit.
 */

/** The suffixes of a quantity: powers of 1000 or of 1024. */
export type QuantityFormat = 'Decimal' | 'Binary';

const NANO = 1_000_000_000n;

/** The text is not a valid quantity. */
export class QuantityError extends RangeError {
  override readonly name = 'QuantityError';
}

const decimalExponents: Readonly<Record<string, number>> = {
  n: -9,
  u: -6,
  m: -3,
  '': 0,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
  E: 18,
};
const binarySuffixes = ['Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'] as const;
const decimalSuffixes = ['n', 'u', 'm', '', 'k', 'M', 'G', 'T', 'P', 'E'] as const;
/** Longer texts are no quantity that Kubernetes represents exactly, and a large exponent would cost memory. */
const LENGTH_LIMIT = 64;
const EXPONENT_LIMIT = 30;

/** Billionths of a quantity. Smaller fractions are rounded away from zero, as in Kubernetes. Throws QuantityError. */
export function parseQuantity(text: string): bigint {
  const match =
    text.length <= LENGTH_LIMIT
      ? /^([+-]?)(\d*)(?:\.(\d*))?(?:([eE][+-]?\d{1,3})|([numkMGTPE]|[KMGTPE]i)?)$/.exec(text)
      : null;
  const [, sign = '', whole = '', fraction = '', exponentText, suffix = ''] = match ?? [];
  if (match === null || whole + fraction === '') throw invalid(text);
  const digits = BigInt(whole + fraction);
  const binary = binarySuffixes.indexOf(suffix as (typeof binarySuffixes)[number]);
  const exponent =
    exponentText === undefined ? (decimalExponents[suffix] ?? 0) : Number(exponentText.slice(1));
  if (Math.abs(exponent) > EXPONENT_LIMIT) throw invalid(text);
  let scaled = digits * NANO * 10n ** BigInt(Math.max(exponent, 0));
  if (binary >= 0) scaled *= 1024n ** BigInt(binary + 1);
  const divisor = 10n ** BigInt(fraction.length + Math.max(-exponent, 0));
  const rounded = (scaled + divisor - 1n) / divisor;
  return sign === '-' ? -rounded : rounded;
}

/** The format of the text; plain numbers count as decimal. */
export function quantityFormat(text: string): QuantityFormat {
  return text.endsWith('i') ? 'Binary' : 'Decimal';
}

/** The shortest exact text with a suffix, as Kubernetes writes it: `1500m`, `2`, `1536Mi`. */
export function formatQuantity(nano: bigint, format: QuantityFormat): string {
  if (nano === 0n) return '0';
  if (nano < 0n) return `-${formatQuantity(-nano, format)}`;
  // Kubernetes writes binary quantities below 1024, and fractions, in decimal form.
  if (format === 'Binary' && nano >= 1024n * NANO && nano % NANO === 0n) {
    let value = nano / NANO;
    let power = 0;
    while (value % 1024n === 0n && power < binarySuffixes.length) {
      value /= 1024n;
      power++;
    }
    return `${value}${power === 0 ? '' : (binarySuffixes[power - 1] ?? '')}`;
  }
  let value = nano;
  let power = 0;
  while (value % 1000n === 0n && power < decimalSuffixes.length - 1) {
    value /= 1000n;
    power++;
  }
  return `${value}${decimalSuffixes[power] ?? ''}`;
}

/** Negative, zero or positive as `a` is less than, equal to or more than `b`. Throws QuantityError. */
export function compareQuantities(a: string, b: string): number {
  const [first, second] = [parseQuantity(a), parseQuantity(b)];
  if (first === second) return 0;
  return first < second ? -1 : 1;
}

/** The sum, in the format of the first one; `0` for none. Throws QuantityError. */
export function addQuantities(...quantities: readonly string[]): string {
  const sum = quantities.reduce((total, quantity) => total + parseQuantity(quantity), 0n);
  return formatQuantity(sum, formatOf(quantities));
}

/** `a - b`, in the format of `a`; may be negative. Throws QuantityError. */
export function subtractQuantities(a: string, b: string): string {
  return formatQuantity(parseQuantity(a) - parseQuantity(b), formatOf([a, b]));
}

/** Whether the text is a quantity. */
export function isQuantity(text: string): boolean {
  try {
    parseQuantity(text);
    return true;
  } catch {
    return false;
  }
}

// Zeros do not determine the format.
function formatOf(quantities: readonly string[]): QuantityFormat {
  return quantityFormat(quantities.find((quantity) => parseQuantity(quantity) !== 0n) ?? '0');
}

function invalid(text: string): QuantityError {
  return new QuantityError(
    `${JSON.stringify(text.slice(0, LENGTH_LIMIT))} is not a valid quantity; examples: 500m, 2, 1.5Gi, 1e3`,
  );
}
