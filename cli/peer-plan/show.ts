/** `hawser peer --plan`: requests a preview of the token from the provider, reads this cluster, and writes nothing. */
import {
  CertificatePinError,
  createGatewayClient,
  GatewayUnreachable,
  isProblem,
} from '../../daemon/clients/gateway/index.ts';
import type { LocalCluster } from '../../shared/api/clusters.ts';
import type { KubernetesObject } from '../../shared/api/meta.ts';
import type { FabricNode, Tunnel } from '../../shared/api/network.ts';
import type { OutgoingPeering } from '../../shared/api/peerings.ts';
import { labels, nodeName as nodeNameOf, peeringName } from '../../shared/names.ts';
import { completeGrant, defaultLifeSeconds } from '../../shared/token-issue.ts';
import { keyFingerprint } from '../../shared/trust/cluster-key.ts';
import type { Preview, TokenContent } from '../../shared/wire/gateway-api.ts';
import { localCluster } from '../cluster.ts';
import { text, type Invocation } from '../command.ts';
import { CommandError, UsageError } from '../exit.ts';
import { endpointOf, withSides } from '../in-band/sides.ts';
import { grantOf } from '../issue-token.ts';
import { core, hawser, type Kube } from '../kube.ts';
import { printFacts } from '../output.ts';
import { listAllowed } from '../read-objects.ts';
import { planPeering, type PlanInput } from './plan.ts';
import { planText } from './text.ts';

const askMilliseconds = 15_000;

export interface PlanRequest {
  token: TokenContent;
  self: LocalCluster;
  /** Names that the peering would have. */
  name: string;
  nodeName: string;
}

export async function showPlan(invocation: Invocation, kube: Kube, request: PlanRequest): Promise<void> {
  const { token, self, name, nodeName } = request;
  const clusterID = self.status?.clusterID;
  if (clusterID === undefined)
    throw new CommandError('this cluster has no ID yet; its controller creates one at its first start');
  const preview = await askPreview(token, clusterID, invocation.signal);
  await show(invocation, kube, { token, preview, self, name, nodeName });
}

/** The same for in-band peering: there is no token yet, and the provider is read through its own context. */
export async function showInBandPlan(invocation: Invocation, peering: string): Promise<void> {
  await withSides(invocation, async ({ consumer, provider }) => {
    const { grant, errors } = completeGrant(grantOf(invocation));
    const [wrong] = errors;
    if (wrong !== undefined) throw new UsageError(`${wrong.field}: ${wrong.detail}`);
    const self = await localCluster(consumer.kube);
    const { clusterID, publicKey, status } = provider;
    const { podCIDRs = [], externalCIDR, mtu, tunnelEndpoints = [], apiServerURL } = status;
    const endpoint = endpointOf(invocation, 'endpoint');
    const calledAt = endpointOf(invocation, 'consumer-endpoint');
    await show(invocation, consumer.kube, {
      token: { clusterID },
      preview: {
        clusterID,
        publicKey,
        expiresAt: new Date(invocation.now() + defaultLifeSeconds * 1000).toISOString(),
        grant,
        podCIDRs,
        ...(externalCIDR !== undefined && { externalCIDR }),
        ...(mtu !== undefined && { mtu }),
        tunnelAddresses:
          endpoint === undefined
            ? tunnelEndpoints.flatMap((tunnelEndpoint) => tunnelEndpoint.addresses)
            : [endpoint],
        ...(apiServerURL !== undefined && { apiServerURL }),
        version: status.version ?? '',
        features: [],
      },
      self,
      name: peeringName(clusterID, peering),
      nodeName: text(invocation, 'node') ?? nodeNameOf(clusterID, peering),
      inBand: calledAt === undefined ? {} : { calledAt },
    });
  });
}

type Known = Omit<PlanInput, 'tunnels' | 'outgoing' | 'nodes' | 'fabricNodes' | 'namespace'>;

async function show(invocation: Invocation, kube: Kube, known: Known): Promise<void> {
  const unreadable: string[] = [];
  const [tunnels, outgoing, nodes, fabricNodes] = await Promise.all([
    listAllowed<Tunnel>(kube, hawser('tunnels'), unreadable),
    listAllowed<OutgoingPeering>(kube, hawser('outgoingpeerings'), unreadable),
    readNodes(kube, unreadable),
    listAllowed<FabricNode>(kube, hawser('fabricnodes'), unreadable),
  ]);
  for (const what of unreadable) invocation.terminal.log(`not readable, so not part of the plan: ${what}`);
  const plan = planPeering({ ...known, tunnels, outgoing, nodes, fabricNodes, namespace: kube.namespace });
  const { terminal } = invocation;
  await printFacts(invocation, plan, (facts) => planText(facts, invocation.now(), terminal));
}

/** The preview counts only from a server with the certificate and the cluster key that the token names. */
async function askPreview(token: TokenContent, clusterID: string, signal: AbortSignal): Promise<Preview> {
  const client = createGatewayClient({ url: token.gatewayURL, pin: token.gatewayPin });
  try {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(askMilliseconds)]);
    const preview = await client.preview({ secret: token.secret, clusterID }, { signal: limited });
    if (preview.clusterID !== token.clusterID || keyFingerprint(preview.publicKey) !== token.keyFingerprint)
      throw new CommandError(
        `the API gateway at ${token.gatewayURL} has another cluster key than the token names; request a new token`,
      );
    return preview;
  } catch (error) {
    if (signal.aborted) throw error;
    throw explained(error, token);
  } finally {
    client.close();
  }
}

function explained(error: unknown, { clusterID, gatewayURL }: TokenContent): unknown {
  if (isProblem(error, 'token-not-redeemable'))
    return new CommandError(
      `this cluster cannot redeem the token at ${clusterID}: it was redeemed or revoked, has expired, or is for another cluster; request a new one`,
    );
  if (isProblem(error, 'not-found'))
    return new CommandError(
      `${clusterID} runs a version of Hawser that does not support --plan; "hawser peer" without --plan works`,
    );
  if (error instanceof CertificatePinError || error instanceof GatewayUnreachable)
    return new CommandError(
      `${error.message}\nFor --plan this machine, too, must be able to reach ${gatewayURL}.`,
    );
  if (error instanceof Error && error.name === 'TimeoutError')
    return new CommandError(`${gatewayURL} did not answer within ${askMilliseconds / 1000} s`);
  return error instanceof Error ? new CommandError(error.message, undefined, { cause: error }) : error;
}

interface KubernetesNode extends KubernetesObject {
  status?: { addresses?: { address: string }[] };
}

async function readNodes(kube: Kube, unreadable: string[]): Promise<PlanInput['nodes']> {
  const nodes = await listAllowed<KubernetesNode>(kube, core('nodes'), unreadable);
  return nodes.map(({ metadata, status }) => ({
    name: metadata.name,
    virtual: metadata.labels?.[labels.virtualNode] === 'true',
    gateway: metadata.labels?.[labels.gatewayNode] === 'true',
    addresses: (status?.addresses ?? []).map(({ address }) => address),
  }));
}
