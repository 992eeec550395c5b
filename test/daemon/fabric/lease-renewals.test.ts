/** When the holder of a tunnel endpoint counts as silent: by consecutive reads, never by clocks. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  afterFailure,
  afterReading,
  isSilent,
  type Renewals,
} from '../../../daemon/fabric/lease-renewals.ts';
import type { Lease } from '../../../shared/kube/types.ts';

const lease = (holder: string, renewTime?: string): Lease => ({
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  metadata: { name: 'hawser-tunnel-endpoint-0' },
  spec: { holderIdentity: holder, ...(renewTime !== undefined && { renewTime }) },
});

type Reading = Lease | 'failed' | undefined;
const read = (readings: readonly Reading[]): Renewals | undefined =>
  readings.reduce<Renewals | undefined>(
    (before, reading) => (reading === 'failed' ? afterFailure(before) : afterReading(before, reading)),
    undefined,
  );
const times = (count: number, reading: Reading): Reading[] => Array<Reading>(count).fill(reading);

test('a holder counts as silent after eight reads without a renewal, and never by failed or delayed reads', () => {
  const table: [string, Reading[], boolean][] = [
    ['nothing was read', [], false],
    ['there is no lease', times(100, undefined), false],
    ['it renews now and then', [...times(8, lease('a', '1')), ...times(8, lease('a', '2'))], false],
    ['it stops', times(9, lease('a', '1')), true],
    ['the API server was away for long', [...times(8, lease('a', '1')), ...times(100, 'failed')], false],
    ['and right after', [...times(8, lease('a', '1')), 'failed', ...times(7, lease('a', '1'))], false],
    ['another holder starts from zero', [...times(9, lease('a', '1')), lease('b', '1')], false],
    ['one that was just given the tunnel endpoint has longer', times(20, lease('b')), false],
    ['but not forever', times(31, lease('b')), true],
    ['it has no holder', times(100, lease('')), false],
  ];
  for (const [name, readings, expected] of table) assert.is(isSilent(read(readings)), expected, name);
});

test.run();
