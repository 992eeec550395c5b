/** When a revoked consumer is refused first, by the provider's API server and by its gateway nodes. */
import { Agent, request } from 'node:https';
import type { StoredIdentity } from '../../daemon/peers/stored-identity.ts';
import { only, secretValue } from './api-objects.ts';
import { namespace } from './installation.ts';
import type { PassingTraffic } from './passing-traffic.ts';
import type { Peers } from './peered.ts';
import { eventually } from './workload.ts';

export interface Refusals<T> {
  /** Milliseconds from the start, and the status code of the refusal. */
  call: { milliseconds: number; status: number };
  packet: { milliseconds: number };
  /** The result of the revocation, which takes longer. */
  ended: Promise<T>;
}

/** A client with the consumer's own identity at its provider, for requests that need this identity. */
async function identityCaller({ consumer }: Peers): Promise<{
  ask: () => Promise<number>;
  close: () => void;
}> {
  const { metadata } = await only(consumer, 'outgoingpeerings');
  const name = `hawser-identity-${metadata.name}`;
  const identity = JSON.parse(
    await secretValue(consumer, namespace, name, 'identity.json'),
  ) as StoredIdentity;
  const { apiServerURL, caBundle: ca, tlsServerName, tenantNamespace } = identity;
  const agent = new Agent({
    keepAlive: true,
    ca,
    ...(tlsServerName !== undefined && { servername: tlsServerName }),
  });
  const path = `/apis/hawser.dev/v1alpha1/namespaces/${tenantNamespace}/twinnamespaces?limit=1`;
  const headers = { authorization: `Bearer ${identity.token}` };
  const ask = () =>
    new Promise<number>((resolve, reject) => {
      const asking = request(new URL(path, apiServerURL), { agent, headers }, (answer) => {
        answer.resume();
        answer.once('end', () => resolve(answer.statusCode ?? 0));
      });
      asking.setTimeout(10_000, () => asking.destroy(new Error('no answer in 10 s')));
      asking.once('error', reject);
      asking.end();
    });
  return { ask, close: () => agent.destroy() };
}

/** Revokes the consumer, and sends requests continuously meanwhile. */
export async function firstRefusals<T>(
  peers: Peers,
  traffic: PassingTraffic,
  putOut: () => Promise<T>,
): Promise<Refusals<T>> {
  const caller = await identityCaller(peers);
  try {
    const status = await caller.ask();
    if (status !== 200) throw new Error(`the identity is refused before it is taken away: ${status}`);
    const begun = performance.now();
    const ended = putOut();
    ended.catch(() => undefined);
    const [call, packet] = await Promise.all([
      eventually('a refused call', 60, async () => {
        const answer = await caller.ask();
        return (
          (answer === 401 || answer === 403) && { milliseconds: performance.now() - begun, status: answer }
        );
      }),
      eventually('no answer to a ping any more', 60, async () => {
        const { silentSince } = traffic;
        return Promise.resolve(
          performance.now() - silentSince > 2_000 && { milliseconds: Math.max(0, silentSince - begun) },
        );
      }),
    ]);
    return { call, packet, ended };
  } finally {
    caller.close();
  }
}
