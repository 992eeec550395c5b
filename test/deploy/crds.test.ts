import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { crdManifests, structural } from '../../deploy/crds.ts';
import { outdatedFiles } from '../../deploy/generate.ts';
import { kinds } from '../../shared/api/kinds.ts';

interface Schema {
  type: string;
  description?: string;
  enum?: string[];
  required?: string[];
  properties?: Record<string, Schema>;
  items?: Schema;
  additionalProperties?: Schema;
}

interface Field {
  path: string;
  schema: Schema;
  required: boolean;
}

/** Every field of a schema, including those within lists and maps. */
function fieldsOf(schema: Schema, path: string): Field[] {
  const within = Object.entries(schema.properties ?? {}).flatMap(([name, property]) => [
    { path: `${path}.${name}`, schema: property, required: schema.required?.includes(name) === true },
    ...fieldsOf(property, `${path}.${name}`),
  ]);
  const elements = schema.items ?? schema.additionalProperties;
  return elements === undefined ? within : [...within, ...fieldsOf(elements, `${path}[]`)];
}

const schemas = (
  crdManifests() as {
    spec: {
      names: { kind: string; shortNames: string[] };
      versions: { schema: { openAPIV3Schema: Schema } }[];
    };
  }[]
).map(({ spec }) => ({ names: spec.names, schema: spec.versions[0]!.schema.openAPIV3Schema }));
const fields = schemas
  .flatMap(({ names, schema }) => fieldsOf(schema, names.kind))
  // Kubernetes itself describes metadata.
  .filter(({ path }) => !path.endsWith('.metadata'));

/**
 * Existing short names with the same letter: of Kubernetes (HorizontalPodAutoscaler) and Flux (HelmChart, HelmRelease,
 * HelmRepository).
 */
const foreignShortNames = ['hpa', 'hc', 'hr', 'helmrepo'];

const crds = suite('CustomResourceDefinitions');

crds('each kind has one CRD', () => {
  assert.is(crdManifests().length, kinds.length);
});

crds('every kind and every field is described in sentences', () => {
  const sentence = /^[A-Z].{15,}[.]$/;
  const bad = [
    ...schemas
      .filter(({ schema }) => !sentence.test(schema.description ?? ''))
      .map(({ names }) => names.kind),
    ...fields.filter(({ schema }) => !sentence.test(schema.description ?? '')).map(({ path }) => path),
  ];
  assert.ok(fields.length > 400, `${fields.length}`);
  assert.equal(bad, []);
});

crds('the description of an optional spec field states its default', () => {
  const bad = fields.filter(
    ({ path, required, schema }) =>
      path.includes('.spec.') && !required && !/ Default: /.test(schema.description ?? ''),
  );
  assert.equal(
    bad.map(({ path }) => path),
    [],
  );
});

crds('a string field of a spec with a special format has an example', () => {
  const free = /(PEM|base64|hexadecimal|ID of the remote)/;
  const bad = fields.filter(
    ({ path, schema }) =>
      path.includes('.spec.') &&
      schema.type === 'string' &&
      schema.enum === undefined &&
      !/ Example: |base64/.test(schema.description ?? '') &&
      !free.test(schema.description ?? ''),
  );
  assert.equal(
    bad.map(({ path }) => path),
    [],
  );
});

crds('every short name begins with h, to avoid those of other projects', () => {
  const own = schemas.flatMap(({ names }) => names.shortNames);
  assert.is(new Set(own).size, own.length);
  assert.is(own.length, schemas.length);
  assert.equal(
    own.filter((name) => foreignShortNames.includes(name) || !name.startsWith('h')),
    [],
  );
});

crds('each kind prints its age last, and a status with its reason', () => {
  for (const { kind, columns } of kinds) {
    assert.is(columns.at(-1)?.name, 'Age', kind);
    assert.ok(
      columns.some(({ name }) => name === 'Reason'),
      kind,
    );
    assert.ok(
      columns.some(({ name, priority }) => name === 'Message' && priority === 1),
      kind,
    );
  }
});

crds('the CRDs in chart and reference are up to date', async () => {
  assert.equal(await outdatedFiles(), [], 'run npm run generate');
});

crds('integers have int64 bounds, not those of a double', () => {
  const schema = {
    type: 'integer',
    minimum: Number.MIN_SAFE_INTEGER,
    maximum: Number.MAX_SAFE_INTEGER,
  };
  assert.equal(structural(schema, 'x'), { type: 'integer', format: 'int64' });
});

crds('schemas allow unknown fields, which Kubernetes prunes', () => {
  const schema = { type: 'object', properties: {}, additionalProperties: false };
  assert.equal(structural(schema, 'x'), { type: 'object', properties: {} });
});

crds('free-form content keeps its unknown fields', () => {
  const schema = {
    type: 'object',
    additionalProperties: {},
    propertyNames: { type: 'string' },
    'x-kubernetes-preserve-unknown-fields': true,
  };
  assert.equal(structural(schema, 'x'), { type: 'object', 'x-kubernetes-preserve-unknown-fields': true });
});

crds('a schema without structural form is refused by name', () => {
  assert.throws(() => structural({ anyOf: [] }, 'Kind.spec.field'), /Kind\.spec\.field: "anyOf"/);
});

crds.run();
