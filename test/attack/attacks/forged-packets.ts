import * as assert from 'uvu/assert';
import { connects, forbiddenPlaces, refusalsOf, serveMetadata, through } from '../../support/hostile-pod.ts';
import { apply, eventually, netexec, readyPods, service } from '../../support/workload.ts';
import type { Attack } from '../attack.ts';
import { fieldOf, providerNode } from '../bed.ts';

/** Bit of CAP_NET_RAW (capabilities(7)). */
const netRaw = 13n;

export const forgedPackets: Attack = {
  name: 'an offloaded pod: forged packets by NET_RAW, the API server, kubelets, metadata, the neighbour’s pod',
  async play(bed) {
    const { provider, hostile, mole, victim } = bed;
    const node = providerNode(bed);
    const from = { node, ip: mole.ip };
    const shell = async (command: string) => {
      const url = `http://${mole.ip}:8080/shell?${new URLSearchParams({ cmd: command })}`;
      const text = await node.exec(['curl', '-sS', '-m', '30', url], { timeoutMilliseconds: 40_000 });
      const { output = '', error = '' } = JSON.parse(text) as { output?: string; error?: string };
      return `${output} ${error}`;
    };
    // The bounding set limits the capabilities of all programs, for any user.
    const capabilities = /CapBnd:\s*([0-9a-f]+)/.exec(await shell('cat /proc/1/status'))?.[1];
    assert.ok(capabilities, 'the pod shows its capabilities');
    assert.is((BigInt(`0x${capabilities}`) >> netRaw) & 1n, 0n, `CAP_NET_RAW is among ${capabilities}`);
    assert.match(await shell(`/bin/busybox ping -c 1 -W 1 ${victim.ip}`), /permission denied|not permitted/i);

    await provider.kubectl(['create', 'namespace', 'own']);
    const metadata = await serveMetadata(node);
    try {
      await apply(provider, 'own', netexec('own'), service('own'));
      const own = await readyPods(provider, 'own', 'own', 1, 60);
      const serviceAddress = await fieldOf(provider, ['service', '-n', 'own', 'own'], '.spec.clusterIP');
      const places = [
        ...(await forbiddenPlaces(provider, { pods: own, serviceAddress })),
        { what: 'the neighbour’s pod', host: victim.ip, port: 8080 },
      ];
      // The isolation must refuse a consumer's pod, not an address without a listener: its own pods reach the target.
      const inside = { node, ip: own[0]?.ip ?? '' };
      await eventually('a pod of the provider’s own to reach the API server', 60, () =>
        connects(
          inside,
          { host: provider.wideAreaAddress, port: Number(new URL(provider.apiServerUrl).port) },
          5,
        ),
      );
      assert.equal(await through(from, places, 'refused'), []);
      const counted = await eventually('it to be counted', 60, async () => {
        const all = (await refusalsOf(provider, node.name)).filter(
          ({ remoteCluster, packets }) => remoteCluster === hostile.id && packets > 0,
        );
        return all.length >= 3 && all;
      });
      return {
        stopped: `no CAP_NET_RAW; the isolation refused ${places.length} of ${places.length} places`,
        seenAt: `FabricNode status.refusals (${counted.map(({ reason, packets }) => `${reason} ${packets}`).join(', ')})`,
      };
    } finally {
      await metadata.stop();
      await provider.kubectl(['delete', 'namespace', 'own', '--wait=false']);
    }
  },
};
