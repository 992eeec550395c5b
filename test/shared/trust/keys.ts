/** Keys for tests: the same ones every time. */
import { ClusterKey } from '../../../shared/trust/cluster-key.ts';

/** The key whose seed is `number` 32 times. */
export function keyOf(number: number): ClusterKey {
  return ClusterKey.generate((length) => new Uint8Array(length).fill(number));
}
