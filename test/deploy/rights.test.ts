/**
 * Every right has code that needs it: the chart's roles and those that the controller creates hold exactly what the table in
 * deploy/rights.ts explains, and the code that it names exists, is imported by the holder, and uses each verb.
 */
import { existsSync, readFileSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import { loadAll } from 'js-yaml';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { essentialRights } from '../../cli/doctor/rights.ts';
import { tenantRules, twinRules } from '../../daemon/tenant/tenant-objects.ts';
import { grantedRoles, roles, type Right, type RoleRights, type Verb } from '../../deploy/rights.ts';
import { kind } from '../../shared/kube/refs.ts';
import type { PolicyRule } from '../../shared/kube/types.ts';

const root = join(import.meta.dirname, '..', '..');
const rights = suite('rights');
const ownNamespace = 'hawser-system';

interface Role {
  kind: string;
  metadata: { name: string; namespace?: string };
  rules?: (PolicyRule & { resourceNames?: string[] })[];
}

/** The chart's roles. Their templates use only the namespace and the labels as values, so Helm is not needed. */
async function chartRoles(): Promise<Role[]> {
  const templates = join(root, 'deploy/chart/templates');
  const made: Role[] = [];
  for (const file of await readdir(templates)) {
    const text = await readFile(join(templates, file), 'utf8');
    if (!/^kind: (Cluster)?Role$/m.test(text)) continue;
    for (const part of text.split(/^---$/m)) {
      if (!/^kind: (Cluster)?Role$/m.test(part)) continue;
      const plain = part
        .replaceAll('{{ .Release.Namespace }}', ownNamespace)
        .replace(/^.*\{\{- include "hawser\.labels".*\n/gm, '');
      assert.not.match(plain, /\{\{/, `${file} has a role that depends on values`);
      made.push(...(loadAll(plain) as Role[]));
    }
  }
  return made;
}

const key = (group: string, resource: string, verb: string, name = '*') =>
  `${verb} ${group === '' ? '' : `${group}/`}${resource}${name === '*' ? '' : ` named ${name}`}`;

const keysOf = ({ group, resource, verbs, alike, names = ['*'] }: Right): string[] =>
  [...verbs, ...(alike === undefined ? [] : [alike])].flatMap((verb) =>
    names.map((name) => key(group, resource, verb, name)),
  );

const ruleKeys = (rules: Role['rules']): string[] =>
  (rules ?? []).flatMap(({ apiGroups, resources, verbs, resourceNames = ['*'] }) =>
    apiGroups.flatMap((group) =>
      resources.flatMap((resource) =>
        verbs.flatMap((verb) => resourceNames.map((name) => key(group, resource, verb, name))),
      ),
    ),
  );

const difference = (one: readonly string[], other: readonly string[]): string[] => {
  const known = new Set(other);
  return [...new Set(one)].filter((each) => !known.has(each)).sort();
};

/** The rights of each role, from the chart and from the controller. */
async function heldRoles(): Promise<Map<string, string[]>> {
  const held = new Map<string, string[]>();
  for (const { kind: roleKind, metadata, rules } of await chartRoles())
    held.set(`${roleKind} ${metadata.name} ${metadata.namespace ?? ''}`, ruleKeys(rules));
  // The controller gives both the same name.
  held.set('Role hawser-consumer each tenant namespace', ruleKeys([...tenantRules]));
  held.set('Role hawser-consumer each twin namespace', ruleKeys([...twinRules]));
  return held;
}

/** The place of a ClusterRole's binding is not part of its key. */
const roleKey = (role: RoleRights) =>
  `${role.kind} ${role.name} ${role.kind === 'ClusterRole' ? '' : (role.namespace ?? '')}`;

rights(
  'every role of the chart and the controller holds what the table explains, and nothing more',
  async () => {
    const held = await heldRoles();
    assert.equal([...held.keys()].sort(), roles.map(roleKey).sort());
    const granted = grantedRoles.flatMap((role) => role.rights.flatMap(keysOf));
    for (const role of roles) {
      const explained = role.rights.flatMap(keysOf);
      const has = held.get(roleKey(role)) ?? [];
      assert.ok(!has.some((each) => each.includes('*')), `${roleKey(role)} has a wildcard`);
      const may = roleKey(role) === 'ClusterRole hawser-controller ' ? [...explained, ...granted] : explained;
      assert.equal(difference(has, may), [], `${roleKey(role)} holds what nothing needs`);
      assert.equal(difference(may, has), [], `${roleKey(role)} lacks what is said to be needed`);
    }
  },
);

/** Files that are reachable by imports, including those within functions. */
function reached(entries: readonly string[]): Set<string> {
  const seen = new Set<string>();
  const next = [...entries];
  for (let file = next.pop(); file !== undefined; file = next.pop()) {
    if (seen.has(file) || !existsSync(join(root, file))) continue;
    seen.add(file);
    for (const [, path] of readFileSync(join(root, file), 'utf8').matchAll(
      /(?:from|import)\s*\(?\s*'(\.[^']+\.ts)'/g,
    ))
      if (path !== undefined) next.push(normalize(join(dirname(file), path)));
  }
  return seen;
}

/** A call of a client: `kube.get(…)`, `remote.client.get<Pod>(…)`. */
const call = (...methods: string[]) => `\\b(kube|client)\\.(${methods.join('|')})(<[^>]*>)?\\(`;
const watching = '\\binformer(<.*>)?\\(|\\bcreateInformer(<.*>)?\\(|\\bstart\\(|new Collection(<.*>)?\\(';

/** The calls by which clients here use a verb. An informer lists and watches; server-side apply patches or creates. */
const calls: Readonly<Record<Verb, RegExp>> = {
  get: new RegExp(call('get', 'raw', 'upgrade')),
  list: new RegExp(`${watching}|${call('list')}|\\blistAllowed<`),
  watch: new RegExp(watching),
  create: new RegExp(`${call('create', 'apply', 'createSubresource', 'upgrade')}|\\bapplied\\.apply\\(`),
  update: new RegExp(call('replace')),
  patch: new RegExp(`${call('patch', 'apply')}|\\bapplied\\.apply\\(|\\bapplyStatus\\(`),
  delete: new RegExp(call('delete', 'remove')),
  bind: /\broleRef\b/,
  approve: /'approval'/,
};

/** Words, at least one of which appears in code that uses a resource. */
function wordsOf(resource: string): string[] {
  const [plural = '', subresource] = resource.split('/');
  if (plural === 'clusterroles') return ['ClusterRole'];
  if (plural === 'signers') return ['signerName'];
  const found = Object.entries(kind).find(([, each]) => each.plural === plural);
  const words = [plural, ...(found === undefined ? [] : [found[0], found[1].kind])];
  if (subresource === undefined || subresource === 'status') return words;
  // `token` may also appear as the kind TokenRequest; the others appear as literals.
  return [subresource, ...(subresource === 'token' ? ['TokenRequest'] : [])];
}

function problemsOf(role: RoleRights, right: Right, files: ReadonlySet<string>): string[] {
  const what = `${role.name}: ${right.verbs.join(', ')} ${right.resource}`;
  const problems: string[] = [];
  const texts: string[] = [];
  const at = (code: string, mentions: boolean) => {
    const [file = '', symbol = ''] = code.split('#');
    if (!existsSync(join(root, file))) {
      problems.push(`${what}: ${file} does not exist`);
      return;
    }
    const text = readFileSync(join(root, file), 'utf8');
    texts.push(text);
    if (!new RegExp(`\\b(function|const|class) ${symbol}\\b`).test(text))
      problems.push(`${what}: ${file} declares no ${symbol}`);
    if (!files.has(file)) problems.push(`${what}: ${file} is not reached by ${role.holder}`);
    if (mentions && !wordsOf(right.resource).some((word) => new RegExp(`\\b${word}\\b`).test(text)))
      problems.push(`${what}: ${file} does not mention ${right.resource}`);
  };
  if (right.alike !== undefined && (!right.verbs.includes('update') || right.verbs.includes(right.alike)))
    problems.push(`${what}: ${right.alike} is like update only`);
  if (right.code.length === 0) problems.push(`${what}: no code is named`);
  for (const code of right.code) at(code, true);
  for (const code of right.through ?? []) at(code, false);
  for (const verb of right.verbs)
    if (!texts.some((text) => calls[verb].test(text))) problems.push(`${what}: no code uses ${verb}`);
  return problems;
}

rights(
  'the code that the table names is there, is reached by the holder, and uses what it is said to use',
  () => {
    for (const role of roles) {
      const files = reached(role.entries);
      assert.ok(files.size > 20, `${role.name}: only ${files.size} files are reached`);
      assert.equal(
        role.rights.flatMap((right) => problemsOf(role, right, files)),
        [],
      );
    }
  },
);

rights('the rights that hawser doctor checks are in the table', () => {
  const missing = essentialRights.filter(
    ({ account, verb, group, resource, subresource, name }) =>
      !roles.some(
        (role) =>
          role.name === account &&
          role.rights.some(
            (right) =>
              right.group === group &&
              right.resource === (subresource === undefined ? resource : `${resource}/${subresource}`) &&
              (right.verbs as readonly string[]).includes(verb) &&
              (right.names === undefined || (name !== undefined && right.names.includes(name))),
          ),
      ),
  );
  assert.equal(missing, []);
});

/**
 * Uses that are visible in the code: `kube.get({ kind: kind.pod …`, `informer(kind.pod`. Those with `refOf(object)` are not.
 */
function uses(text: string): { verb: Verb; resource: string }[] {
  const direct =
    /(?<!remote\.client)\bkube\s*\.(get|list|patch|delete)(?:<[^>]*>)?\(\s*(?:\{\s*kind:\s*)?kind\.(\w+)/g;
  const informers =
    /(?<!remote\.)\b(?:createInformer|informer|start)(?:<[^(]*>)?\(\s*(?:kube,\s*)?kind\.(\w+)/g;
  const pluralOf = (name: string) => (kind as Record<string, { plural: string }>)[name]?.plural;
  return [
    ...[...text.matchAll(direct)].map(([, verb, name = '']) => ({
      verb: verb as Verb,
      resource: pluralOf(name),
    })),
    ...[...text.matchAll(informers)].flatMap(([, name = '']) =>
      (['list', 'watch'] as const).map((verb) => ({ verb, resource: pluralOf(name) })),
    ),
  ].flatMap(({ verb, resource }) => (resource === undefined ? [] : [{ verb, resource }]));
}

rights('every use by name in a process’s code is granted to one of its roles', () => {
  const seen = new Map<string, number>();
  for (const [holder, own] of Map.groupBy(roles, (role) => role.holder)) {
    if (!own.every(({ entries }) => entries.some((entry) => /^(daemon|gateway)/.test(entry)))) continue;
    // The consumer's controller holds both at once.
    if (grantedRoles.some((role) => role.holder === holder)) continue;
    const held = own.flatMap((role) => role.rights);
    const lacking = new Set<string>();
    for (const file of reached(own.flatMap(({ entries }) => entries))) {
      if (!/^(daemon|gateway)\//.test(file)) continue;
      for (const { verb, resource } of uses(readFileSync(join(root, file), 'utf8'))) {
        seen.set(holder, (seen.get(holder) ?? 0) + 1);
        if (!held.some((right) => right.resource === resource && right.verbs.includes(verb)))
          lacking.add(`${verb} ${resource}: ${file}`);
      }
    }
    assert.equal([...lacking], [], holder);
  }
  for (const [holder, count] of seen) assert.ok(count >= 5, `${holder}: only ${count} uses were found`);
  assert.is(seen.size, 3);
});

rights('a row is refused if its code is gone, unreachable, or unrelated', () => {
  const role = roles.find(({ name, kind: roleKind }) => name === 'hawser-node' && roleKind === 'ClusterRole');
  assert.ok(role);
  const files = reached(role.entries);
  const line: Right = {
    group: '',
    resource: 'pods',
    verbs: ['list'],
    code: ['daemon/fabric/node/sources.ts#createNodeSources'],
    why: '',
  };
  const check = (changes: Partial<Right>) => problemsOf(role, { ...line, ...changes }, files).join('\n');
  assert.is(check({}), '');
  assert.match(check({ code: ['daemon/fabric/node/gone.ts#any'] }), 'does not exist');
  assert.match(check({ code: ['daemon/fabric/node/sources.ts#gone'] }), 'declares no gone');
  assert.match(check({ code: ['daemon/tenant/caches.ts#createCaches'] }), 'is not reached');
  assert.match(check({ resource: 'limitranges' }), 'does not mention limitranges');
  assert.match(check({ verbs: ['list', 'delete'] }), 'no code uses delete');
  assert.match(check({ alike: 'patch' }), 'like update only');
});

rights.run();
