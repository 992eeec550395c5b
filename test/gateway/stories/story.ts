import type { Test } from 'uvu';
import type { World } from '../setting.ts';

/** Tests of one part of the gateway, over the world that the file before them has made. */
export type Stories = (test: Test, world: () => World) => void;
