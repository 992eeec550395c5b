/** An unusable kubeconfig. The message names the file, the error and what a person can do. */
export class KubeconfigError extends Error {
  override readonly name = 'KubeconfigError';
  /** None of the files has the requested context. */
  readonly unknownContext: boolean;
  constructor(message: string, options: ErrorOptions & { unknownContext?: boolean } = {}) {
    super(message, options);
    this.unknownContext = options.unknownContext === true;
  }
}
