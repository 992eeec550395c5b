/** `docs/reference/crds.md`, generated from the installed manifests, so that both agree. Pure. */
import { group, version } from '../shared/api/meta.ts';
import { crdManifests } from './crds.ts';

interface Schema {
  type: string;
  description?: string;
  enum?: string[];
  format?: string;
  required?: string[];
  properties?: Record<string, Schema>;
  items?: Schema;
  additionalProperties?: Schema;
}

interface Manifest {
  spec: {
    scope: string;
    names: { kind: string; plural: string; shortNames: string[] };
    versions: {
      schema: { openAPIV3Schema: Schema & { 'x-kubernetes-validations'?: { message: string }[] } };
    }[];
  };
}

/** `string`, `[]object`, `map[string]integer`, or the allowed values. */
function typeText(schema: Schema): string {
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${value}\``).join(', ');
  if (schema.items !== undefined) return `[]${typeText(schema.items)}`;
  if (schema.additionalProperties !== undefined) return `map[string]${typeText(schema.additionalProperties)}`;
  return schema.format === 'date-time' ? 'time' : schema.type;
}

const cell = (text: string) => text.replaceAll('|', '\\|');

/** Rows of a table: fields in order, each followed by the fields within it. Conditions are the same everywhere. */
function rows(schema: Schema, path: string): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, property]) => {
    const at = path === '' ? name : `${path}.${name}`;
    const within = property.items ?? property.additionalProperties ?? property;
    const mark = schema.required?.includes(name) === true ? ' *' : '';
    const row = `| \`${at}\`${mark} | ${typeText(property)} | ${cell(property.description ?? '')} |`;
    if (name === 'conditions') return [row];
    const suffix = property.items !== undefined ? '[]' : property.additionalProperties ? '{}' : '';
    return [row, ...rows(within, `${at}${suffix}`)];
  });
}

function section({ spec }: Manifest): string[] {
  const { names, scope, versions } = spec;
  const schema = versions[0]!.schema.openAPIV3Schema;
  const table = (part: 'spec' | 'status') => [
    `### ${names.kind} ${part}`,
    '',
    '| field | type | description |',
    '| --- | --- | --- |',
    ...rows(schema.properties?.[part] ?? { type: 'object' }, ''),
    '',
  ];
  const rules = schema['x-kubernetes-validations'] ?? [];
  return [
    `## ${names.kind}`,
    '',
    schema.description ?? '',
    '',
    `\`kubectl get ${names.plural}\`, short name \`${names.shortNames.join(', ')}\`, ${scope === 'Cluster' ? 'cluster-scoped' : 'namespaced'}.${
      rules.length === 0 ? '' : ` Rule: ${rules.map(({ message }) => message).join('; ')}.`
    }`,
    '',
    ...table('spec'),
    ...table('status'),
  ];
}

/** The whole page. */
export function crdReference(): string {
  const manifests = crdManifests() as Manifest[];
  const lines = [
    '<!-- Generated from shared/api by "npm run generate"; do not edit. -->',
    '',
    '# Custom resources',
    '',
    `Group \`${group}\`, version \`${version}\`, category \`hawser\` (\`kubectl get hawser -A\`). \`kubectl explain KIND.spec\` shows the same texts. A field with * is required.`,
    '',
    ...manifests.map(({ spec: { names } }) => `- [${names.kind}](#${names.kind.toLowerCase()})`),
    '',
    'Conditions have the fields `type`, `status`, `observedGeneration`, `lastTransitionTime`, `reason` and `message`.',
    '',
    ...manifests.flatMap(section),
  ];
  return `${lines.join('\n').trimEnd()}\n`;
}
