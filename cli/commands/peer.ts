import type { KubernetesObject } from '../../shared/api/meta.ts';
import type { OutgoingPeering } from '../../shared/api/peerings.ts';
import { apiVersion } from '../../shared/api/meta.ts';
import { defaultPeering, labels, nodeName, peeringFinalizer, peeringName } from '../../shared/names.ts';
import type { TokenContent } from '../../shared/wire/gateway-api.ts';
import { ago } from '../ages.ts';
import { localCluster } from '../cluster.ts';
import {
  clusterOptions,
  outputOption,
  text,
  timeoutOption,
  type Command,
  type Invocation,
} from '../command.ts';
import { CommandError, UsageError } from '../exit.ts';
import { remoteOptions } from '../in-band/sides.ts';
import { grantOptions } from '../issue-token.ts';
import { core, hawser, withKube, type Kube } from '../kube.ts';
import { formatOf, printFacts } from '../output.ts';
import { followPeering } from '../peering-progress.ts';
import { timeoutOf, waitUntil } from '../wait.ts';

const defaultSeconds = 60;
/** An earlier peering of the same name may still be on its way out. */
const previousSeconds = 30;

interface TokenSecret extends KubernetesObject {
  type: string;
  stringData: { token: string };
}

async function readToken(invocation: Invocation): Promise<TokenContent & { text: string }> {
  const [argument, ...more] = invocation.arguments;
  if (argument === undefined || more.length > 0) {
    throw new UsageError('one peering token is wanted (or - to read it from standard input)');
  }
  const raw = argument === '-' ? await invocation.readInput() : argument;
  const { decodePeeringToken, isExpired, PeeringTokenError } =
    await import('../../shared/trust/token-codec.ts');
  try {
    const content = decodePeeringToken(raw);
    if (isExpired(content, invocation.now())) {
      throw new CommandError(
        `the token expired ${ago(content.expiresAt, invocation.now())}; ask the provider for another: hawser token create`,
      );
    }
    return { ...content, text: raw.replace(/\s+/g, '') };
  } catch (error) {
    if (error instanceof PeeringTokenError) throw new UsageError(error.message);
    throw error;
  }
}

/** Writes what the controller begins with. What is there of an earlier attempt is taken up. */
async function writeObjects(
  invocation: Invocation,
  kube: Kube,
  token: TokenContent & { text: string },
  peering: string,
): Promise<OutgoingPeering> {
  const name = peeringName(token.clusterID, peering);
  const peerings = hawser('outgoingpeerings');
  const secrets = core('secrets', kube.namespace);
  const secretName = `hawser-token-${name}`;
  const existing = await waitUntil(
    invocation,
    { seconds: previousSeconds, advice: `See hawser status ${name}.` },
    async () => {
      const found = await kube.get<OutgoingPeering>(peerings, name);
      return found?.metadata.deletionTimestamp === undefined
        ? { done: found }
        : { waitingFor: `the former peering ${name} to be gone` };
    },
  );
  const belongs = { [labels.managedBy]: 'hawser-cli', [labels.remoteCluster]: token.clusterID };
  await kube.remove(secrets, secretName);
  await kube.create<TokenSecret>(secrets, {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: secretName, namespace: kube.namespace, labels: { ...belongs, [labels.peering]: name } },
    type: 'Opaque',
    stringData: { token: token.text },
  });
  if (existing !== undefined) {
    return kube.patch<OutgoingPeering>(peerings, name, { spec: { tokenSecretName: secretName } });
  }
  return kube.create<OutgoingPeering>(peerings, {
    apiVersion,
    kind: 'OutgoingPeering',
    metadata: { name, labels: belongs, finalizers: [peeringFinalizer] },
    spec: {
      remoteCluster: token.clusterID,
      peering,
      tokenSecretName: secretName,
      nodeName: text(invocation, 'node') ?? nodeName(token.clusterID, peering),
      desired: 'Active',
    },
  });
}

