/**
 * Follows changes of a provider's gateway address and certificate without a person. A change in the provider's signed
 * document triggers a check of the server at the declared address. The new address is accepted if that server presents the
 * known certificate, or a newer one for which the provider's cluster key has signed a statement. A working address is thus
 * never replaced before the new one answers, and a man in the middle can only block the change.
 */
import { lookAtGateway, type GatewaySight } from '../clients/gateway/index.ts';
import type { RemoteCluster } from '../../shared/api/clusters.ts';
import { openGatewayStatement } from '../../shared/trust/gateway-statement.ts';
import type { NetworkDocument } from '../../shared/wire/network-document.ts';
import { backoff, sleep } from '../../shared/time.ts';
import { isDialable } from '../../shared/net/dialable.ts';
import { readStored } from '../../shared/trust/documents-cache.ts';
import type { ControllerContext } from '../kube/context.ts';
import { messageOf } from '../../shared/kube/errors.ts';
import { kind } from '../../shared/kube/refs.ts';
import { fieldManager } from './names.ts';
import type { Caches } from './caches.ts';

/** Gateways present a replaced certificate within seconds; new addresses of load balancers take longer. */
const attempts = 12;

type Known = Pick<RemoteCluster['spec'], 'clusterID' | 'publicKey' | 'gatewayPin' | 'gatewayPinSince'>;

export type GatewayVerdict =
  /** The known certificate. */
  | { verdict: 'Known' }
  /** Another certificate, with a valid statement of the provider's cluster key. */
  | { verdict: 'Succeeds'; pin: string; since: string }
  | { verdict: 'Refused'; message: string };

/** Whether the answering server is the provider's gateway. Pure except for asynchronous cryptography. */
export function verifyGateway(known: Known, sight: GatewaySight): GatewayVerdict {
  if (sight.pin === known.gatewayPin) return { verdict: 'Known' };
  const refused = (message: string): GatewayVerdict => ({ verdict: 'Refused', message });
  if (sight.info.gateway === undefined)
    return refused('the gateway presents an unknown certificate and no signed statement about it');
  const stated = openGatewayStatement(sight.info.gateway, known);
  if (stated === undefined)
    return refused(
      `the statement about its certificate is not signed by the cluster key of ${known.clusterID}`,
    );
  if (stated.pin !== sight.pin)
    return refused(`${known.clusterID} signed a statement for another certificate than the gateway presents`);
  if (known.gatewayPinSince !== undefined && !(Date.parse(stated.since) > Date.parse(known.gatewayPinSince)))
    return refused(`${known.clusterID} has since signed a statement for a newer certificate`);
  return { verdict: 'Succeeds', pin: stated.pin, since: stated.since };
}

/** The addresses to check, the declared one first; none when everything is as declared. */
export function addressesToTry(
  { controlPlane, gatewayURL, gatewayPin }: RemoteCluster['spec'],
  declared: NetworkDocument['gateway'],
  failing: boolean,
): string[] {
  // In-band, the tunnel determines the address, so only the certificate can change.
  const stated = controlPlane === 'InBand' ? undefined : declared?.url;
  const settled =
    declared === undefined || ((stated ?? gatewayURL) === gatewayURL && declared.pin === gatewayPin);
  if (settled && !failing) return [];
  const urls = new Set(
    [stated, gatewayURL].flatMap((url) =>
      url?.startsWith('https://') && (url === gatewayURL || isDialable(url, gatewayURL)) ? [url] : [],
    ),
  );
  return [...urls];
}

/**
 * Checks a provider's gateway until the known state equals the declared one, the gateway answers as known, or the attempts
 * are used up. A change is written to the RemoteCluster, which ends the session that this belongs to.
 */
export async function followGateway(
  { kube, log, clock }: Pick<ControllerContext, 'kube' | 'log' | 'clock'>,
  caches: Caches,
  name: string,
  failing: boolean,
  signal: AbortSignal,
  look: typeof lookAtGateway = lookAtGateway,
): Promise<void> {
  for (let attempt = 0; attempt < attempts && !signal.aborted; attempt++) {
    const remote = caches.remotes.byKey(name);
    const declared = readStored(remote?.spec.networkDocument)?.gateway;
    const dialled = remote && caches.gatewayOf(remote)?.url;
    const urls =
      remote === undefined
        ? []
        : addressesToTry({ ...remote.spec, ...(dialled && { gatewayURL: dialled }) }, declared, failing);
    if (remote === undefined || urls.length === 0) return;
    for (const url of urls) {
      try {
        const check = verifyGateway(remote.spec, await look(url, signal));
        if (check.verdict === 'Refused') {
          log.warn('the server at a gateway’s address is not trusted', {
            remote: name,
            url,
            why: check.message,
          });
          continue;
        }
        const changes = {
          ...(url !== remote.spec.gatewayURL && remote.spec.controlPlane !== 'InBand' && { gatewayURL: url }),
          ...(check.verdict === 'Succeeds' && { gatewayPin: check.pin, gatewayPinSince: check.since }),
        };
        if (Object.keys(changes).length > 0) {
          await kube.patch(
            { kind: kind.remoteCluster, name },
            { metadata: { resourceVersion: remote.metadata.resourceVersion }, spec: changes },
            { type: 'merge', fieldManager },
            signal,
          );
          log.info('the certificate of a provider’s gateway has changed', { remote: name, ...changes });
          return;
        }
        if (failing) return;
        break;
      } catch (error) {
        if (signal.aborted) return;
        log.debug('failed to check a gateway’s certificate', { remote: name, url, error: messageOf(error) });
      }
    }
    await sleep(backoff(attempt, { base: 500, most: 10_000 }), signal, clock);
  }
}
