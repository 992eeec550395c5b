import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { crdManifests, structural } from '../../deploy/crds.ts';
import { outdatedCrdFiles } from '../../deploy/generate.ts';
import { kinds } from '../../shared/api/kinds.ts';

const crds = suite('CustomResourceDefinitions');

crds('there is one a kind', () => {
  assert.is(crdManifests().length, kinds.length);
});

crds('the chart holds them as they are made today', async () => {
  assert.equal(await outdatedCrdFiles(), [], 'run npm run generate');
});

crds('integers are bounded by int64, not by what a double holds', () => {
  const schema = {
    type: 'integer',
    minimum: Number.MIN_SAFE_INTEGER,
    maximum: Number.MAX_SAFE_INTEGER,
  };
  assert.equal(structural(schema, 'x'), { type: 'integer', format: 'int64' });
});

crds('objects are never closed, since Kubernetes prunes what it does not know', () => {
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

crds('what has no structural form is refused by name', () => {
  assert.throws(() => structural({ anyOf: [] }, 'Kind.spec.field'), /Kind\.spec\.field: "anyOf"/);
});

crds.run();
