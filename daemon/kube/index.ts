/** Kubernetes machinery of all features: caches, work queues, leader election, Events. The client itself: `shared/kube/`. */
export * from './applied.ts';
export * from '../../shared/kube/client.ts';
export * from '../../shared/time.ts';
export * from './context.ts';
export * from './controller.ts';
export * from '../../shared/kube/errors.ts';
export * from './events.ts';
export * from './finalizers.ts';
export * from '../../shared/kube/informer.ts';
export * from '../../shared/kube/informers.ts';
export * from './leader.ts';
export * from './log.ts';
export * from './status-debouncer.ts';
export * from './queue.ts';
export * from '../../shared/kube/refs.ts';
export * from './status.ts';
export type * from '../../shared/kube/types.ts';
export { conditionsOf } from '../../shared/kube/types.ts';
