/** How the command ends. The numbers are part of its interface: scripts rely on them. */
export const exitCodes = {
  done: 0,
  /** It was tried and did not work, or what was asked about is not so. */
  failed: 1,
  /** Wrong arguments; nothing was tried. */
  usage: 2,
  /** It was begun and had not come to its end by the deadline; it goes on in the cluster. */
  late: 3,
  /** Interrupted (128 + SIGINT, as shells count). */
  interrupted: 130,
} as const;

/** An error for whoever typed the command: what happened and what can be done, without a stack. */
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
