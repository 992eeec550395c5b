/** Exit codes, which are part of the command's interface: scripts rely on them. */
export const exitCodes = {
  done: 0,
  /** The operation or the checked state failed. */
  failed: 1,
  /** Invalid arguments; nothing was tried. */
  usage: 2,
  /** The operation was started and did not finish before the deadline; it continues in the cluster. */
  late: 3,
  /** Interrupted (128 + SIGINT, as shells count). */
  interrupted: 130,
} as const;

/** An error that a person can act on: what happened, and what to do. Printed without a stack. */
export class CommandError extends Error {
  readonly exitCode: number;
  constructor(message: string, exitCode: number = exitCodes.failed, options?: ErrorOptions) {
    super(message, options);
    this.name = 'CommandError';
    this.exitCode = exitCode;
  }
}

export class UsageError extends CommandError {
  constructor(message: string) {
    super(message, exitCodes.usage);
    this.name = 'UsageError';
  }
}
