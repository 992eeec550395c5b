/** Durations as options give them. Pure. */
import { UsageError } from './exit.ts';

const units: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** Bounds in seconds, both allowed. */
export interface DurationBounds {
  least: number;
  most: number;
  /** The bounds as a person writes them: `60s to 24h`. */
  shown: string;
}

/** `90s`, `15m`, `2h`, `1d`, or a plain number of seconds → seconds. Throws UsageError. */
export function parseDuration(option: string, value: string, bounds: DurationBounds): number {
  const match = /^([0-9]{1,8})([smhd]?)$/.exec(value);
  const seconds = match === null ? Number.NaN : Number(match[1]) * (units[match[2] || 's'] ?? 1);
  if (seconds >= bounds.least && seconds <= bounds.most) return seconds;
  throw new UsageError(
    `--${option} ${value}: must be a duration from ${bounds.shown}, such as 90s, 15m or 2h`,
  );
}

/** `120` → `2m`, `90` → `90s`. */
export function durationText(seconds: number): string {
  return seconds > 0 && seconds % 60 === 0 ? `${seconds / 60}m` : `${seconds}s`;
}
