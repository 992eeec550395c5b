/** Compatibility of Hawser's versions: N and N−2, in both directions. Pure. */

export interface VersionComparison {
  /** `TooFar`: more than two minor versions, or another major one. */
  distance: 'Same' | 'Near' | 'TooFar' | 'Unknown';
  /** Whether the second is the older one. */
  older: boolean;
}

/** Compares the second version with the first. */
export function compareVersions(own: string, other: string): VersionComparison {
  const [one, two] = [parse(own), parse(other)];
  if (one === undefined || two === undefined)
    return { distance: own === other ? 'Same' : 'Unknown', older: false };
  const first = [0, 1, 2].find((index) => one[index] !== two[index]);
  if (first === undefined) return { distance: 'Same', older: false };
  const older = (two[first] ?? 0) < (one[first] ?? 0);
  const far = first === 0 || (first === 1 && Math.abs((one[1] ?? 0) - (two[1] ?? 0)) > 2);
  return { distance: far ? 'TooFar' : 'Near', older };
}

function parse(version: string): number[] | undefined {
  const match = /^v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})/.exec(version);
  return match === null ? undefined : match.slice(1).map(Number);
}
