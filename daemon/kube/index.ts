/** The controller's way to API servers. Nothing else in daemon/ speaks HTTP to one. */
export * from './client.ts';
export * from './clock.ts';
export * from './config.ts';
export * from './context.ts';
export * from './controller.ts';
export * from './errors.ts';
export * from './events.ts';
export * from './informer.ts';
export * from './informers.ts';
export * from './leader.ts';
export * from './log.ts';
export * from './queue.ts';
export * from './refs.ts';
export * from './status.ts';
export type { Answer, KubeConnection, RequestOptions } from './transport.ts';
export { createTransport, readBody } from './transport.ts';
export type * from './types.ts';
export { conditionsOf } from './types.ts';
