/** docs/reference/rights.md, from the table of rights. */
import { grantedRoles, roles, type Right, type RoleRights } from './rights.ts';

/** The whole document. */
export function rightsReference(): string {
  return [
    '# Rights',
    '',
    'Made from `deploy/rights.ts` by `npm run generate`. Every right of every role that Hawser has, with the code that needs it. A test',
    'compares the table with the roles of the chart and those that the controller makes, and checks that the code is reached by the',
    'process that has the right, mentions the resource and uses the verb. A verb in parentheses is used by no code, but permits no more',
    'than the verbs beside it.',
    '',
    ...roles.flatMap(sectionOf),
  ].join('\n');
}

function sectionOf(role: RoleRights): string[] {
  const place =
    role.namespace === undefined
      ? 'in the whole cluster'
      : `in ${role.namespace.startsWith('each') ? role.namespace : `the namespace \`${role.namespace}\``}`;
  return [
    `## ${role.kind} ${role.name}, ${place}`,
    '',
    `Held by ${role.holder}.`,
    '',
    ...tableOf(role.rights),
    '',
    ...(role.kind === 'ClusterRole' && role.name === 'hawser-controller' ? grantedText() : []),
  ];
}

function tableOf(rights: readonly Right[]): string[] {
  const rows = rights.map((right) => [
    `${right.group === '' ? '' : `${right.group} `}\`${right.resource}\`${(right.names ?? []).map((name) => ` \`${name}\``).join(',')}`,
    [...right.verbs, ...(right.alike === undefined ? [] : [`(${right.alike})`])].join(', '),
    right.why,
    [...right.code, ...(right.through ?? [])].map(linkOf).join(', '),
  ]);
  return [['resource', 'verbs', 'for', 'code'], ['---', '---', '---', '---'], ...rows].map(
    (cells) => `| ${cells.join(' | ')} |`,
  );
}

function linkOf(code: string): string {
  const [file = '', symbol = ''] = code.split('#');
  return `[${symbol}](../../${file})`;
}

function grantedText(): string[] {
  const granted = grantedRoles.flatMap(({ rights }) =>
    rights.map(({ group, resource }) => `\`${resource}\`${group === '' ? '' : ` (${group})`}`),
  );
  return [
    'Besides, it holds every right of the role `hawser-consumer` below, because the API server lets no one grant what he does not',
    `hold: ${[...new Set(granted)].join(', ')}.`,
    '',
  ];
}
