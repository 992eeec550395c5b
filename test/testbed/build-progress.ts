/** How far a build of several programs is, from how long each is expected to take and how long those before it took. */

export interface BuildState {
  /** What each program takes on two cores, in the order of the build, seconds. */
  expectedSeconds: readonly number[];
  /** How many are done, and how long they took together. */
  done: number;
  doneSeconds: number;
  /** Since the one that is being built was begun. */
  currentSeconds: number;
}

/** Nobody is told that something is done before it is. */
const mostOfCurrent = 0.95;

export function buildProgress(state: BuildState): { percent: number; secondsLeft: number } {
  const sum = (seconds: readonly number[]) => seconds.reduce((total, each) => total + each, 0);
  const whole = sum(state.expectedSeconds);
  const finished = sum(state.expectedSeconds.slice(0, state.done));
  // This machine may be slower or faster than the one that the expectations are from.
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
