/** Whether the pool for remapped ranges is large enough, as reported by LocalCluster. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { remapPoolFinding } from '../../../daemon/peering/remap-pools.ts';
import type { LocalCluster } from '../../../shared/api/clusters.ts';
import type { FabricNode, Tunnel } from '../../../shared/api/network.ts';

const local = (remapPools?: string[]) =>
  ({ spec: { ...(remapPools && { remapPools }) }, status: { clusterID: 'elm' } }) as LocalCluster;
const tunnel = (...remaps: [real: string, mapped: string, state: string][]) =>
  ({
    spec: {
      remoteCluster: 'oak',
      remaps: remaps.map(([real, mapped, state]) => ({ real, mapped, state })),
    },
  }) as Tunnel;

test('the condition names ranges outside the first pool', () => {
  const cases: [
    what: string,
    pools: string[] | undefined,
    tunnels: Tunnel[],
    status: string,
    message: RegExp,
  ][] = [
    ['no remote', undefined, [], 'True', /remapped into 100\.64\.0\.0\/10 and fd[0-9a-f:]+\/40$/],
    ['inside', undefined, [tunnel(['10.42.0.0/16', '100.65.0.0/16', 'InUse'])], 'True', /100\.64/],
    [
      'beyond',
      undefined,
      [tunnel(['10.42.0.0/16', '10.128.0.0/16', 'InUse'])],
      'False',
      /10\.42\.0\.0\/16 of oak is remapped to 10\.128\.0\.0\/16/,
    ],
    ['accepted', undefined, [tunnel(['10.42.0.0/16', '10.42.0.0/16', 'InUse'])], 'True', /100\.64/],
    ['draining', undefined, [tunnel(['10.42.0.0/16', '10.128.0.0/16', 'Draining'])], 'True', /100\.64/],
    [
      'pools of one’s own',
      ['10.128.0.0/16', '10.200.0.0/14'],
      [tunnel(['10.42.0.0/16', '10.201.0.0/16', 'InUse'])],
      'True',
      /spec\.remapPools/,
    ],
  ];
  for (const [what, pools, tunnels, status, message] of cases) {
    const finding = remapPoolFinding(local(pools), tunnels, []);
    assert.is(finding.status, status, what);
    assert.match(finding.message, message, what);
  }
});

test('the condition names routes of nodes inside the pool', () => {
  const node = {
    status: {
      networks: [
        { range: '100.96.0.0/12', what: 'Route' },
        { range: '192.168.50.0/24', what: 'Route' },
        { range: '100.100.100.100/32', what: 'Resolver' },
      ],
    },
  } as FabricNode;
  const { message } = remapPoolFinding(local(), [], [node, node]);
  assert.match(message, /\(except 100\.96\.0\.0\/12, to which nodes have routes\)/);
});

test.run();
