/** All attacks, in the order of their run. */
import type { Attack } from '../attack.ts';
import { claimedRanges } from './claimed-ranges.ts';
import { collusion } from './collusion.ts';
import { forgedPackets } from './forged-packets.ts';
import { madeUpKeys } from './made-up-keys.ts';
import { overGrant } from './over-grant.ts';
import { replayedState } from './replayed-state.ts';
import { terminalText } from './terminal-text.ts';
import { tunnelFlood } from './tunnel-flood.ts';
import { twinNames } from './twin-names.ts';

export const attacks: readonly Attack[] = [
  claimedRanges,
  replayedState,
  twinNames,
  overGrant,
  terminalText,
  collusion,
  forgedPackets,
  madeUpKeys,
  tunnelFlood,
];
