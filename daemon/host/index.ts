export { createCommandRunner, CommandError, type RunCommand } from './command.ts';
export { findForeignProblems } from './foreign-problems.ts';
export { readParameter, type ReadParameter } from './foreign.ts';
export { createHost, type Host, type HostRefusal, type HostReport } from './host.ts';
export { monitorHost } from './monitor.ts';
export { underlayMTU } from './underlay.ts';
export type { RefusedRoute } from './needed.ts';
export type {
  HostAddress,
  HostPlan,
  HostRoute,
  HostService,
  IsolatedTenant,
  IsolationPlan,
  NeededRange,
  PacketPlan,
} from './plan.ts';
