/** A harness: how the fuzzer runs the code under test. */
export interface Harness {
  /** Initial inputs. */
  seeds: readonly Uint8Array[];
  /** Tokens with a meaning for the code, to insert into inputs. */
  tokens: readonly Uint8Array[];
  /** Inputs between two queries of the coverage, each of which takes some milliseconds. */
  batch: number;
  /** Throws if a property doesn't hold. The same input must have the same outcome. */
  run(input: Uint8Array): void;
}
