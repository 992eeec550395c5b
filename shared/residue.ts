/**
 * The residue of deleted objects, stored in a ConfigMap in Hawser's namespace, since the object itself is gone when it is
 * needed. One entry per object, by its UID. Pure.
 */

export const residueConfigMap = 'hawser-residue';

export interface Residue {
  kind: string;
  name: string;
  /** RFC 3339. */
  at: string;
  /** One sentence each: what is left, and the command that removes it. */
  residue: string[];
}

/** Older entries are dropped. */
const mostEntries = 64;

/** The entries with a new one, without the oldest ones beyond the limit. */
export function withResidue(
  data: Readonly<Record<string, string>>,
  uid: string,
  entry: Residue,
): Record<string, string> {
  const all = Object.entries({ ...data, [uid]: JSON.stringify(entry) });
  const age = (each: string): string => /"at":"([^"]*)"/.exec(each)?.[1] ?? '';
  const newestFirst = all.toSorted(([, one], [, other]) => (age(one) < age(other) ? 1 : -1));
  return Object.fromEntries(newestFirst.slice(0, mostEntries));
}

/** The residue of the object; empty without a readable entry. */
export function residueOf(data: Readonly<Record<string, string>> | undefined, uid: string): string[] {
  try {
    const { residue } = JSON.parse(data?.[uid] ?? '{}') as Partial<Residue>;
    return Array.isArray(residue) ? residue.filter((each) => typeof each === 'string') : [];
  } catch {
    return [];
  }
}
