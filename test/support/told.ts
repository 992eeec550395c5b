/** For hooks: uvu ends a suite whose hook throws without a word of why. */
export function told(hook: () => Promise<void>): () => Promise<void> {
  return async () => {
    try {
      await hook();
    } catch (error) {
      console.error(error);
      throw error;
    }
  };
}
