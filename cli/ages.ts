/** Formats times and sizes for people. */

/** `in 14 min`, `3 h ago`, `now`; `-` for undefined. */
export function ago(time: string | undefined, now: number): string {
  if (time === undefined) return '-';
  const milliseconds = Date.parse(time) - now;
  if (Number.isNaN(milliseconds)) return time;
  const span = spanOf(Math.abs(milliseconds));
  if (Math.abs(milliseconds) < 1000) return 'now';
  return milliseconds > 0 ? `in ${span}` : `${span} ago`;
}

/** `42 s`, `14 min`, `3 h`, `5 days`. */
export function spanOf(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

/** `1.4 GiB`. */
export function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit] ?? ''}`;
}
