import * as assert from 'uvu/assert';
import { findCondition } from '../../../shared/conditions.ts';
import { listed } from '../../support/api-objects.ts';
import { eventually } from '../../support/workload.ts';
import type { Attack } from '../attack.ts';
import { fieldOf, providerNode, type AttackBed } from '../bed.ts';
import { declare, nextGeneration, tunnelOf } from '../declare.ts';

/** The devices by which the provider's node reaches these addresses at present. */
async function waysOf(bed: AttackBed, addresses: readonly string[]): Promise<string[]> {
  const node = providerNode(bed);
  return Promise.all(
    addresses.map(async (address) => {
      const text = await node.exec(['ip', 'route', 'get', address]).catch((error: Error) => error.message);
      return `${address} ${/dev (\S+)/.exec(text)?.[1] ?? 'nowhere'}`;
    }),
  );
}

export const claimedRanges: Attack = {
  name: 'the API server, nodes, resolver, metadata services and the neighbour’s range declared as its pods',
  async play(bed) {
    const { provider, hostile, neighbour, victim } = bed;
    const neighbours = (await tunnelOf(bed, neighbour)).spec.remaps.map(({ mapped }) => mapped);
    const dns = ['service', '-n', 'kube-system', 'kube-dns'];
    const resolver = await fieldOf(provider, dns, '.spec.clusterIP');
    const spared = [
      provider.wideAreaAddress,
      providerNode(bed).address,
      resolver,
      victim.ip,
      ...neighbours.map((range) => range.replace(/\.0\/\d+$/, '.7')),
      '169.254.169.254',
      '100.100.100.200',
      '168.63.129.16',
    ];
    const before = await waysOf(bed, spared);

    // Ranges that no cluster can have make the whole document invalid.
    const never = ['169.254.0.0/16', '100.100.100.200/32', '168.63.129.16/32', 'fd00:ec2::/32'];
    for (const range of never) {
      const generation = nextGeneration();
      await declare(bed, hostile, generation, [range]);
      await eventually(`${range} to be refused`, 30, async () => {
        const remote = (await listed(provider, 'remoteclusters')).find(
          ({ spec }) => spec.clusterID === hostile.id,
        );
        const condition = findCondition(remote?.status?.conditions, 'Compatible');
        return condition?.status === 'False' && condition.message.includes(range.split('/')[0] ?? '');
      });
      assert.equal(await waysOf(bed, spared), before, range);
    }

    // Ranges that another cluster may have too are remapped into a pool here.
    const claimed = [
      `${provider.wideAreaAddress.replace(/\.\d+$/, '.0')}/24`,
      provider.nodeCIDR,
      provider.serviceCIDR,
      ...neighbours.slice(0, 1),
    ];
    await declare(bed, hostile, nextGeneration(), claimed);
    const taken = await eventually('the declaration to be taken', 60, async () => {
      const tunnel = await tunnelOf(bed, hostile);
      return claimed.every((range) => tunnel.spec.remotePodCIDRs.includes(range)) && tunnel;
    });
    for (const range of claimed) {
      const mapped = taken.spec.remaps.find(({ real }) => real === range)?.mapped;
      assert.is.not(mapped, range, `${range} is used as it is`);
    }
    assert.equal(await waysOf(bed, spared), before);
    await provider.kubectl(['get', '--raw', '/readyz']);
    await declare(bed, hostile, nextGeneration(), []);
    return {
      stopped: `${never.length} refused with their document, ${claimed.length} only by addresses of a pool; no way changed`,
      seenAt: 'RemoteCluster Compatible=False (DocumentInvalid), Tunnel spec.remaps',
    };
  },
};
