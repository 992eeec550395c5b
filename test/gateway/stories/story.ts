import type { Test } from 'uvu';
import type { Fixture } from '../setting.ts';

/** Tests of one part of the gateway, over the world that the file before them has made. */
export type Stories = (test: Test, fixture: () => Fixture) => void;