export const command: Command = {
  name: 'peer',
  summary: 'peer with a provider: by its token, or in-band',
  arguments: '[TOKEN]',
  description: `Makes this cluster (the current context) a consumer of the cluster that issued the token: that one appears here as
one more node. The command writes the token and an OutgoingPeering and then follows what the controller does, step by step;
interrupting it changes nothing. TOKEN may be -, to be read from standard input, so that it is in no shell history.

In-band is for a provider of which only the tunnel endpoint is reachable (or for one that reaches yours): --in-band takes no
token, but access to the provider as well. The command tells each cluster of the other until the tunnel is open, and has the
provider issue a token, for what --cpu, --memory and --pods say; gateway and API server are reached inside the tunnel from then
on. The ClusterRoles hawser-peer-consumer and hawser-peer-provider are all that it needs. It may be interrupted and run again;
what nobody goes on with removes itself on both sides in a quarter of an hour.`,
  options: {
    name: {
      type: 'string',
      value: 'NAME',
      help: 'tells apart several peerings with one provider (default: "default")',
    },
    node: { type: 'string', value: 'NAME', help: 'name of the virtual node (default: hawser-PROVIDER)' },
    'in-band': { type: 'boolean', help: 'reach the provider’s control plane inside the tunnel' },
    ...remoteOptions,
    ...grantOptions,
    plan: {
      type: 'boolean',
      help: 'show what it would lead to: remappings, rights, quota, addresses; change nothing',
    },
    ...timeoutOption(defaultSeconds),
    ...outputOption,
    ...clusterOptions,
  },
  examples: [
    ['What it would lead to, before anything is done', 'hawser peer --plan hawser1.…'],
    ['Peer with the provider that gave you a token', 'hawser peer hawser1.…'],
    ['The token from a file', 'hawser peer - < token'],
    ['Only the tunnel is reachable', 'hawser peer --in-band --remote-context provider --cpu 4 --memory 8Gi'],
    ['What you may do next', 'hawser offload namespace shop'],
  ],
  run: async (invocation) => {
    formatOf(invocation);
    timeoutOf(invocation, defaultSeconds);
    const peering = text(invocation, 'name') ?? defaultPeering;
    if (!/^[a-z0-9]([-a-z0-9]{0,18}[a-z0-9])?$/.test(peering)) {
      throw new UsageError(`--name ${peering}: at most 20 lower-case letters, digits and dashes`);
    }
    if (invocation.options['in-band'] === true) {
      if (invocation.options['plan'] === true) {
        const { showInBandPlan } = await import('../peer-plan/show.ts');
        return showInBandPlan(invocation, peering);
      }
      const { peerInBand } = await import('../in-band/peer.ts');
      return peerInBand(invocation, peering);
    }
    const needsInBand = Object.keys({ ...remoteOptions, ...grantOptions }).find(
      (option) => invocation.options[option] !== undefined,
    );
    if (needsInBand !== undefined) throw new UsageError(`--${needsInBand} goes with --in-band`);
    const token = await readToken(invocation);
    await withKube(invocation, async (kube) => {
      const self = await localCluster(kube);
      if (self.status?.clusterID === token.clusterID) {
        throw new UsageError(
          `this token was issued by this very cluster (${token.clusterID}); use it in the consumer: --context`,
        );
      }
      if (invocation.options['plan'] === true) {
        const name = peeringName(token.clusterID, peering);
        const node = text(invocation, 'node') ?? nodeName(token.clusterID, peering);
        // Loaded for this alone: a client of the gateway is most of what it needs.
        const { showPlan } = await import('../peer-plan/show.ts');
        return showPlan(invocation, kube, { token, self, name, nodeName: node });
      }
      const begun = invocation.now();
      const { terminal } = invocation;
      terminal.say(`Peering with ${token.clusterID} at ${token.gatewayURL}`);
      const written = await writeObjects(invocation, kube, token, peering);
      const name = written.metadata.name;
      terminal.step('done', `OutgoingPeering ${name} written`, invocation.now() - begun);
      if (timeoutOf(invocation, defaultSeconds) === 0) {
        terminal.say(`Not waiting; see hawser status ${name}.`);
        return;
      }
      const ready = await followPeering(invocation, kube, name, {
        begun,
        seconds: timeoutOf(invocation, defaultSeconds),
      });
      const facts = {
        peering: name,
        provider: token.clusterID,
        node: ready.spec.nodeName,
        seconds: (invocation.now() - begun) / 1000,
      };
      await printFacts(
        invocation,
        facts,
        ({ node, provider }) => `Ready: ${provider} is the node ${node}. Next: hawser offload namespace NAME`,
      );
    });
  },
};
