/** A kubeconfig that cannot be used. The message names the file, what is wrong in it, and what can be done. */
export class KubeconfigError extends Error {
  override readonly name = 'KubeconfigError';
  /** The context that was asked for is in none of the files. */
  readonly unknownContext: boolean;
  constructor(message: string, options: ErrorOptions & { unknownContext?: boolean } = {}) {
    super(message, options);
    this.unknownContext = options.unknownContext === true;
  }
}
