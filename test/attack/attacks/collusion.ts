import * as assert from 'uvu/assert';
import { connectKube } from '../../../daemon/clients/kubernetes/index.ts';
import { createGatewayClient, createRequestSigner } from '../../../daemon/clients/gateway/index.ts';
import { ClusterKey } from '../../../shared/trust/cluster-key.ts';
import { signNetworkDocument } from '../../../shared/trust/network-documents.ts';
import { decodePeeringToken } from '../../../shared/trust/token-codec.ts';
import { tenantNamespace, twinName } from '../../../shared/names.ts';
import { tokenOf } from '../../support/peered.ts';
import { eventually } from '../../support/workload.ts';
import { listed } from '../../support/api-objects.ts';
import type { Attack } from '../attack.ts';
import { apiVersion, ask, core, fieldOf, group, reflected, slices } from '../bed.ts';
import { tunnelOf } from '../declare.ts';
import { ownDocument } from '../party.ts';

const id = 'accomplice-aaaaaa';

export const collusion: Attack = {
  name: 'a second consumer that helps: the neighbour’s tunnel key and range, the hostile one’s names and pods',
  async play(bed) {
    const { provider, hostile, neighbour, mole, signal } = bed;
    const key = ClusterKey.generate((length) => crypto.getRandomValues(new Uint8Array(length)));
    const token = decodePeeringToken(
      await tokenOf(provider, { grant: { cpu: '1', memory: '512Mi', pods: 5 } }),
    );
    const sign = createRequestSigner({ key, clusterID: id, recipient: hostile.recipient });
    const gateway = createGatewayClient({ url: hostile.gatewayURL, pin: hostile.gatewayPin, sign });
    const neighbours = await ownDocument(neighbour);
    const range = (await tunnelOf(bed, neighbour)).spec.remaps[0]?.mapped ?? '';
    const before = await tunnelOf(bed, neighbour);
    const document = {
      ...neighbours.document,
      clusterID: id,
      publicKey: key.publicKey,
      generation: 1,
      contentGeneration: 1,
      podCIDRs: ['10.244.0.0/16', range],
      // The neighbour's tunnel key, at the hostile cluster's address.
      tunnelEndpoints: neighbours.document.tunnelEndpoints.map((each) => ({
        ...each,
        addresses: [`${hostile.cluster.wideAreaAddress}:7470`],
      })),
      remaps: [],
      acknowledges: 0,
    };
    const answer = await gateway.requestIdentity(
      {
        secret: token.secret,
        clusterID: id,
        publicKey: key.publicKey,
        peering: 'default',
        networkDocument: signNetworkDocument(document, key),
        version: '0.1.0',
        features: [],
      },
      { signal },
    );
    const kube = connectKube({
      url: answer.identity.apiServerURL,
      ca: answer.identity.caBundle,
      token: () => answer.identity.token,
    });
    const accomplice = { kube };
    const tenant = tenantNamespace(id, 'default');
    const twin = twinName('shop', id);
    try {
      const claim = (name: string, namespace: string) =>
        ask(accomplice, signal, 'POST', group(apiVersion, tenant, 'twinnamespaces'), {
          apiVersion,
          kind: 'TwinNamespace',
          metadata: { name },
          spec: { sourceNamespace: name, sourceUID: 'u', namespace },
        });
      assert.is((await claim('theirs', hostile.twin)).status, 403, 'a twin namespace of the hostile one');
      assert.is(
        (await claim('next', twinName('next', hostile.id))).status,
        403,
        'and one that it may have next',
      );
      assert.is((await claim('shop', twin)).status, 201);
      await eventually('rights in the accomplice’s twin namespace', 60, async () => {
        const { status } = await ask(accomplice, signal, 'GET', core(twin, 'services'));
        return status === 200;
      });
      for (const other of [hostile.twin, hostile.tenant, neighbour.twin, neighbour.tenant])
        for (const resource of ['secrets', 'pods', 'services'])
          assert.is((await ask(accomplice, signal, 'GET', core(other, resource))).status, 403);
      await ask(accomplice, signal, 'POST', core(twin, 'services'), {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'shared', labels: reflected },
        spec: { ports: [{ port: 80 }] },
      });
      const record = await ask(accomplice, signal, 'POST', slices(twin), {
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: { name: 'shared', labels: { ...reflected, 'hawser.dev/service-name': 'shared' } },
        addressType: 'IPv4',
        endpoints: [{ addresses: [mole.ip] }],
        ports: [{ name: '', port: 80 }],
      });
      assert.is(record.status, 201, record.message);
      const peering = await eventually('the foreign endpoint to be refused', 30, async () => {
        const found = (await listed(provider, 'incomingpeerings')).find(
          ({ spec }) => spec.remoteCluster === id,
        );
        return found?.status?.conditions?.find(
          ({ type, status, message }) =>
            type === 'WithinGrant' && status === 'False' && message.includes(mole.ip),
        );
      });
      const serving = await fieldOf(
        provider,
        ['endpointslices', '-n', twin, '-l', 'kubernetes.io/service-name=shared'],
        '.items[*].endpoints[*].addresses[*]',
      );
      assert.is(serving.trim(), '', 'a pod of another consumer serves');
      const after = await tunnelOf(bed, neighbour);
      assert.equal(after.spec.remaps, before.spec.remaps, 'the neighbour’s range has moved');
      assert.equal(after.spec.remoteTunnelEndpoints, before.spec.remoteTunnelEndpoints);
      const tunnels = (await listed(provider, 'tunnels')).find(({ spec }) => spec.remoteCluster === id);
      const mapped = tunnels?.spec.remaps.find(({ real }) => real === range)?.mapped;
      assert.is.not(mapped, range, 'the neighbour’s range is the accomplice’s');
      return {
        stopped:
          'names end in the own ID, RBAC, records of endpoints, and remaps: each refused or kept apart',
        seenAt: `WithinGrant=${peering.status} of the accomplice; Tunnel spec.remaps`,
      };
    } finally {
      kube.close();
      await gateway.deletePeering('default', { signal });
      gateway.close();
    }
  },
};
