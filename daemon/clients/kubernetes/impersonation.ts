/** The impersonation headers for a kubeconfig's user (Kubernetes documentation, "User impersonation"). Pure. */
import type { User } from './kubeconfig-fields.ts';

/**
 * Headers for `as`, `as-groups`, `as-uid` and `as-user-extra`; an Error for values that the API server would refuse. An
 * unusable value must not be left out, or the request would have more rights than the person asked for.
 */
export function impersonationHeaders(user: User): Record<string, string | string[]> | Error {
  const { as, 'as-uid': uid, 'as-groups': groups = [], 'as-user-extra': extra = {} } = user;
  if (!as) {
    const rest = ['as-uid', 'as-groups', 'as-user-extra'].find((field) => isSet(user[field]));
    return rest === undefined ? {} : new Error(`${rest} is set and \`as\` is not; name the user to act as`);
  }
  const texts = (value: unknown): value is string[] =>
    Array.isArray(value) && value.every((each) => typeof each === 'string');
  if (typeof as !== 'string' || (uid !== undefined && typeof uid !== 'string'))
    return new Error('`as` and `as-uid` are not text');
  if (!texts(groups)) return new Error('`as-groups` is not a list of names');
  if (!Object.values(extra).every(texts)) return new Error('`as-user-extra` is not a map of lists');
  return {
    'Impersonate-User': as,
    ...(uid && { 'Impersonate-Uid': uid }),
    ...(groups.length > 0 && { 'Impersonate-Group': groups }),
    ...Object.fromEntries(
      Object.entries(extra).map(([key, values]) => [`Impersonate-Extra-${escapeKey(key)}`, values]),
    ),
  };
}

function isSet(value: unknown): boolean {
  if (value === undefined || value === null || value === '') return false;
  return typeof value !== 'object' || Object.keys(value).length > 0;
}

/** Percent-encodes characters that are invalid in a header name, and the percent sign (client-go, transport/round_trippers.go). */
function escapeKey(key: string): string {
  return [...Buffer.from(key)]
    .map((byte) => {
      const letter = String.fromCharCode(byte);
      if (/[A-Za-z0-9!#$&'*+.^_`|~-]/.test(letter)) return letter;
      return `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    })
    .join('');
}
