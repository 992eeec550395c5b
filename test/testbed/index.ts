/** The test bed: real clusters on this machine, for tests and for the demo. See README.md here. */
export { upControlPlane } from './up-control-plane.ts';
export type { ControlPlane, ControlPlaneOptions } from './up-control-plane.ts';
export { ensurePrograms } from './programs.ts';
