/**
 * An allow-list as a tree of rules. A rule takes a consumer's value and returns the accepted part, or throws a Refusal with
 * the field and the reason. Fields without a rule are refused, since an unknown field may have any effect.
 */

import { plainLine } from '../../shared/plain-text.ts';

/** Why a pod is not admitted. The message is shown to the consumer and to the provider's administrators. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  /** Path in the PodSpec, as in `containers[0].ports[1].hostPort`. */
  readonly field: string;
  readonly reason: 'FieldNotAllowed' | 'PodSecurity' | 'QuotaExceeded' | 'Cordoned' | 'Malformed';

  constructor(field: string, why: string, reason: Refusal['reason'] = 'FieldNotAllowed') {
    super(plainLine(`${field}: ${why}`));
    this.field = plainLine(field);
    this.reason = reason;
  }
}

/** Returns the accepted value; undefined drops the field. */
export type Rule = (value: unknown, path: string) => unknown;

const mostItems = 256;
const longestText = 131_072;
/** Names of fields are JSON names of Kubernetes' API; keys of maps may be qualified names, `example.com/name`. */
const fieldName = /^[A-Za-z0-9._-]{1,63}$/;
const qualifiedName = /^[A-Za-z0-9./_-]{1,317}$/;

/** Refuses invalid names, which would otherwise be repeated in messages for administrators. */
function checkName(name: string, pattern: RegExp, path: string): void {
  if (pattern.test(name)) return;
  const letters = pattern === fieldName ? '".", "_" and "-"' : '".", "/", "_" and "-"';
  throw new Refusal(
    path === '' ? 'pod' : path,
    `has a field whose name is not valid: letters, digits, ${letters} are allowed`,
    'Malformed',
  );
}

const malformed = (path: string, expected: string) =>
  new Refusal(path, `is not a valid ${expected}`, 'Malformed');

export const text: Rule = (value, path) => {
  if (typeof value !== 'string') throw malformed(path, 'text');
  if (value.length > longestText) throw new Refusal(path, `is longer than ${longestText} characters`);
  return value;
};

export const flag: Rule = (value, path) => {
  if (typeof value !== 'boolean') throw malformed(path, 'boolean');
  return value;
};

export const whole: Rule = (value, path) => {
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw malformed(path, 'whole number');
  return value;
};

/** An integer, clamped to the bounds. */
export const clamped =
  (least: number, most: number): Rule =>
  (value, path) =>
    Math.min(most, Math.max(least, whole(value, path) as number));

/** A number or a name: ports. */
export const wholeOrText: Rule = (value, path) =>
  typeof value === 'number' ? whole(value, path) : text(value, path);

export const oneOf =
  (...allowed: readonly string[]): Rule =>
  (value, path) => {
    if (typeof value === 'string' && allowed.includes(value)) return value;
    throw new Refusal(path, `is ${JSON.stringify(value)?.slice(0, 60)}; allowed: ${allowed.join(', ')}`);
  };

/** Accepted unchanged, for another rule that checks it. */
export const anything: Rule = (value) => value;

/** Dropped without an error, since it has no meaning here. */
export const dropped: Rule = () => undefined;

/** Refused, unless the value equals the default. */
export const refused =
  (why: string): Rule =>
  (value, path) => {
    const harmless =
      value === false ||
      value === '' ||
      value === 0 ||
      (Array.isArray(value) && value.length === 0) ||
      (typeof value === 'object' && value !== null && Object.keys(value).length === 0);
    if (harmless) return undefined;
    throw new Refusal(path, why);
  };

export const list =
  (item: Rule, most = mostItems): Rule =>
  (value, path) => {
    if (!Array.isArray(value)) throw malformed(path, 'list');
    if (value.length > most)
      throw new Refusal(path, `has ${value.length} items; at most ${most} are allowed`);
    return value.map((each, index) => item(each, `${path}[${index}]`)).filter((each) => each !== undefined);
  };

/** A map from text to text, such as labels. */
export const textMap: Rule = (value, path) => {
  const entries = Object.entries(record(value, path));
  if (entries.length > mostItems) throw new Refusal(path, `has more than ${mostItems} entries`);
  return Object.fromEntries(
    entries.map(([name, each]) => {
      checkName(name, qualifiedName, path);
      return [name, text(each, `${path}[${name.slice(0, 80)}]`)];
    }),
  );
};

/** A map from resource name to quantity; quantities may be JSON numbers. */
export const quantityMap: Rule = (value, path) =>
  Object.fromEntries(
    Object.entries(record(value, path)).map(([name, each]) => {
      checkName(name, qualifiedName, path);
      return [name, typeof each === 'number' ? String(each) : text(each, `${path}.${name.slice(0, 80)}`)];
    }),
  );

/** An object with only these fields. */
export const object =
  (fields: Readonly<Record<string, Rule>>): Rule =>
  (value, path) => {
    const kept: Record<string, unknown> = {};
    for (const [name, each] of Object.entries(record(value, path))) {
      if (each === null || each === undefined) continue;
      checkName(name, fieldName, path);
      const place = path === '' ? name : `${path}.${name}`;
      const rule = Object.hasOwn(fields, name) ? fields[name] : undefined;
      if (rule === undefined) {
        throw new Refusal(place.slice(0, 200), 'is a field that this provider does not admit');
      }
      const result = rule(each, place);
      if (result !== undefined) kept[name] = result;
    }
    return kept;
  };

function record(value: unknown, path: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw malformed(path || 'pod', 'object');
  return value as Record<string, unknown>;
}
