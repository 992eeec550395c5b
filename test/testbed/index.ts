/** The testbed: real clusters on this machine, for tests and for the demo. See README.md here. */
export { attach, down, up } from './bed.ts';
export type { Bed, BedCluster, BedNode, UpOptions } from './bed.ts';
export type { Fault, Faults, NatRequest } from './faults.ts';
export type { FirewallRequest, TrafficRequest } from './fault-rules.ts';
export type { Impairment } from './relay/link.ts';
export { agnhostImage } from './image.ts';
export { PlanError } from './plan.ts';
export type { BedPlan, BedRequest, ClusterPlan, ClusterRequest, NodePlan } from './plan.ts';
export { ensurePrograms } from './programs.ts';
export { upControlPlane } from './up-control-plane.ts';
export type { ControlPlane, ControlPlaneOptions } from './up-control-plane.ts';
