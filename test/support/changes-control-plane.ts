/** Changes of a provider's grants, and of how the two control planes reach and identify each other. */
import { issueSelfSignedCertificate } from '../../shared/trust/self-signed-certificate.ts';
import type { BedCluster } from '../testbed/index.ts';
import { run } from '../testbed/run.ts';
import { only, patch, patchLocal, secretValue } from './api-objects.ts';
import { hawser, namespace } from './installation.ts';
import { negotiated, other, own, type Change } from './change.ts';

async function virtualNodeCapacity(consumer: BedCluster, resource: string): Promise<string | undefined> {
  const args = ['get', 'nodes', '-l', 'hawser.dev/virtual-node=true', '-o', 'json'];
  const { items } = JSON.parse(await consumer.kubectl(args)) as {
    items: { status: { allocatable: Record<string, string> } }[];
  };
  return items[0]?.status.allocatable[resource];
}

const grantTo = (what: string, cpu: string): Change => ({
  name: `grant: ${what}`,
  sides: ['provider'],
  apply: async ({ consumer, provider }) => {
    const { metadata } = await only(provider, 'incomingpeerings');
    await patch(provider, 'incomingpeering.hawser.dev', metadata.name, { spec: { grant: { cpu } } });
    return async () => (await virtualNodeCapacity(consumer, 'cpu')) === cpu;
  },
});

export const grants: readonly Change[] = [
  grantTo('more', '6'),
  grantTo('less', '3'),
  grantTo('less than what is used', '100m'),
  grantTo('as it was', '4'),
];

export const gatewayCertificate: Change = {
  name: 'gateway certificate',
  sides: ['provider'],
  apply: async ({ consumer, provider }) => {
    const { certificate, privateKey, pin } = await issueSelfSignedCertificate({
      hosts: ['gateway.example.com'],
      days: 30,
      now: Date.now(),
    });
    const base64 = (text: string) => Buffer.from(text).toString('base64');
    await patch(
      provider,
      'secret',
      'hawser-gateway-tls',
      {
        metadata: { labels: { 'app.kubernetes.io/managed-by': 'a-person' } },
        data: { 'tls.crt': base64(certificate), 'tls.key': base64(privateKey) },
      },
      '-n',
      namespace,
    );
    return async () =>
      (await only(consumer, 'remoteclusters')).spec.gatewayPin === pin && negotiated(consumer);
  },
};

/** Another address of the API server, which its certificate does not name, and an additional CA. */
export const apiServer: Change = {
  name: 'API server address and CA',
  sides: ['provider'],
  apply: async ({ bed, consumer, provider }) => {
    const plan = bed.plan.clusters.find(({ name }) => name === provider.name);
    if (plan === undefined) throw new Error(`the bed has no ${provider.name}`);
    const port = 7600;
    const rules = `table ip second-address {
      chain prerouting {
        type nat hook prerouting priority dstnat - 5;
        ip daddr ${plan.wideAreaAddress} tcp dport ${port} dnat to ${plan.controlPlaneAddress}:6443
      }
    }`;
    await run(['nsenter', `--net=/run/netns/${plan.edgeNetns}`, 'nft', '-f', '-'], { input: rules });
    const url = `https://${plan.wideAreaAddress}:${port}`;
    const { certificate } = await issueSelfSignedCertificate({ hosts: ['ca'], days: 30, now: Date.now() });
    const text = await provider.kubectl([
      'get',
      'configmap',
      '-n',
      namespace,
      'kube-root-ca.crt',
      '-o',
      'jsonpath={.data.ca\\.crt}',
    ]);
    const caBundle = `${certificate.trim()}\n${text.trim()}\n`;
    await patchLocal(provider, { apiServerURL: url, apiServerCABundle: caBundle });
    const secret = `hawser-identity-${(await only(consumer, 'outgoingpeerings')).metadata.name}`;
    return async () => {
      const identity = JSON.parse(await secretValue(consumer, namespace, secret, 'identity.json')) as {
        apiServerURL: string;
        caBundle: string;
      };
      const reachable = (await only(consumer, 'outgoingpeerings')).status?.conditions ?? [];
      return (
        identity.apiServerURL === url &&
        identity.caBundle.trim() === caBundle.trim() &&
        reachable.some(({ type, status }) => type === 'NodeReady' && status === 'True')
      );
    };
  },
};

/** The later change of the tunnel key proves the pre-shared key: without a handshake its effect would not be visible. */
export const clusterKey: Change = {
  name: 'cluster key',
  sides: ['consumer', 'provider'],
  apply: async (pair, side) => {
    const before = (await only(own(pair, side), 'localclusters')).status?.publicKey;
    await hawser(own(pair, side), ['key', 'rotate']);
    return async () => {
      const key = (await only(own(pair, side), 'localclusters')).status?.publicKey;
      const known = (await only(other(pair, side), 'remoteclusters')).spec.publicKey;
      return key !== before && key === known && negotiated(pair.consumer);
    };
  },
};
