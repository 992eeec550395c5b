import type { Test } from 'uvu';
import type { Fixture } from '../setting.ts';

/** Tests of one part of the gateway, with the fixture of the file that registers them. */
export type Stories = (test: Test, fixture: () => Fixture) => void;
