/** The chart's values, as `helm show values` prints them: each has a comment and is in the schema. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { load } from 'js-yaml';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const chart = join(import.meta.dirname, '..', '..', 'deploy', 'chart');
const values = suite('values of the chart');

/** Fields of Kubernetes' own types, which a comment at the value covers. */
const ofKubernetes = new Set(['requests', 'limits']);

values('every value has a comment directly above it', async () => {
  const lines = (await readFile(join(chart, 'values.yaml'), 'utf8')).split('\n');
  const keys = lines.flatMap((line, index) => {
    const key = /^ *([a-zA-Z]+):/.exec(line)?.[1];
    return key === undefined || ofKubernetes.has(key) ? [] : [{ key, above: lines[index - 1] ?? '' }];
  });
  assert.ok(keys.length > 40, `${keys.length}`);
  assert.equal(
    keys.filter(({ above }) => !/^ *# \S/.test(above)).map(({ key }) => key),
    [],
  );
});

interface Schema {
  properties?: Record<string, Schema>;
}

values('the schema has every value and no other', async () => {
  const given = load(await readFile(join(chart, 'values.yaml'), 'utf8')) as Record<string, unknown>;
  const schema = JSON.parse(await readFile(join(chart, 'values.schema.json'), 'utf8')) as Schema;
  const differences = (value: unknown, of: Schema | undefined, path: string): string[] => {
    if (of?.properties === undefined || typeof value !== 'object' || value === null) return [];
    const names = new Set([...Object.keys(value), ...Object.keys(of.properties)]);
    names.delete('global');
    return [...names].flatMap((name) =>
      name in value && of.properties?.[name] !== undefined
        ? differences((value as Record<string, unknown>)[name], of.properties[name], `${path}.${name}`)
        : [`${path}.${name}`],
    );
  };
  assert.equal(differences(given, schema, ''), []);
});

values.run();
