/** Operations of the tests of endings: peer like `hawser peer`, reach a step, end, and check for leftovers. */
import { createGatewayClient } from '../../../daemon/clients/gateway/index.ts';
import { kind } from '../../../daemon/kube/index.ts';
import type { OutgoingPeering } from '../../../shared/api/peerings.ts';
import { peeringFinalizer, peeringName } from '../../../shared/names.ts';
import { residueConfigMap, residueOf } from '../../../shared/residue.ts';
import { decodePeeringToken } from '../../../shared/trust/token-codec.ts';
import { namespace } from '../clusters.ts';
import { eventually } from '../../support/eventually.ts';
import { isTrueOf } from '../peering/helpers.ts';
import { apiInventory, differenceOf, EndingsFixture, debouncer } from './setting.ts';

/** Maximum duration of an ending while the other side is dead or frozen, on a busy machine. */
export const deadline = 40_000;
export let fixture: EndingsFixture;
export let consumerID = '';
let before: { consumer: Set<string>; provider: Set<string> };

export const log = (line: string) => console.log(`  ${line}`);
export const seconds = (milliseconds: number) => `${(milliseconds / 1000).toFixed(2)} s`;

/** Issues a token of the provider, whose own connection to its API gateway is always open. */
export async function issueToken(): Promise<string> {
  const { provider } = fixture;
  const local = await provider.kube.get({ kind: kind.localCluster, name: 'self' }, provider.signal);
  const client = createGatewayClient({
    url: `https://127.0.0.1:${provider.gatewayPort}`,
    pin: local?.status?.gatewayPin ?? '',
    bearer: provider.plane.adminToken,
  });
  const { token } = await client.createToken({});
  client.close();
  return token;
}

/** Writes the objects of `hawser peer`. */
export async function peer(token: string, peering = 'default'): Promise<OutgoingPeering> {
  const { consumer } = fixture;
  const { clusterID } = decodePeeringToken(token);
  const name = peeringName(clusterID, peering);
  const tokenSecretName = `hawser-token-${name}`;
  await consumer.kube.delete({ kind: kind.secret, namespace, name: tokenSecretName }, {}, consumer.signal);
  await consumer.kube.create(
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: tokenSecretName, namespace },
      data: { token: Buffer.from(token).toString('base64') },
    } as never,
    consumer.signal,
  );
  return consumer.kube.create<OutgoingPeering>(
    {
      apiVersion: 'hawser.dev/v1alpha1',
      kind: 'OutgoingPeering',
      metadata: { name, finalizers: [peeringFinalizer] },
      spec: {
        remoteCluster: clusterID,
        peering,
        tokenSecretName,
        nodeName: `hawser-${name}`,
        desired: 'Active',
      },
    },
    consumer.signal,
  );
}

export const deletePeering = (name: string) =>
  fixture.consumer.kube.delete({ kind: kind.outgoingPeering, name }, {}, fixture.consumer.signal);
export const waitUntilGone = (name: string) =>
  eventually(`${name} is gone`, async () => (await fixture.outgoing(name)) === undefined, deadline);
export const incomingPeerings = async () =>
  (await fixture.provider.kube.list(kind.incomingPeering, {}, fixture.provider.signal)).items;
export const residue = async ({ metadata }: OutgoingPeering) => {
  const ref = { kind: kind.configMap, namespace, name: residueConfigMap };
  return residueOf((await fixture.consumer.kube.get(ref, fixture.consumer.signal))?.data, metadata.uid ?? '');
};

export async function assertRestored(...sides: ('consumer' | 'provider')[]): Promise<void> {
  await revokeUnspent();
  for (const side of sides) {
    let left: string[] = [];
    await eventually(
      `${side} is as it was`,
      async () => {
        left = differenceOf(before[side], await apiInventory(fixture[side]));
        return left.length === 0;
      },
      debouncer,
    ).catch((error: unknown) => {
      throw new Error(`${(error as Error).message}: ${left.join(', ')}`);
    });
  }
}

export interface Step {
  name: string;
  /** Brings the peering to the step, where waiting is not enough. */
  go?: (peering: OutgoingPeering) => Promise<void>;
  reached: (peering: OutgoingPeering) => Promise<unknown>;
}

