/** Parses bytes to a value of a schema, or to a problem that names every invalid field with the allowed values. */
import { z } from 'zod';
import { Problem, type FieldProblem } from '../../shared/errors.ts';
import { textOf } from '../../shared/trust/encoding.ts';

const ERRORS_SHOWN = 16;

/** Parses JSON and validates it. An empty body counts as `{}` if `emptyAllowed`. Throws Problem. */
export function parseBody<S extends z.ZodType>(
  schema: S,
  body: Uint8Array,
  emptyAllowed: boolean,
): z.output<S> {
  const parsed = schema.safeParse(emptyAllowed && body.length === 0 ? {} : parseJSON(body));
  if (parsed.success) return parsed.data;
  throw invalidFields(parsed.error.issues.flatMap((issue) => describeIssue(schema, issue)));
}

/** A problem of fields; its detail is that of the first one. */
export function invalidFields(errors: readonly FieldProblem[]): Problem {
  const [first] = errors;
  const subject = first === undefined || first.field === '' ? 'The body' : `The field "${first.field}"`;
  const allowed = first?.allowed === undefined ? '' : ` Allowed: ${first.allowed}.`;
  const more = errors.length > 1 ? ` ${errors.length - 1} more in "errors".` : '';
  return new Problem('invalid-field', `${subject} ${first?.detail ?? 'is not valid'}.${allowed}${more}`, {
    errors: errors.slice(0, ERRORS_SHOWN),
  });
}

function parseJSON(body: Uint8Array): unknown {
  if (body.length === 0) throw new Problem('malformed-body', 'The body is empty; a JSON object is expected.');
  let text: string;
  try {
    text = textOf(body);
  } catch {
    throw new Problem('malformed-body', 'The body is not UTF-8.');
  }
  try {
    return JSON.parse(text);
  } catch {
    // The parser's own message quotes the text, which may be a secret.
    throw new Problem('malformed-body', 'The body is not JSON.');
  }
}

type Issue = z.core.$ZodIssue;
type JSONSchema = Record<string, unknown>;

function describeIssue(schema: z.ZodType, issue: Issue): FieldProblem[] {
  const path = issue.path.map(String);
  const expected = schemaAt(z.toJSONSchema(schema, { io: 'input' }) as JSONSchema, path);
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({
      field: cut([...path, key].join('.'), 256),
      detail: 'is unknown',
      ...(expected !== undefined && {
        allowed: cut(Object.keys(expected['properties'] ?? {}).join(', '), 1024),
      }),
    }));
  const allowed = expected === undefined ? '' : describeSchema(expected);
  return [
    {
      field: cut(path.join('.'), 256),
      // Zod's messages describe the schema, never the value, except for custom messages of refinements.
      detail:
        issue.code === 'invalid_type' && issue.input === undefined
          ? 'is missing or has the wrong type'
          : 'has an invalid value',
      ...(allowed !== '' && { allowed }),
    },
  ];
}

function schemaAt(root: JSONSchema, path: readonly string[]): JSONSchema | undefined {
  let at: JSONSchema | undefined = root;
  for (const step of path) {
    const properties = at?.['properties'] as Record<string, JSONSchema> | undefined;
    at =
      properties && Object.hasOwn(properties, step)
        ? properties[step]
        : (at?.['items'] as JSONSchema | undefined);
  }
  return at;
}

/** Describes a JSON Schema in a sentence. */
function describeSchema(schema: JSONSchema): string {
  const parts: string[] = [];
  const { type, minimum, maximum, minLength, maxLength, pattern, maxItems } = schema;
  if (Array.isArray(schema['enum'])) parts.push(`one of ${schema['enum'].map(String).join(', ')}`);
  else if (schema['const'] !== undefined) parts.push(JSON.stringify(schema['const']));
  else if (typeof type === 'string') parts.push(`${/^[aeiou]/.test(type) ? 'an' : 'a'} ${type}`);
  if (typeof minimum === 'number' && minimum > Number.MIN_SAFE_INTEGER) parts.push(`at least ${minimum}`);
  if (typeof maximum === 'number' && maximum < Number.MAX_SAFE_INTEGER) parts.push(`at most ${maximum}`);
  if (typeof minLength === 'number') parts.push(`at least ${minLength} long`);
  if (typeof maxLength === 'number') parts.push(`at most ${maxLength} long`);
  if (typeof maxItems === 'number') parts.push(`at most ${maxItems} items`);
  if (typeof pattern === 'string') parts.push(`matching ${pattern}`);
  return cut(parts.join(', '), 1024);
}

function cut(text: string, limit: number): string {
  return text.length <= limit ? text : `${text.slice(0, limit - 1)}…`;
}
