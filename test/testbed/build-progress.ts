/** Progress of a build of several programs, from each one's expected duration and the actual duration of those before it. */

export interface BuildState {
  /** Expected build time of each program on two cores, in the order of the build, seconds. */
  expectedSeconds: readonly number[];
  /** Number of finished programs, and their total duration. */
  done: number;
  doneSeconds: number;
  /** Time since the start of the current program's build. */
  currentSeconds: number;
}

/** The estimate for the current program stays below 100 % until it is done. */
const mostOfCurrent = 0.95;

export function buildProgress(state: BuildState): { percent: number; secondsLeft: number } {
  const sum = (seconds: readonly number[]) => seconds.reduce((total, each) => total + each, 0);
  const whole = sum(state.expectedSeconds);
  const finished = sum(state.expectedSeconds.slice(0, state.done));
  // This machine may be slower or faster than the one of the expected durations.
  const slowness = finished > 0 && state.doneSeconds > 0 ? state.doneSeconds / finished : 1;
  const current = state.expectedSeconds[state.done] ?? 0;
  const ofCurrent = Math.min(state.currentSeconds / slowness, current * mostOfCurrent);
  const reached = finished + ofCurrent;
  return {
    percent: whole === 0 ? 100 : Math.floor((100 * reached) / whole),
    secondsLeft: Math.max(0, Math.round((whole - reached) * slowness)),
  };
}

/** `34 %, about 5 min left`. */
export function progressText(state: BuildState): string {
  const { percent, secondsLeft } = buildProgress(state);
  const left = secondsLeft >= 90 ? `${Math.round(secondsLeft / 60)} min` : `${Math.max(1, secondsLeft)} s`;
  return percent >= 100 ? '100 %' : `${percent} %, about ${left} left`;
}
