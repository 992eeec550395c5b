/** What a fuzzer of TypeScript needs to know of the code it is to break. */
export interface Harness {
  /** Inputs to begin with. */
  seeds: readonly Uint8Array[];
  /** Pieces that mean something to the code, for it to be made of. */
  tokens: readonly Uint8Array[];
  /** Inputs between two looks at the coverage; a look takes some milliseconds. */
  batch: number;
  /** Throws when a property doesn't hold. The same input gives the same outcome. */
  run(input: Uint8Array): void;
}
