/** Reflection failures, as the NamespaceOffloading of their namespace reports them. */
import type { Finding } from '../../shared/conditions.ts';

export interface Problems {
  /** `key` is `peering/namespace`; an undefined problem clears it. */
  set(key: string, problem: string | undefined): void;
  finding(namespace: string): Finding;
}

const longestEach = 600;

/** Creates an empty collection. */
export function createProblems(): Problems {
  const problems = new Map<string, string>();
  return {
    set(key, problem) {
      if (problem === undefined) problems.delete(key);
      else problems.set(key, problem.slice(0, longestEach));
    },
    finding(namespace) {
      const type = 'Reflected';
      const said = [...problems]
        .map(([key, problem]) => [...key.split('/', 2), problem])
        .filter(([, of]) => of === namespace)
        .map(([peering, , problem]) => `${peering}: ${problem}`)
        .sort();
      if (said.length === 0) {
        const message = 'The objects that pods use are reflected to their providers.';
        return { type, status: 'True', reason: 'Reflected', message };
      }
      return {
        type,
        status: 'False',
        reason: said.some((each) => each.includes('exceeded quota')) ? 'NoRoom' : 'ProviderRefused',
        message: `Some objects that pods use could not be reflected; retrying. ${said.join(' ')}`,
      };
    },
  };
}
