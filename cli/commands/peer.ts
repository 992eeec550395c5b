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
/** An earlier peering of the same name may still be being removed. */
const previousSeconds = 30;

interface TokenSecret extends KubernetesObject {
  type: string;
  stringData: { token: string };
}

async function readToken(invocation: Invocation): Promise<TokenContent & { text: string }> {
  const [argument] = invocation.arguments;
  if (argument === undefined) {
    throw new UsageError(
      '"hawser peer" requires a peering token, "-" to read it from standard input, or --in-band\nUse "hawser peer --help" for more information.',
    );
  }
  const raw = argument === '-' ? await invocation.readInput() : argument;
  const { decodePeeringToken, isExpired, PeeringTokenError } =
    await import('../../shared/trust/token-codec.ts');
  try {
    const content = decodePeeringToken(raw);
    if (isExpired(content, invocation.now())) {
      throw new CommandError(
        `the token expired ${ago(content.expiresAt, invocation.now())}; request a new one from the provider (hawser token create)`,
      );
    }
    return { ...content, text: raw.replace(/\s+/g, '') };
  } catch (error) {
    if (error instanceof PeeringTokenError) throw new UsageError(error.message);
    throw error;
  }
}

/** Creates the objects that the controller starts from. Objects of an earlier attempt are reused. */
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
    { seconds: previousSeconds, advice: `See "hawser status ${name}".` },
    async () => {
      const found = await kube.get<OutgoingPeering>(peerings, name);
      return found?.metadata.deletionTimestamp === undefined
        ? { done: found }
        : { waitingFor: `the removal of the former peering ${name}` };
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
  summary: 'peer with a provider, by its token or in-band',
  arguments: '[TOKEN]',
  description: `Makes this cluster (the current context) a consumer of the cluster that issued the token, which appears here as one more
node. The command creates a Secret with the token and an OutgoingPeering, and then shows each step of the controller;
interrupting the command does not interrupt the peering. With "-" as TOKEN, the token is read from standard input, which
keeps it out of the shell history.

Use --in-band when only the tunnel endpoint of one cluster is reachable from the other. It takes no token, but access to the
provider (--remote-context). The command exchanges the network parameters of both clusters until the tunnel is open, and the
provider then issues a token with the grant of --cpu, --memory and --pods. From then on the consumer reaches the provider's
API gateway and API server inside the tunnel. The ClusterRoles hawser-peer-consumer and hawser-peer-provider suffice. The
command can be interrupted and run again; an attempt that is not continued is removed from both clusters after 15 minutes.`,
  options: {
    name: {
      type: 'string',
      value: 'NAME',
      help: 'name of the peering, if there are several with one provider (default: "default")',
    },
    node: { type: 'string', value: 'NAME', help: 'name of the virtual node (default: hawser-PROVIDER)' },
    'in-band': { type: 'boolean', help: 'reach the provider’s control plane inside the tunnel' },
    ...remoteOptions,
    ...grantOptions,
    plan: {
      type: 'boolean',
      help: 'show what the peering would change (remappings, grant, rights, addresses), and exit',
    },
    ...timeoutOption(defaultSeconds),
    ...outputOption,
    ...clusterOptions,
  },
  examples: [
    ['Show what a peering would change', 'hawser peer --plan hawser1.…'],
    ['Peer with the provider that issued a token', 'hawser peer hawser1.…'],
    ['Read the token from a file', 'hawser peer - < token'],
    ['Peer in-band', 'hawser peer --in-band --remote-context provider --cpu 4 --memory 8Gi'],
  ],
  run: async (invocation) => {
    formatOf(invocation);
    timeoutOf(invocation, defaultSeconds);
    const peering = text(invocation, 'name') ?? defaultPeering;
    if (!/^[a-z0-9]([-a-z0-9]{0,18}[a-z0-9])?$/.test(peering)) {
      throw new UsageError(
        `--name ${peering}: must be 1 to 20 lower-case letters, digits and "-", starting and ending with a letter or digit`,
      );
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
    if (needsInBand !== undefined) throw new UsageError(`--${needsInBand} requires --in-band`);
    const token = await readToken(invocation);
    await withKube(invocation, async (kube) => {
      const self = await localCluster(kube);
      if (self.status?.clusterID === token.clusterID) {
        throw new UsageError(
          `this cluster (${token.clusterID}) issued the token; redeem it in the consumer (--context)`,
        );
      }
      if (invocation.options['plan'] === true) {
        const name = peeringName(token.clusterID, peering);
        const node = text(invocation, 'node') ?? nodeName(token.clusterID, peering);
        // Loaded on demand: it brings the client of the API gateway.
        const { showPlan } = await import('../peer-plan/show.ts');
        return showPlan(invocation, kube, { token, self, name, nodeName: node });
      }
      const startedAt = invocation.now();
      const { terminal } = invocation;
      terminal.log(`Peering with ${token.clusterID} at ${token.gatewayURL}`);
      const written = await writeObjects(invocation, kube, token, peering);
      const name = written.metadata.name;
      terminal.step('done', `OutgoingPeering ${name} created`, invocation.now() - startedAt);
      if (timeoutOf(invocation, defaultSeconds) === 0) {
        terminal.log(`Not waiting for it; see "hawser status ${name}".`);
        return;
      }
      const ready = await followPeering(invocation, kube, name, {
        startedAt,
        seconds: timeoutOf(invocation, defaultSeconds),
      });
      const facts = {
        peering: name,
        provider: token.clusterID,
        node: ready.spec.nodeName,
        seconds: (invocation.now() - startedAt) / 1000,
      };
      await printFacts(
        invocation,
        facts,
        ({ node, provider }) =>
          `Ready: ${provider} is available as node ${node}. Next: hawser offload namespace NAME`,
      );
    });
  },
};
