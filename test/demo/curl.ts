/** Issues a peering token with curl, for users without the hawser command, as documented in the README. */
import { join } from 'node:path';
import type { BedCluster } from '../testbed/index.ts';
import { run } from '../testbed/run.ts';
import { namespace } from '../support/installation.ts';

export interface Issued {
  /** The command as a user types it. */
  command: string;
  /** Its output without the middle of the token, which is a secret. */
  shown: string;
  token: string;
}

/** Creates the README's service account, which may only create, list and revoke peering tokens. */
export async function allowTokenIssuer(cluster: BedCluster, signal: AbortSignal | undefined): Promise<void> {
  const file = join(import.meta.dirname, '..', '..', 'deploy', 'examples', 'token-issuer.yaml');
  await cluster.kubectl(['apply', '-f', file], signal === undefined ? {} : { signal });
}

/** Issues a token with the bearer token of that account. */
export async function issueTokenByCurl(
  cluster: BedCluster,
  signal: AbortSignal | undefined,
  body: object = { expiresInSeconds: 900, grant: { cpu: '4', memory: '4Gi', pods: 20 } },
): Promise<Issued> {
  const more = signal === undefined ? {} : { signal };
  const bearer = (await cluster.kubectl(['create', 'token', 'token-issuer', '-n', namespace], more)).trim();
  const self = JSON.parse(await cluster.kubectl(['get', 'localcluster', 'self', '-o', 'json'], more)) as {
    status: { gatewayURL: string; gatewayPin: string };
  };
  const { gatewayURL, gatewayPin } = self.status;
  const pin = Buffer.from(gatewayPin, 'hex').toString('base64');
  // Not as arguments, which every local user can read: curl reads the secrets from standard input.
  const config = [
    `url = "${gatewayURL}/v1/tokens"`,
    'insecure',
    `pinnedpubkey = "sha256//${pin}"`,
    'tlsv1.3',
    'silent',
    'show-error',
    'fail-with-body',
    'max-time = 20',
    `header = "Authorization: Bearer ${bearer}"`,
    'header = "Content-Type: application/json"',
    `data = "${JSON.stringify(body).replaceAll('"', '\\"')}"`,
  ];
  const text = await run(['curl', '--config', '-'], { input: config.join('\n'), ...more });
  const answer = JSON.parse(text) as { token: string };
  const hidden = { ...answer, token: `${answer.token.slice(0, 24)}…` };
  return {
    command: `curl -X POST ${gatewayURL}/v1/tokens -H "Authorization: Bearer $(kubectl create token token-issuer -n ${namespace})" …`,
    shown: JSON.stringify(hidden, null, 2),
    token: answer.token,
  };
}
