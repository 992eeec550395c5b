/**
 * The CustomResourceDefinitions, generated from the processes' own schemas. Kubernetes supports a subset of JSON Schema
 * ("structural schemas", Extend the Kubernetes API with CustomResourceDefinitions); Zod's other keywords are translated or
 * dropped here.
 */
import { z } from 'zod';
import { kinds } from '../shared/api/kinds.ts';
import { group, version, type Kind } from '../shared/api/meta.ts';

type Schema = Record<string, unknown>;

/** Keywords of JSON Schema that a structural schema may have and that Zod writes. */
const keptKeywords = new Set([
  'type',
  'description',
  'format',
  'pattern',
  'enum',
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'multipleOf',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'maxProperties',
  'required',
  'default',
  'nullable',
]);

/**
 * Translates one schema from `z.toJSONSchema` into a structural one.
 * @throws Error with the path of a schema without structural form (unions, tuples, references)
 */
export function structural(schema: Schema, path: string): Schema {
  if (schema['x-kubernetes-preserve-unknown-fields'] === true) {
    return {
      type: 'object',
      ...(typeof schema['description'] === 'string' && { description: schema['description'] }),
      'x-kubernetes-preserve-unknown-fields': true,
    };
  }
  const result: Schema = {};
  for (const [key, value] of Object.entries(schema)) {
    if (keptKeywords.has(key) || key.startsWith('x-kubernetes-')) result[key] = value;
    else if (key === 'properties') {
      result['properties'] = Object.fromEntries(
        Object.entries(value as Record<string, Schema>).map(([name, property]) => [
          name,
          structural(property, `${path}.${name}`),
        ]),
      );
    } else if (key === 'items') result['items'] = structural(value as Schema, `${path}[*]`);
    else if (key === 'additionalProperties') {
      // Pruning already closes every object; only maps have a schema of their values.
      if (typeof value === 'object' && value !== null)
        result[key] = structural(value as Schema, `${path}[*]`);
    } else if (key === 'const') {
      result['enum'] = [value];
    } else if (key !== '$schema' && key !== 'propertyNames') {
      throw new Error(`${path}: "${key}" has no form in a CustomResourceDefinition`);
    }
  }
  if (typeof result['type'] !== 'string') throw new Error(`${path}: a structural schema needs a type`);
  if (result['type'] === 'integer') {
    // Zod bounds integers by the exact range of a double; Kubernetes expresses that as int64.
    result['format'] = 'int64';
    if (result['minimum'] === Number.MIN_SAFE_INTEGER) delete result['minimum'];
    if (result['maximum'] === Number.MAX_SAFE_INTEGER) delete result['maximum'];
  }
  return result;
}

/** The fields of every object, described in the words of the Kubernetes API conventions ("Types (Kinds)"). */
const envelope = {
  apiVersion: {
    type: 'string',
    description: `Group and version of the schema of this object: ${group}/${version}.`,
  },
  kind: { type: 'string', description: 'Kind of this object, in UpperCamelCase.' },
  // An API server refuses a CRD with further rules for metadata.
  metadata: { type: 'object' },
};

function schemaOf(type: z.ZodType, path: string): Schema {
  return structural(z.toJSONSchema(type, { io: 'input', reused: 'inline' }) as Schema, path);
}

/** The manifest of one kind. */
export function crdManifest(kind: Kind): object {
  const spec = schemaOf(kind.spec, `${kind.kind}.spec`);
  const status = schemaOf(kind.status, `${kind.kind}.status`);
  // Fields get defaults only within an existing spec, so if no field is required, the spec has a default too.
  const optional = spec['required'] === undefined;
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: {
      name: `${kind.plural}.${group}`,
      labels: { 'app.kubernetes.io/part-of': 'hawser' },
    },
    spec: {
      group,
      scope: kind.scope,
      names: {
        kind: kind.kind,
        listKind: `${kind.kind}List`,
        plural: kind.plural,
        singular: kind.singular,
        shortNames: kind.shortNames,
        categories: ['hawser'],
      },
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: kind.columns,
          schema: {
            openAPIV3Schema: {
              type: 'object',
              description: kind.description,
              ...(!optional && { required: ['spec'] }),
              properties: {
                ...envelope,
                spec: {
                  ...spec,
                  description: `Desired state of the ${kind.kind}.`,
                  ...(optional && { default: {} }),
                },
                status: {
                  ...status,
                  description: `Observed state of the ${kind.kind}, written by the controllers.`,
                },
              },
              ...(kind.validations.length > 0 && { 'x-kubernetes-validations': kind.validations }),
            },
          },
        },
      ],
    },
  };
}

/** The manifests of every kind, ready for `kubectl apply` or an API server. */
export function crdManifests(): object[] {
  return kinds.map(crdManifest);
}
