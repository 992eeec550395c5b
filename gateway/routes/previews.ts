/** `POST /v1/previews`: what a peering token would grant, without redeeming it. */
import type { PeeringToken } from '../../shared/api/peerings.ts';
import { tokenName } from '../../shared/token-issue.ts';
import { hashSecret } from '../../shared/trust/digest.ts';
import { preview, previewRequest, type Preview } from '../../shared/wire/gateway-api.ts';
import { self, type Dependencies } from '../http/context.ts';
import { kind } from '../../shared/kube/refs.ts';
import { route, type Route } from '../http/operation.ts';
import { evaluatePreview } from '../peerings/redemption.ts';
import { refusal } from '../peerings/refusal.ts';
import { features, version } from '../version.ts';

/**
 * The secret is sufficient proof, since it could redeem the token. Nothing is written, and a token that can't be redeemed is
 * refused with the same message and timing as at its redemption.
 */
export function previewRoute(dependencies: Dependencies): Route {
  return route(
    {
      id: 'createPreview',
      method: 'POST',
      path: '/v1/previews',
      summary: 'Preview of a peering token: grant, ranges, addresses. The token stays unspent',
      authentication: { by: 'TokenSecret' },
      body: { schema: previewRequest },
      responses: [{ status: 200, description: 'The result that redeeming it would have', schema: preview }],
      problems: ['invalid-field', 'token-not-redeemable', 'not-ready'],
    },
    async (context, { secret, clusterID }) => {
      const { kube, namespace, clock } = dependencies;
      const secretHash = hashSecret(secret);
      const ref = { kind: kind.peeringToken, namespace, name: tokenName(secretHash) };
      const token = await kube.get(ref, context.var.signal);
      const reason = evaluatePreview(token, secretHash, clusterID, clock());
      if (reason !== undefined || token === undefined)
        throw await refusal(dependencies, context, reason ?? 'Unknown');
      return context.json(previewOf(dependencies, token));
    },
  );
}

function previewOf(dependencies: Dependencies, { spec }: PeeringToken): Preview {
  const { clusterID, publicKey, object } = self(dependencies);
  const { podCIDRs, externalCIDR, mtu, tunnelEndpoints, apiServerURL } = object.status ?? {};
  return {
    clusterID,
    publicKey,
    expiresAt: spec.expiresAt,
    grant: spec.grant,
    podCIDRs: podCIDRs ?? [],
    ...(externalCIDR !== undefined && { externalCIDR }),
    ...(mtu !== undefined && { mtu }),
    tunnelAddresses: (tunnelEndpoints ?? []).flatMap(({ addresses }) => addresses),
    ...(apiServerURL !== undefined && { apiServerURL }),
    version,
    features: [...features],
  };
}