const condition =
  (name: string) =>
  ({ metadata }: OutgoingPeering) =>
    fixture.outgoing(metadata.name).then((found) => isTrueOf(found, name));
const boundTwin = async ({ metadata }: OutgoingPeering) =>
  (await fixture.offloading())?.status?.remotes
    ?.find((each) => each.peering === metadata.name)
    ?.conditions?.some(({ type, status }) => type === 'Bound' && status === 'True');

export const steps: readonly Step[] = [
  { name: 'token Secret written', reached: () => Promise.resolve(true) },
  {
    name: 'RemoteCluster made',
    reached: ({ spec }) =>
      fixture.consumer.kube.get(
        { kind: kind.remoteCluster, name: spec.remoteCluster },
        fixture.consumer.signal,
      ),
  },
  { name: 'known to the provider', reached: async () => (await incomingPeerings()).length > 0 },
  {
    name: 'the provider issued an identity',
    reached: ({ metadata }) =>
      fixture.consumer.kube.get(
        { kind: kind.secret, namespace, name: `hawser-identity-${metadata.name}` },
        fixture.consumer.signal,
      ),
  },
  { name: 'negotiated', reached: condition('Negotiated') },
  {
    name: 'tunnel up',
    reached: async ({ spec }) =>
      isTrueOf(
        await fixture.consumer.kube.get(
          { kind: kind.tunnel, name: spec.remoteCluster },
          fixture.consumer.signal,
        ),
        'PathVerified',
      ),
  },
  {
    name: 'node made',
    reached: ({ spec }) =>
      fixture.consumer.kube.get({ kind: kind.node, name: spec.nodeName }, fixture.consumer.signal),
  },
  { name: 'Ready', reached: condition('Ready') },
  { name: 'namespace offloaded', reached: boundTwin },
  {
    name: 'pods running',
    go: async (peering) => {
      await eventually('the twin is bound', () => boundTwin(peering), debouncer);
      await fixture.runPodOn(peering.spec.nodeName, 'web');
    },
    reached: async () => (await fixture.podPhase('web')) === 'Running',
  },
];

export async function reachStep(step: Step, peering: OutgoingPeering): Promise<void> {
  await step.go?.(peering);
  await eventually(
    `step "${step.name}"`,
    async () => {
      const value = await step.reached(peering);
      return value !== undefined && value !== false;
    },
    debouncer,
  ).catch(async (error: unknown) => {
    throw new Error(`${(error as Error).message}; ${await fixture.describe()}`);
  });
}

/** Starts two clusters and runs one complete peering, so that objects shared by all peerings exist. */
export async function startClusters(): Promise<void> {
  fixture = await EndingsFixture.start();
  const { consumer, provider } = fixture;
  const self = await consumer.kube.get({ kind: kind.localCluster, name: 'self' }, consumer.signal);
  consumerID = self?.status?.clusterID ?? '';
  // One complete peering, so that objects shared by all peerings exist.
  const peering = await peer(await issueToken());
  await reachStep(steps.at(-1)!, peering);
  await deletePeering(peering.metadata.name);
  await waitUntilGone(peering.metadata.name);
  await eventually(
    'the provider has nothing of it',
    async () => (await incomingPeerings()).length === 0,
    debouncer,
  );
  await eventually(
    'its namespaces are gone',
    async () => {
      const { items } = await provider.kube.list(kind.namespace, {}, provider.signal);
      return !items.some(({ metadata }) => metadata.name.includes(consumerID));
    },
    debouncer,
  );
  await eventually('its pod is gone', async () => (await fixture.podPhase('web')) === undefined, debouncer);
  before = { consumer: await apiInventory(consumer), provider: await apiInventory(provider) };
}

/** Revokes tokens that were never redeemed. */
async function revokeUnspent(): Promise<void> {
  const { kube, signal } = fixture.provider;
  for (const { metadata } of (await kube.list(kind.peeringToken, { namespace }, signal)).items) {
    if (!before.provider.has(`PeeringToken/${namespace}/${metadata.name}`))
      await kube.delete({ kind: kind.peeringToken, namespace, name: metadata.name }, {}, signal);
  }
}
