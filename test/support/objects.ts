/** Builders of Kubernetes objects with plain defaults: a test names only the fields that it is about. */
import type { Condition } from '../../shared/api/meta.ts';
import type { Pod } from '../../shared/kube/types.ts';

export const testTime = '2026-01-01T00:00:00Z';

export const condition = (
  type: string,
  status: Condition['status'],
  { reason = 'Reason', message = 'detail', since = testTime } = {},
): Condition => ({ type, status, reason, message, lastTransitionTime: since });

export const container = { name: 'main', image: 'registry.example/app:1' };

/** A pod's spec with one container, whose fields can be added or replaced. */
export const withContainer = (more: object) => ({ containers: [{ ...container, ...more }] });

/** Pod `shop/web` with one container. */
export const pod = (
  parts: { metadata?: Partial<Pod['metadata']>; spec?: object; status?: Pod['status'] } = {},
): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'web', namespace: 'shop', uid: 'u1', ...parts.metadata },
  spec: { containers: [container], ...parts.spec },
  ...(parts.status !== undefined && { status: parts.status }),
});
