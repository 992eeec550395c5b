export { kind, type KubeClient } from '../../../daemon/kube/index.ts';
import { conditionsOf, kind, type KubernetesObject } from '../../../daemon/kube/index.ts';
import { createGatewayClient } from '../../../daemon/clients/gateway/index.ts';
import type { OutgoingPeering } from '../../../shared/api/peerings.ts';
import { isTrue } from '../../../shared/conditions.ts';
import { decodePeeringToken } from '../../../shared/trust/token-codec.ts';
import { namespace, type Cluster } from '../clusters.ts';

/** Whether an object exists and this condition of it is true. */
export const isTrueOf = (object: KubernetesObject | undefined, type: string): boolean =>
  object !== undefined && isTrue(conditionsOf(object), type);

/** A peering token of that cluster's API gateway. */
export async function issueToken(by: Cluster): Promise<string> {
  const local = await by.kube.get({ kind: kind.localCluster, name: 'self' }, by.signal);
  const client = createGatewayClient({
    url: `https://127.0.0.1:${by.gatewayPort}`,
    pin: local?.status?.gatewayPin ?? '',
    bearer: by.plane.adminToken,
  });
  const { token } = await client.createToken({});
  client.close();
  return token;
}

/** Writes the objects of `hawser peer`. */
export async function peer(token: string, at: Cluster): Promise<OutgoingPeering> {
  const { clusterID } = decodePeeringToken(token);
  await at.kube.create(
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: `hawser-token-${clusterID}`, namespace },
      data: { token: Buffer.from(token).toString('base64') },
    } as never,
    at.signal,
  );
  return at.kube.create<OutgoingPeering>(
    {
      apiVersion: 'hawser.dev/v1alpha1',
      kind: 'OutgoingPeering',
      metadata: { name: clusterID },
      spec: {
        remoteCluster: clusterID,
        peering: 'default',
        tokenSecretName: `hawser-token-${clusterID}`,
        nodeName: `hawser-${clusterID}`,
        desired: 'Active',
      },
    },
    at.signal,
  );
}
