export { kind, type KubeClient } from '../../../daemon/kube/index.ts';
import { conditionsOf, type KubernetesObject } from '../../../daemon/kube/index.ts';
import { isTrue } from '../../../shared/conditions.ts';

/** Is there an object, and is that condition of it true? */
export const isTrueOf = (object: KubernetesObject | undefined, type: string): boolean =>
  object !== undefined && isTrue(conditionsOf(object), type);
