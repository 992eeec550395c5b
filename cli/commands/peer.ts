import type { Tunnel } from '../../shared/api/network.ts';
import type { KubernetesObject } from '../../shared/api/meta.ts';
import type { OutgoingPeering } from '../../shared/api/peerings.ts';
import { apiVersion } from '../../shared/api/meta.ts';
import { defaultPeering, labels, nodeName, peeringName } from '../../shared/names.ts';
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
import { core, hawser, withKube, type Kube } from '../kube.ts';
import { formatOf, printFacts } from '../output.ts';
import { phasesOf } from '../peering-phases.ts';
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
    await import('../../shared/trust/peering-token.ts');
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
    metadata: { name, labels: belongs },
    spec: {
      remoteCluster: token.clusterID,
      peering,
      tokenSecretName: secretName,
      nodeName: text(invocation, 'node') ?? nodeName(token.clusterID, peering),
      desired: 'Active',
    },
  });
}

/** Follows the peering until it is Ready, and says each step once. */
async function follow(
  invocation: Invocation,
  kube: Kube,
  name: string,
  begun: number,
): Promise<OutgoingPeering> {
  const said = new Set<string>();
  const { terminal } = invocation;
  return waitUntil(
    invocation,
    {
      seconds: timeoutOf(invocation, defaultSeconds),
      advice: `The controller goes on by itself. See hawser status ${name}; give up with hawser unpeer ${name}.`,
    },
    async () => {
      const peering = await kube.get<OutgoingPeering>(hawser('outgoingpeerings'), name);
      if (peering === undefined) throw new CommandError(`${name} was deleted meanwhile`);
      const tunnel = await kube.get<Tunnel>(hawser('tunnels'), peering.spec.remoteCluster);
      const phases = phasesOf(peering, tunnel);
      for (const phase of phases) {
        if (!phase.done || said.has(phase.name)) continue;
        said.add(phase.name);
        terminal.step('done', phase.name, invocation.now() - begun);
      }
      const refused = peering.status?.conditions?.find(({ reason }) => permanent.has(reason));
      if (refused !== undefined)
        throw new CommandError(`${refused.message}\nUndo with hawser unpeer ${name}.`);
      const missing = phases.find(({ done }) => !done);
      return missing === undefined ? { done: peering } : { waitingFor: missing.waitingFor };
    },
  );
}

/** Reasons of conditions that no waiting changes. */
const permanent = new Set(['TokenRefused', 'TokenInvalid', 'KeyMismatch', 'Incompatible']);

export const command: Command = {
  name: 'peer',
  summary: 'peer with the provider that a token is from',
  arguments: 'TOKEN',
  description: `Makes this cluster (the current context) a consumer of the cluster that issued the token: that one appears here as
one more node. The command writes the token and an OutgoingPeering and then follows what the controller does, step by step;
interrupting it changes nothing. TOKEN may be -, to be read from standard input, so that it is in no shell history.`,
  options: {
    name: {
      type: 'string',
      value: 'NAME',
      help: 'tells apart several peerings with one provider (default: "default")',
    },
    node: { type: 'string', value: 'NAME', help: 'name of the virtual node (default: hawser-PROVIDER)' },
    ...timeoutOption(defaultSeconds),
    ...outputOption,
    ...clusterOptions,
  },
  examples: [
    ['Peer with the provider that gave you a token', 'hawser peer hawser1.…'],
    ['The token from a file', 'hawser peer - < token'],
    ['What you may do next', 'hawser offload namespace shop'],
  ],
  run: async (invocation) => {
    formatOf(invocation);
    timeoutOf(invocation, defaultSeconds);
    const peering = text(invocation, 'name') ?? defaultPeering;
    if (!/^[a-z0-9]([-a-z0-9]{0,18}[a-z0-9])?$/.test(peering)) {
      throw new UsageError(`--name ${peering}: at most 20 lower-case letters, digits and dashes`);
    }
    const token = await readToken(invocation);
    await withKube(invocation, async (kube) => {
      const self = await localCluster(kube);
      if (self.status?.clusterID === token.clusterID) {
        throw new UsageError(
          `this token was issued by this very cluster (${token.clusterID}); use it in the consumer: --context`,
        );
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
      const ready = await follow(invocation, kube, name, begun);
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
