export { createFabricNode, type FabricNodeRole, type NodeOptions } from './node.ts';
export type { DeviceConfiguration, DeviceStatus, Resolve, TunnelDevice } from './ports.ts';
