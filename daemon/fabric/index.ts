/** The fabric's part of the controller. Nodes load `node.ts` alone, since each of them pays for what it loads. */
export { runFabricController } from './controller.ts';
export { publicKeyAnnotation } from './slot-objects.ts';
