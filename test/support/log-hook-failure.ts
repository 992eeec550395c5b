/** Wraps a hook so that its error is printed: uvu ends a suite whose hook throws without printing why. */
export function logHookFailure(hook: () => Promise<void>): () => Promise<void> {
  return async () => {
    try {
      await hook();
    } catch (error) {
      console.error(error);
      throw error;
    }
  };
}
